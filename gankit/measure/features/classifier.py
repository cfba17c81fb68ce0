"""The `classifier` space: a small convolutional network trained on the labels of the data set."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from annotated_types import Ge, Le, Len
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from gankit.base import progress
from gankit.base.cache import cached_file
from gankit.base.files import canonical_json, pack_tensors, tensors_digest, unpack_tensors
from gankit.base.seeds import derive_seed
from gankit.data import Dataset
from gankit.errors import InputError
from gankit.game.state import check_fit, shapes
from gankit.machine.layout import channels_last
from gankit.measure.features.space import FeatureSpace
from gankit.modality import modality_of

log = logging.getLogger("gankit")

KIND = "gankit-classifier"
RECIPE = 1  # version of the training below; raise it with every change of the result
WIDTH = 128  # length of a feature vector
STEPS, BATCH, PEAK_LR = 400, 128, 4e-3
SHIFT = 2  # pixels; largest random shift of a training image
HELD_OUT = 0.1  # share of the data on which the accuracy is measured
POOR = 0.7  # accuracy below which a warning says that the features are unreliable
MAX_SIDES = {1: 8192, 2: 64, 3: 32}  # steps, pixels, voxels; larger samples are averaged down to this


@dataclass(frozen=True, kw_only=True)
class _Header:
    kind: str
    recipe: int
    shape: Annotated[tuple[Annotated[int, Ge(1), Le(1 << 24)], ...], Len(2, 4)]
    classes: Annotated[tuple[str, ...], Len(1)]
    data: str
    data_fingerprint: str
    accuracy: float  # on the held-out data
    tensors_sha256: str


_LAYERS = {1: (nn.Conv1d, nn.BatchNorm1d), 2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}


class Classifier(nn.Module):
    """Four convolutions, global average, one linear layer: images [N, C, H, W] in [-1, 1] -> features, logits.

    `axes` is the number of axes: likewise signals [N, C, T] and volumes [N, C, D, H, W].
    """

    def __init__(self, channels: int, classes: int, axes: int = 2) -> None:
        super().__init__()
        widths = (channels, 32, 64, 96, WIDTH)
        strides = (2, 2, 2, 1)
        convolution, norm = _LAYERS[axes]
        self.convolutions = nn.ModuleList(
            convolution(a, b, 3, stride, 1) for a, b, stride in zip(widths, widths[1:], strides, strict=False)
        )
        self.norms = nn.ModuleList(norm(width) for width in widths[1:])
        self.linear = nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = images
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x)))
        features = x.flatten(2).mean(dim=2)
        return features, self.linear(features)


class ClassifierSpace(FeatureSpace):
    """The activations before the last layer of a `Classifier`."""

    def __init__(self, network: Classifier, header: _Header) -> None:
        super().__init__(
            name="classifier",
            sha256=header.tensors_sha256,
            dim=WIDTH,
            protocol={
                "resize": f"area, to at most {MAX_SIDES[len(header.shape) - 1]}",
                "accuracy": round(header.accuracy, 4),
            },
        )
        self.network = network
        self.header = header

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = self.network(_as_input(samples))
        return features.float(), logits.float()


def classifier(data: Dataset, argument: str) -> FeatureSpace:
    """The classifier of a labelled data set, trained at first use (seconds) and cached; or one from a file."""
    if data.spec.kind == "points":
        raise InputError(f"features 'classifier' are not for points: '{data.name}'", hint="use --features points")
    if argument:
        space = _read(Path(argument))
        if space.header.shape != data.spec.shape:
            raise InputError(
                f"{argument} classifies samples {list(space.header.shape)}, not {list(data.spec.shape)}",
                hint="leave out the file, or choose the --size it was made for",
            )
        return space
    if data.labels is None or len(data.spec.classes) < 2:
        raise InputError(
            f"features 'classifier' need labels; '{data.name}' has none",
            hint="use --features lite0 (pip install 'gankit[lite0]'), or sort the images into class folders",
        )

    def read(path: Path) -> ClassifierSpace:
        space = _read(path)
        if space.header.data_fingerprint != data.fingerprint:
            raise InputError(f"{path} belongs to other data")
        return space

    name = f"classifier-r{RECIPE}-{data.fingerprint[:16]}.safetensors"
    space = cached_file(f"scores/{name}", make=lambda: _train(data), read=read)
    if space.header.accuracy < POOR:
        log.warning(
            "the classifier is right about %.0f %% of the held-out %s: its scores say little; try --features %s",
            100 * space.header.accuracy,
            data.spec.kind,
            "lite0" if data.spec.is_image else "statistics",
        )
    return space


def _classifier_of(shape: tuple[int, ...], classes: tuple[str, ...]) -> Classifier:
    return Classifier(shape[0], len(classes), axes=len(shape) - 1)


def _as_input(samples: Tensor) -> Tensor:
    x = modality_of(tuple(samples.shape[1:])).floats(samples)
    limit, longest = MAX_SIDES[x.ndim - 2], max(x.shape[2:])
    if longest > limit:
        x = F.interpolate(x, size=[max(1, round(side * limit / longest)) for side in x.shape[2:]], mode="area")
    return x


def _train(data: Dataset) -> bytes:
    """Train on nine tenths of the data, on the CPU and in one thread: weights do not depend on GPU or thread count."""
    assert data.labels is not None
    log.info("training the classifier of '%s' that gives the features (once, then it is kept)", data.name)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(derive_seed(RECIPE, "classifier")))
    held_out = order[: max(1, int(HELD_OUT * len(data)))]
    kept = order[len(held_out) :]
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(derive_seed(RECIPE, "classifier"))
        network = channels_last(_classifier_of(data.spec.shape, data.spec.classes))
        _fit(network, data, kept)
        network.eval()
    with torch.no_grad():
        guesses = torch.cat(
            [network(_as_input(data.samples[part]))[1].argmax(1) for part in torch.split(held_out, 500)]
        )
    accuracy = (guesses == data.labels[held_out]).double().mean().item()
    tensors = network.state_dict()
    header = _Header(
        kind=KIND,
        recipe=RECIPE,
        shape=data.spec.shape,
        classes=data.spec.classes,
        data=data.name,
        data_fingerprint=data.fingerprint,
        accuracy=accuracy,
        tensors_sha256=tensors_digest(tensors),
    )
    return pack_tensors(tensors, canonical_json(dataclasses.asdict(header)))


def _fit(network: Classifier, data: Dataset, indices: Tensor) -> None:
    assert data.labels is not None
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_LR, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=STEPS)
    for step in range(STEPS):
        batch = indices[torch.randint(len(indices), (BATCH,))]
        images = _shifted(_as_input(data.samples[batch]))
        if images.ndim == 4:
            images = images.to(memory_format=torch.channels_last)
        loss = F.cross_entropy(network(images)[1], data.labels[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if (step + 1) % 10 == 0:
            progress.tell("training the classifier", step + 1, STEPS)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of floats depend on how threads cut them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _shifted(images: Tensor) -> Tensor:
    """The batch, shifted by up to two pixels; all samples share the shift, which makes it cheap."""
    axes = range(2, images.ndim)
    shifts = torch.randint(-SHIFT, SHIFT + 1, (len(axes),)).tolist()
    return torch.roll(images, shifts, dims=tuple(axes))


def _read(path: Path) -> ClassifierSpace:
    """A classifier from its file, verified."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read classifier {path}: {error.strerror}", hint="give a classifier-….safetensors"
        ) from error
    tensors, metadata = unpack_tensors(data, path)
    try:
        header = TypeAdapter(_Header).validate_python(_object(metadata))
    except (ValidationError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not a classifier written by gankit", hint="leave it out: one is trained"
        ) from error
    if header.kind != KIND or header.recipe != RECIPE or header.tensors_sha256 != tensors_digest(tensors):
        raise InputError(f"{path} is damaged, or of another version of gankit", hint="leave it out: one is trained")
    with torch.random.fork_rng(devices=[]):
        network = _classifier_of(header.shape, header.classes)
    check_fit(str(path), shapes(network.state_dict()), shapes(tensors))
    network.load_state_dict(tensors)
    return ClassifierSpace(channels_last(network).eval().requires_grad_(False), header)


def _object(metadata: str | None) -> dict[str, Any]:
    value = json.loads(metadata or "null")
    if not isinstance(value, dict):
        raise ValueError("no header")
    return value
