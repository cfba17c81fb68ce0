"""The training images nearest to samples, which show what was learnt and what may have been copied."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gankit.data import Dataset
from gankit.errors import InputError
from gankit.measure.features import choose_space
from gankit.measure.features.extract import extract
from gankit.measure.features.space import known_to_the_critic
from gankit.modality.images import pixels_of
from gankit.modality.modality import Pixels
from gankit.sample.walks import drawable
from gankit.score.evaluate import EvalSettings, open_checkpoint, training_data

log = logging.getLogger("gankit")
PIXELS = "pixels"
_IMAGES_AT_A_TIME = 4096


@dataclass(frozen=True)
class Neighbours:
    """Samples [N, H, W, C], and the k nearest training images of each: images [N, k, H, W, C], indices, distances."""

    seeds: tuple[int, ...]
    samples: Pixels
    images: Pixels
    indices: Tensor  # [N, k] int64 into the training set
    distances: Tensor  # [N, k]; L2 distances of pixels in 0..1, or of features
    space: str


def nearest(samples: Tensor, parts: Iterable[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """Vectors [N, D] and parts [m, D] of another set -> ascending distances [N, k] and indices [N, k] into that set.

    Only one part is in memory at a time.
    """
    distances, indices = torch.empty(len(samples), 0), torch.empty(len(samples), 0, dtype=torch.int64)
    start = 0
    for rows in parts:
        part = torch.cdist(samples, rows, compute_mode="donot_use_mm_for_euclid_dist")
        numbers = torch.arange(start, start + len(rows)).expand(len(samples), -1)
        start += len(rows)
        distances, indices = torch.cat([distances, part], dim=1), torch.cat([indices, numbers], dim=1)
        distances, order = distances.topk(min(k, distances.shape[1]), largest=False)
        indices = indices.gather(1, order)
    return distances, indices


def neighbours(
    target: str | Path,
    seeds: Sequence[int] = range(8),
    k: int = 5,
    *,
    features: str = PIXELS,
    settings: EvalSettings | None = None,
) -> Neighbours:
    """The k nearest training images of some seeds' samples, by pixels (L2) or in a feature space of `gankit eval`.

    The training set is found as in `gankit eval`. A near neighbour in pixels does not prove copying, and a far one does
    not disprove it (a shifted copy is far); the metric `duplicates` measures copying.
    """
    settings = settings or EvalSettings()
    opened = open_checkpoint(Path(target), settings)
    trained = opened.trained
    drawable(trained, len(seeds) * (k + 1), "a picture of neighbours")
    data, catalogue = training_data(opened, settings)
    if not 1 <= k <= len(data):
        raise InputError(f"{k} neighbours of {len(data):,} training images", hint=f"-k 1 to {len(data):,}")
    as_data = torch.cat(list(trained.stream(list(seeds))))
    if features == PIXELS:
        vectors = _as_vectors(as_data)
        parts: Iterable[Tensor] = map(_as_vectors, torch.split(data.samples, _IMAGES_AT_A_TIME))
    else:
        space = choose_space(features, data, catalogue).to(trained.device)
        if space.feature_space in trained.header.critic_spaces:
            log.warning("%s", known_to_the_critic(space.name))
        vectors = extract(space, lambda a, b: as_data[a:b], len(as_data), trained.device, "samples").features
        of_data = extract(space, lambda a, b: data.samples[a:b], len(data), trained.device, "images").features
        parts = torch.split(of_data, _IMAGES_AT_A_TIME)
    distances, indices = nearest(vectors, parts, k)
    return Neighbours(tuple(seeds), pixels_of(as_data), _pictures(data, indices), indices, distances, features)


def _as_vectors(images: Tensor) -> Tensor:
    """uint8 images [N, C, H, W] -> float32 [N, C * H * W]; differences are those of pixels in 0..1."""
    return images.float().div(255).flatten(1)


def _pictures(data: Dataset, indices: Tensor) -> Pixels:
    pixels = pixels_of(data.samples[indices.flatten()])
    shaped: Pixels = pixels.reshape(*indices.shape, *pixels.shape[1:])
    return shaped
