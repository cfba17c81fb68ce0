"""Directions named by labels: a linear probe learns the labels from features, and reads them off samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gankit.base.text import printable
from gankit.data import Dataset
from gankit.errors import InputError
from gankit.game.conditions import one_hot
from gankit.measure.features import FeatureSpace, choose_space
from gankit.measure.features.extract import Source, extract
from gankit.sample.directions import Direction
from gankit.sample.generator import load
from gankit.sample.search import from_scores, sampled
from gankit.score.evaluate import EvalSettings, open_checkpoint, training_data

REAL, HELD_OUT = 5_000, 0.2  # labelled samples of the probe, and the share of them on which it is judged
SAMPLES = 5_000
RIDGE = 1e-2


@dataclass(frozen=True)
class Named:
    """Directions by label, and how well the probe knows them."""

    directions: list[Direction]
    known: dict[str, float]
    """Label -> correlation of the probe with the truth on labelled samples that it was not fitted to, -1 to 1."""


def named_directions(target: Path, settings: EvalSettings, sibling: Path | None = None) -> Named:
    """The direction of each class or attribute, for a generator that is not told the labels itself.

    Labels are those of the training data, found as in `gankit eval`, or of a conditional `sibling`: another generator
    of the same data, whose samples are labelled because it was told what to draw.
    """
    opened = open_checkpoint(target, settings)
    trained = opened.trained
    if trained.space.conditions is not None:
        raise InputError(
            f"the generator of '{trained.header.variant.name}' is told its labels: no direction stands for them",
            hint="gankit sample --label; the directions of --method sefa keep them",
        )
    data, catalogue = training_data(opened, settings)
    names, labelled, labels = (
        _of_sibling(sibling, settings, trained.data.shape) if sibling is not None else _of_data(data)
    )
    space = choose_space(settings.features, data, catalogue, trained.header.critic_spaces).to(trained.device)
    features = extract(space, labelled, len(labels), trained.device, "features of labelled samples").features
    probe, known = _probe(features, labels)
    scores = _scores(space, sampled(trained, SAMPLES), trained.device) @ probe
    return Named(from_scores(trained, scores, names), dict(zip(names, known, strict=True)))


def _of_data(data: Dataset) -> tuple[list[str], Source, Tensor]:
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:REAL]
    if data.conditions is not None and data.spec.attributes:
        names, labels = [attribute.name for attribute in data.spec.attributes], data.conditions[order]
    elif data.labels is not None and len(data.spec.classes) > 1:
        names, labels = [*data.spec.classes], one_hot(data.labels[order], len(data.spec.classes))
    else:
        raise InputError(
            f"'{printable(data.name)}' has no labels by which directions could be named",
            hint="--method sefa needs none; or --labels-from a conditional generator of the same data",
        )
    return names, lambda start, stop: data.samples[order[start:stop]], labels


def _of_sibling(path: Path, settings: EvalSettings, shape: tuple[int, ...]) -> tuple[list[str], Source, Tensor]:
    sibling = load(path, device=settings.device)
    conditions = sibling.space.conditions
    if conditions is None or tuple(sibling.data.shape) != tuple(shape):
        what = "is unconditional" if conditions is None else f"makes {list(sibling.data.shape)}"
        raise InputError(f"--labels-from {printable(path)}: it {what}", hint="a conditional generator of the same data")
    names = [attribute.name for attribute in sibling.data.attributes] or [*sibling.data.classes]
    if not names:
        names = [f"y{number}" for number in range(conditions.length)]
    labels = conditions.of_seeds(range(REAL))

    def source(start: int, stop: int) -> Tensor:
        return torch.cat(list(sibling.stream(range(start, stop))))

    return names, source, labels


def _probe(features: Tensor, labels: Tensor) -> tuple[Tensor, list[float]]:
    """Ridge regression of labels [N, K] on features [N, D]: slopes [D, K], correlations on held-out rows [K]."""
    scale = features.double().std(0).clamp_min(1e-6)
    x, y = features.double() / scale, labels.double()
    cut = max(1, round(len(x) * (1 - HELD_OUT)))
    mean, centre = x[:cut].mean(0), y[:cut].mean(0)
    fitted = x[:cut] - mean
    slopes = torch.linalg.solve(
        fitted.T @ fitted + RIDGE * cut * torch.eye(x.shape[1], dtype=x.dtype), fitted.T @ (y[:cut] - centre)
    )
    guess, truth = (x[cut:] - mean) @ slopes, y[cut:] - y[cut:].mean(0)
    guess = guess - guess.mean(0)
    known = (guess * truth).sum(0) / (guess.norm(dim=0) * truth.norm(dim=0)).clamp_min(1e-12)
    return (slopes / scale[:, None]).float(), known.tolist()


def _scores(space: FeatureSpace, samples: Iterator[Tensor], device: torch.device) -> Tensor:
    with torch.no_grad():
        return torch.cat([space(part.to(device))[0].float().cpu() for part in samples])
