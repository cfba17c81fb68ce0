"""Memorisation by recovery: are training images found in the generator better than others that it has never seen?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from gankit.base.seeds import derive_seed
from gankit.data import Dataset
from gankit.errors import InputError
from gankit.machine import streams
from gankit.measure.record import Protocol, Score
from gankit.sample import invert as inversion
from gankit.sample.generator import TrainedGenerator

NAME = "recovery"
IMAGES = 200  # of each kind
RESTARTS = 2


def recovery(
    trained: TrainedGenerator, train: Dataset, others: Dataset, *, split: str, n: int | None, seed: int
) -> tuple[Protocol, Mapping[str, Score]]:
    """Scores by latent recovery (Webster et al. 2019, section 3), with their protocol.

    `recovery_train` and `recovery_other` are medians of the root mean squared error (pixels 0 to 1) of the nearest
    samples to n training images and n others; `recovery_gap` is (other - train) / other: above 0 where training images
    are nearer. `recovery_p` is the p-value of the two-sample Kolmogorov-Smirnov test that both have one distribution.
    InputError where there are no others, or too few.
    """
    if others.fingerprint == train.fingerprint:
        raise InputError(
            "recovery compares training images with others, and there are none",
            hint="--split test, or --against DATA that it was not trained on",
        )
    n = n or min(IMAGES, len(train), len(others))
    if not 20 <= n <= min(len(train), len(others)):
        have = f"{len(train):,} training images and {len(others):,} others"
        raise InputError(f"recovery of {n:,} of {have}", hint=f"-n from 20 to {min(len(train), len(others)):,}")
    of_train, of_others = (
        _errors(trained, _some(data, n, seed), seed, what)
        for data, what in ((train, "training images"), (others, "other images"))
    )
    medians = [float(errors.median()) for errors in (of_train, of_others)]
    gap = (medians[1] - medians[0]) / max(medians[1], 1e-12)
    protocol = Protocol(
        data_fingerprint=others.fingerprint,
        train_fingerprint=train.fingerprint,
        split=split,
        shape=others.spec.shape,
        features="latent recovery",
        features_sha256="none",
        preparation={},
        quantisation="uint8" if others.spec.is_image else "float32",
        n=n,
        n_real=n,
        n_floor=0,
        n_train=n,
        seed=seed,
        metrics={NAME: {"restarts": RESTARTS, "steps": inversion.STEPS, "bank": inversion.BANK}},
    )
    scores = {
        "recovery_p": Score(kolmogorov_smirnov(of_train, of_others), metric=NAME, higher_is_better=True),
        "recovery_gap": Score(gap, 0.0, metric=NAME, higher_is_better=False),
        "recovery_train": Score(medians[0], medians[1], metric=NAME),
        "recovery_other": Score(medians[1], metric=NAME, higher_is_better=False),
    }
    return protocol, scores


def _some(data: Dataset, n: int, seed: int) -> Tensor:
    order = torch.randperm(len(data), generator=streams.generator(derive_seed(seed, "recovery")))
    return data.samples[order[:n]]


def _errors(trained: TrainedGenerator, samples: Tensor, seed: int, what: str) -> Tensor:
    """Root mean squared errors [n] of the nearest samples."""
    module = inversion.frozen(trained.module, trained.device)
    within = inversion.search_space(module, trained.space, trained.device, None)
    targets = trained.modality.floats(samples).flatten(1) / 2  # [-1, 1] is twice as wide as 0..1
    found = inversion.invert(
        targets, within, trained.space, view=lambda made: made.flatten(1) / 2,
        restarts=RESTARTS, seed=seed, device=trained.device, what=what,
    )  # fmt: skip
    return (found.errors / targets.shape[1]).sqrt()


def kolmogorov_smirnov(a: Tensor, b: Tensor) -> float:
    """The p-value that values a [n] and b [m] have one distribution, by the asymptotic law of their largest distance.

    Good from about 20 values each on (Stephens 1970: the correction of the square root).
    """
    values = torch.cat([a, b]).double().sort().values
    shares = [torch.searchsorted(part.double().sort().values, values, right=True) / len(part) for part in (a, b)]
    distance = float((shares[0] - shares[1]).abs().max())
    root = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    x = (root + 0.12 + 0.11 / root) * distance
    if x < 0.2:  # where the series hardly converges, the probability differs from 1 by less than 1e-12
        return 1.0
    p: float = 2 * sum((-1.0) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, p))
