"""Modes of data whose modes are known: how many a generator covers, how good its samples are, how even the counts.

Points (`ring8`, `grid25`): 2,500 samples. One is good if it lies within three standard deviations of its nearest mode;
a mode is covered if it has a good sample. The Jensen-Shannon divergence (JSD) is that of the counts of good samples
from the true weights (VEEGAN, Srivastava et al. 2017; PacGAN, Lin et al. 2018, arXiv:1712.04086, and `MetricLogger` in
the code, github.com/fjxmlzn/PacGAN).

StackedMNIST: 26,000 samples, each channel classified as a digit. The Kullback-Leibler divergence (KL) is that of the
counts of the 1,000 labels from equal ones (Metz et al. 2017, arXiv:1611.02163; VEEGAN; PacGAN).

Other images with labels: the classes of a classifier in the same way, and their shares in the training set.

Divergences are in nats. Every number has a floor: what as many fresh draws from the true distribution get, mean and
standard deviation of 100 sets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gankit.base import progress
from gankit.base.seeds import derive_seed
from gankit.base.text import printable
from gankit.data import Dataset, builtin_datasets
from gankit.data.formats import Array
from gankit.data.sets.catalogue import digits
from gankit.data.sets.stacked import CHANNELS, LABELS, choose_digits
from gankit.data.sets.synthetic import MIXTURES, Mixture
from gankit.errors import DivergedError, InputError
from gankit.measure.features import FeatureSpace
from gankit.measure.features.classifier import ClassifierSpace, classifier
from gankit.measure.features.extract import EXTRACT_BATCH, not_finite
from gankit.measure.record import Evaluation, Protocol, Score
from gankit.modality.images import grid
from gankit.modality.points import plot
from gankit.sample.generator import latent_source
from gankit.score.evaluate import EvalSettings, OpenCheckpoint, open_checkpoint, training_data
from gankit.score.mode_counts import NO_MODE, WITHIN, ModeCounts, count_modes, nearest_modes

STACKED = "stackedmnist"
POINTS_N, STACKED_N, CLASSES_N = 2_500, 26_000, 10_000
FLOOR_DRAWS = 100  # sets of fresh draws whose scores are the floor


@dataclass(frozen=True, eq=False)
class KnownModes:
    """The modes of a data set, and how the mode of a sample is found."""

    names: tuple[str, ...]  # of the K modes
    weights: Array  # [K]; true shares
    mode_of: Callable[[Tensor], Tensor]  # samples as uint8 [n, C, H, W] or points [n, D] -> int64 [n], -1 for none
    draw: Callable[[int, np.random.RandomState], Tensor]  # modes, int64 [n], of fresh draws from the true distribution
    features: str
    features_sha256: str
    preparation: Mapping[str, Any]
    scores: tuple[str, ...]  # those of `ModeCounts.scores` that mean something here
    parameters: Mapping[str, Any]
    default_n: int


@dataclass(frozen=True, eq=False)
class ModeEvaluation:
    """The scores with their protocol, and what is behind them."""

    evaluation: Evaluation
    counted: ModeCounts
    names: tuple[str, ...]
    shown: Tensor  # points [n, D]; of images the first sample of each mode, uint8 [K, C, H, W], white for a lost mode

    @cached_property
    def lost(self) -> tuple[str, ...]:
        """Names of the modes without a good sample."""
        return tuple(name for name, count in zip(self.names, self.counted.counts, strict=True) if not count)

    def picture(self) -> Image.Image:
        """Points: the samples in red over as many real ones in grey. Images: a sample of each mode, in their order."""
        if self.shown.ndim == 4:
            return grid(self.shown.permute(0, 2, 3, 1).numpy())
        return plot(self.shown, builtin_datasets()[self.evaluation.data]().samples[: len(self.shown)])


def evaluate_modes(
    target: str | os.PathLike[str], settings: EvalSettings | None = None, *, n: int | None = None, seed: int = 0
) -> ModeEvaluation:
    """Score the modes of a checkpoint of `ring8`, `grid25`, `stackedmnist` or labelled images, with protocol and floor.

    By default n is that of the papers (2,500 points, 26,000 stacked digits), and 10,000 for other images. Samples have
    the latent seeds from seed * n on. InputError for data without known modes and for fewer samples than modes;
    DivergedError for samples that are not finite.
    """
    started = time.monotonic()
    settings = settings or EvalSettings()
    opened = open_checkpoint(Path(target), settings)
    header = opened.trained.header
    known = _known_modes(opened, settings)
    n = known.default_n if n is None else n
    if n < len(known.names):
        raise InputError(f"-n {n:,}: too few samples for {len(known.names):,} modes", hint="leave out -n")
    modes, shown = _modes_of_samples(opened, known, n, seed)
    counted = count_modes(modes, known.weights)
    floor = floor_of(known, n, seed)
    scores = {
        name: Score(value, *floor[name], metric="modes", higher_is_better=name not in ("jsd", "kl"))
        for name, value in counted.scores().items()
        if name in known.scores
    }
    protocol = Protocol(
        data_fingerprint=header.data_fingerprint,
        train_fingerprint=header.data_fingerprint,
        split="train",
        shape=header.shape,
        features=known.features,
        features_sha256=known.features_sha256,
        preparation=known.preparation,
        quantisation="uint8" if header.spec.is_image else "float32",
        n=n,
        n_real=0,
        n_floor=n,
        n_train=0,
        seed=seed,
        metrics={"modes": {"modes": len(known.names), **known.parameters, "floor_draws": FLOOR_DRAWS}},
        critic_space=header.spec.is_image and "classifier" in header.critic_spaces,  # images are read by a classifier
    )
    return ModeEvaluation(opened.evaluation(protocol, scores, header.data, started), counted, known.names, shown)


def floor_of(known: KnownModes, n: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each score over 100 sets of n fresh draws from the true distribution."""
    stream = np.random.RandomState(derive_seed(seed, "floor of the modes") % 2**32)
    sets = [count_modes(known.draw(n, stream), known.weights).scores() for _ in range(FLOOR_DRAWS)]
    of_score = {name: [scores[name] for scores in sets] for name in sets[0]}
    return {name: (float(np.mean(values)), float(np.std(values, ddof=1))) for name, values in of_score.items()}


def mixture_modes(truth: Mixture) -> KnownModes:
    """The modes of a mixture of Gaussians."""

    def draw(n: int, stream: np.random.RandomState) -> Tensor:
        centres = truth.centres[stream.randint(len(truth.centres), size=n)]
        return nearest_modes(torch.from_numpy(centres + truth.sigma * stream.standard_normal(centres.shape)), truth)

    k = len(truth.centres)
    return KnownModes(
        names=tuple(f"({', '.join(f'{x:.3g}' for x in centre)})" for centre in truth.centres),
        weights=np.full(k, 1 / k),
        mode_of=lambda points: nearest_modes(points, truth),
        draw=draw,
        features=f"nearest mode, good within {WITHIN:g} sigma",
        features_sha256="none",
        preparation={},
        scores=("covered", "held", "good", "jsd", "kl"),
        parameters={"sigma": truth.sigma, "within": WITHIN},
        default_n=POINTS_N,
    )


def stacked_modes(real: Dataset, space: FeatureSpace, device: torch.device) -> KnownModes:
    """The 1,000 labels of StackedMNIST, which `space`, the classifier of the digits `real`, reads channel by channel.

    The floor is that of real digits, which the classifier reads as well: it includes its errors.
    """
    of_digit = _classified(space, real.samples, device, "classifying the real digits")
    place = torch.tensor([100, 10, 1])

    def mode_of(images: Tensor) -> Tensor:
        of_channel = _classes(space, images.flatten(0, 1)[:, None], device)
        return (of_channel.reshape(-1, CHANNELS) * place).sum(dim=1)

    def draw(n: int, stream: np.random.RandomState) -> Tensor:
        rows = choose_digits(real, stream.randint(LABELS, size=n), stream)
        return (of_digit[torch.from_numpy(rows)] * place).sum(dim=1)

    return KnownModes(
        names=tuple(f"{label:03d}" for label in range(LABELS)),
        weights=np.full(LABELS, 1 / LABELS),
        mode_of=mode_of,
        draw=draw,
        features=f"{space.name} of digits, by channel",
        features_sha256=space.sha256,
        preparation=space.protocol,
        scores=("covered", "held", "jsd", "kl"),
        parameters={},
        default_n=STACKED_N,
    )


def class_modes(data: Dataset, space: FeatureSpace, device: torch.device) -> KnownModes:
    """The classes of labelled images, found by a classifier; the floor is that of images drawn with replacement."""
    assert data.labels is not None
    of_image = _classified(space, data.samples, device, "classifying the real images")
    return KnownModes(
        names=data.spec.classes,
        weights=torch.bincount(data.labels, minlength=len(data.spec.classes)).numpy() / len(data),
        mode_of=lambda images: _classes(space, images, device),
        draw=lambda n, stream: of_image[torch.from_numpy(stream.randint(len(of_image), size=n))],
        features=space.name,
        features_sha256=space.sha256,
        preparation=space.protocol,
        scores=("covered", "held", "jsd", "kl"),
        parameters={},
        default_n=CLASSES_N,
    )


def _known_modes(opened: OpenCheckpoint, settings: EvalSettings) -> KnownModes:
    """The modes of the data that a checkpoint was trained on; InputError if they are not known."""
    header, device = opened.trained.header, opened.trained.device
    if settings.features is not None and not header.spec.is_image:
        raise InputError(f"--features {settings.features}: points need no classifier", hint="leave it out")
    if header.data in _NAMED:
        real = builtin_datasets()[header.data]()
        if header.shape != real.spec.shape or header.data_fingerprint != real.fingerprint:
            raise InputError(
                f"{opened.file} was trained on other data, or another size, than '{printable(header.data)}'",
                hint=f"train it with --data {header.data}, without --size",
            )
        if header.data != STACKED:
            return mixture_modes(MIXTURES[header.data])
        return stacked_modes(digits(), _classifier(digits(), settings).to(device), device)
    if not header.spec.is_image or len(header.classes) < 2:
        raise InputError(
            f"the modes of '{printable(header.data)}' are not known",
            hint=f"they are known for {', '.join(_NAMED)}, and for images with labels",
        )
    data, _ = training_data(opened, settings)
    return class_modes(data, _classifier(data, settings).to(device), device)


_NAMED = (*(name for name, truth in MIXTURES.items() if len(truth.centres) > 1), STACKED)


def _modes_of_samples(opened: OpenCheckpoint, known: KnownModes, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """The mode of each of n samples, int64 [n], and the samples that `ModeEvaluation.shown` describes."""
    trained = opened.trained
    source = latent_source(trained.module, trained.space, seed * n, trained.device)
    image = trained.data.is_image
    shown = torch.full((len(known.names) if image else n, *trained.data.shape), 255, dtype=torch.uint8)
    shown = shown if image else shown.float()
    modes, seen = torch.full((n,), NO_MODE), set[int]()
    for start in range(0, n, EXTRACT_BATCH):
        stop = min(n, start + EXTRACT_BATCH)
        samples = source(start, stop)
        if problem := None if image else not_finite(samples):
            raise DivergedError(f"the samples {problem}", hint="evaluate an earlier checkpoint")
        found = known.mode_of(samples)
        if image:
            for sample, mode in zip(samples, found.tolist(), strict=True):
                if mode not in seen:
                    seen.add(mode)
                    shown[mode] = sample
        else:
            shown[start:stop] = samples
        modes[start:stop] = found
        progress.tell("modes of the samples", stop, n)
    return modes, shown


def _classifier(data: Dataset, settings: EvalSettings) -> FeatureSpace:
    """The classifier of labelled images, or the one in the file of `--features classifier@FILE`."""
    name, _, file = (settings.features or "classifier").partition("@")
    if name != "classifier":
        raise InputError(f"--features {name}: modes are found by a classifier", hint="classifier, or classifier@FILE")
    space = classifier(data, file)
    if isinstance(space, ClassifierSpace) and space.header.classes != data.spec.classes:
        raise InputError(f"{file} knows other classes than '{printable(data.name)}'", hint="leave it out")
    return space


def _classified(space: FeatureSpace, images: Tensor, device: torch.device, what: str) -> Tensor:
    """uint8 images [N, C, H, W] -> their classes, int64 [N]."""
    classes = torch.empty(len(images), dtype=torch.int64)
    for start in range(0, len(images), EXTRACT_BATCH):
        stop = min(len(images), start + EXTRACT_BATCH)
        classes[start:stop] = _classes(space, images[start:stop], device)
        progress.tell(what, stop, len(images))
    return classes


@torch.no_grad()
def _classes(space: FeatureSpace, images: Tensor, device: torch.device) -> Tensor:
    classes: Tensor = space(images.to(device))[1].argmax(dim=1)
    return classes.cpu()
