"""`gankit project`: pictures as latents of a generator, with errors beside those of other pictures."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gankit.base.seeds import derive_seed
from gankit.base.text import printable
from gankit.data import Dataset, Preparation
from gankit.data.loading import load_pictures
from gankit.errors import GankitError, InputError
from gankit.machine import streams
from gankit.measure.features import FrozenLite0
from gankit.sample import invert as inversion
from gankit.sample.generator import TrainedGenerator
from gankit.sample.latents import Latents
from gankit.score.evaluate import EvalSettings, OpenCheckpoint, open_checkpoint, training_data

log = logging.getLogger("gankit")

MAX_PHOTOS = 4096
COMPARED = 16  # samples of the generator, and real ones, whose errors are given for comparison
OWN_SEED = 1 << 40  # of the generator's own samples that are projected: no seed of a bank is near


@dataclass(frozen=True, kw_only=True)
class Projection:
    """How pictures are projected."""

    where: inversion.Where | None = None
    """z, w (one for all layers) or w+ (one for each); by default w of a generator with styles, else z."""
    restarts: int = inversion.RESTARTS
    steps: int = inversion.STEPS
    features: bool = False
    """Whether features of EfficientNet-Lite0 count as much as the pixels do."""
    factor: int = 1
    """Compare at 1/factor of the size: the generator fills in the detail (super-resolution)."""
    mask: Tensor | None = None
    """bool [H, W]: True where pixels are known; the generator fills in the rest (inpainting)."""
    label: str | None = None
    """The class or attributes of all pictures; by default those of the nearest samples."""
    seed: int = 0
    compare: bool = True
    """Whether errors of own samples and of real data are measured too."""


@dataclass(frozen=True)
class Projected:
    """What was found for N pictures."""

    names: tuple[str, ...]
    targets: Tensor
    """Stored pictures [N, *shape], as the generator would make them."""
    latents: Latents
    steps: Tensor
    """Stored samples on the way, [N, 4, *shape]: at the start, after 5 % and 20 % of the steps, and the best."""
    errors: tuple[float, ...]
    """Root of the mean squared difference of known pixels, whose range is 0 to 1."""
    merged: Tensor | None
    """Stored [N, *shape]: the known pixels of the pictures and the generator's others; None without a mask."""
    beside: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """'its own samples' and 'training data' or 'other data' -> errors of the same search for some of them."""
    notes: tuple[str, ...] = ()


def project(target: Path, photos: Sequence[Path], how: Projection, settings: EvalSettings) -> Projected:
    """Pictures -> latents whose samples are near. Files, folders and zips are read as data, and brought to the size.

    `settings` say where the training data are, whose errors are measured for comparison where they are at hand.
    """
    opened = open_checkpoint(target, settings)
    trained = opened.trained
    names, targets, notes = _read(photos, trained, how.factor)
    projector = _Projector(trained, how)
    found = projector(targets, "projection")
    beside: dict[str, tuple[float, ...]] = {}
    if how.compare:
        beside["its own samples"] = projector(_own_samples(trained, how), "its own samples").errors
        real = _real(opened, settings)
        if real is not None:
            beside[real[0]] = projector(real[1], real[0]).errors
    latents = replace(found.latents, names=names)
    return replace(found, names=names, latents=latents, beside=beside, notes=notes)


class _Projector:
    """Finds stored pictures [N, *shape] by one way of searching."""

    def __init__(self, trained: TrainedGenerator, how: Projection) -> None:
        self.trained, self.how = trained, how
        self.view = _view(trained, how)
        module = inversion.frozen(trained.module, trained.device)
        self.within = inversion.search_space(module, trained.space, trained.device, how.where)
        self.y = None if how.label is None else self._condition(how.label)

    def _condition(self, label: str) -> Tensor:
        y = self.trained.condition(label)
        assert y is not None
        conditions = self.trained.space.conditions
        return y if conditions is None else conditions.of_seeds([self.how.seed], y)[0]

    def __call__(self, targets: Tensor, what: str) -> Projected:
        trained, how = self.trained, self.how
        floats = trained.modality.floats(targets)
        with torch.no_grad():
            views = torch.cat([self.view(part.to(trained.device)).cpu() for part in torch.split(floats, 64)])
        found = inversion.invert(
            views,
            self.within,
            trained.space,
            view=self.view,
            y=self.y,
            restarts=how.restarts,
            steps=how.steps,
            seed=how.seed,
            device=trained.device,
            what=what,
        )
        trail = [trained.render(self.within.latents(found.trail[:, i], found.y)) for i in range(found.trail.shape[1])]
        steps = torch.stack(trail, dim=1)
        pixels = _known(how, trained)
        difference = pixels(trained.modality.floats(steps[:, -1])) - pixels(floats)
        errors = difference.square().mean(1).sqrt() / 2  # [-1, 1] is twice as wide
        merged = None if how.mask is None else torch.where(how.mask, targets, steps[:, -1])
        latents = self.within.latents(found.points, found.y)
        return Projected((), targets, latents, steps, tuple(errors.tolist()), merged)


def _known(how: Projection, trained: TrainedGenerator) -> inversion.View:
    """Samples as the generator makes them, [N, *shape] -> the numbers that are compared, [N, D]."""
    mask = None if how.mask is None else how.mask.flatten().nonzero()[:, 0].to(trained.device)

    def view(samples: Tensor) -> Tensor:
        if how.factor > 1:
            samples = F.avg_pool2d(samples, how.factor)
        flat = samples.flatten(2) if samples.dim() > 2 else samples[:, None]
        return (flat if mask is None else flat[:, :, mask.to(flat.device)]).flatten(1)

    return view


def _view(trained: TrainedGenerator, how: Projection) -> inversion.View:
    """Known pixels, and features that weigh as much: both are scaled by the spread that they have over samples."""
    pixels = _known(how, trained)
    if not how.features:
        return pixels
    if not trained.data.is_image or trained.data.shape[0] not in (1, 3) or how.mask is not None or how.factor > 1:
        raise InputError("--features compares whole grey or RGB images", hint="leave it out: pixels are compared")
    network = FrozenLite0().to(trained.device)
    with torch.no_grad():
        some = trained.modality.floats(torch.cat(list(trained.stream(range(64))))).to(trained.device)
        spread = [part(some).var(0).sum().sqrt().clamp_min(1e-6) for part in (pixels, network)]
    return lambda samples: torch.cat([pixels(samples) / spread[0], network(samples) / spread[1]], 1)


# -- what is projected -------------------------------------------------------------------------------------------------


class _Pictures(NamedTuple):
    names: tuple[str, ...]
    samples: Tensor  # stored [N, *shape]
    notes: tuple[str, ...]  # what was done to them


def _read(photos: Sequence[Path], trained: TrainedGenerator, factor: int) -> _Pictures:
    """Pictures as the generator would make them."""
    data = trained.data
    if factor > 1 and (not data.is_image or any(side % factor for side in data.shape[1:])):
        sides = "x".join(map(str, data.shape[1:]))
        raise InputError(f"--factor {factor} does not divide the sides of {sides}", hint="--factor 2, or 4")
    names: list[str] = []
    parts: list[Tensor] = []
    notes: list[str] = []
    of_name = Counter(photo.name for photo in photos)
    for photo in photos:
        loaded = _load(photo, trained)
        name = photo.name if of_name[photo.name] == 1 else str(photo)
        notes += [f"{printable(name)}: {note}" for note in loaded.notes]
        parts.append(loaded.samples)
        names += [name] if len(loaded) == 1 else [f"{name}:{number}" for number in range(len(loaded))]
        if len(names) > MAX_PHOTOS:
            raise InputError(f"more than {MAX_PHOTOS:,} pictures to project", hint="project them in several parts")
    return _Pictures(tuple(names), torch.cat(parts), tuple(notes))


def _load(photo: Path, trained: TrainedGenerator) -> Dataset:
    data = trained.data
    levels = trained.header.config.get("value_range")
    how = Preparation.of({"value_range": levels, "kind": None if data.is_image else data.kind})
    if data.is_image:
        colours = data.shape[0] if data.shape[0] in (1, 3, 4) else None
        how = replace(how, size=(data.shape[1], data.shape[2]), channels=colours)
    elif data.kind == "signals":
        how = replace(how, value_range=data.units)
    loaded = _opened(photo, how)
    if tuple(loaded.spec.shape) != tuple(data.shape):
        raise InputError(
            f"{printable(photo)} holds {list(loaded.spec.shape)}, the generator makes {list(data.shape)}",
            hint="bring it to that form",
        )
    return loaded


def _opened(path: Path, how: Preparation) -> Dataset:
    """Pictures as data; the words of an error are those of a command without the flags for data."""
    if not path.exists():
        raise InputError(f"there is no {printable(path)}", hint="a picture, or a folder, zip or array of them")
    try:
        return load_pictures(path, {}, how)
    except InputError as error:
        if "--on-bad-image" in (error.hint or ""):
            raise InputError(error.message, hint="fix or remove them") from error
        raise


def _own_samples(trained: TrainedGenerator, how: Projection) -> Tensor:
    seeds = [derive_seed(OWN_SEED + how.seed, number) for number in range(COMPARED)]
    y = None if how.label is None else trained.condition(how.label)
    return torch.cat(list(trained.stream(seeds, y)))


def _real(opened: OpenCheckpoint, settings: EvalSettings) -> tuple[str, Tensor] | None:
    """Some of the training data, or of those that are named, and what they are; None where they are not here."""
    try:
        data, _ = training_data(opened, settings)
    except GankitError as error:
        if settings.against is not None:
            raise
        log.info("no errors of real data beside: %s", error.message)
        return None
    order = torch.randperm(len(data), generator=streams.generator(derive_seed(settings.seed, "projection")))[:COMPARED]
    same = data.fingerprint == opened.trained.header.data_fingerprint
    return "training data" if same else data.name, data.samples[order]


def read_mask(path: Path, trained: TrainedGenerator) -> Tensor:
    """A picture whose white pixels are known and whose black ones are to be filled in -> bool [H, W]."""
    if not trained.data.is_image:
        raise InputError("--mask is for images", hint="leave it out")
    height, width = trained.data.shape[1:]
    how = Preparation.of({"size": f"{height}x{width}", "channels": "grey", "value_range": "0,255"})
    loaded = _opened(path, how)
    for note in loaded.notes:
        log.info("%s: %s", printable(path), note)
    known = loaded.samples
    mask = known[0, 0] >= 128
    if len(known) != 1 or bool(mask.all()) or not bool(mask.any()):
        raise InputError(
            f"--mask {printable(path)}: one picture with white (known) and black (to be filled in) parts",
            hint="paint what is missing black on white",
        )
    return mask
