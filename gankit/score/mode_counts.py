"""Samples counted by their mode: modes covered, the share of good samples, divergences from the true weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gankit.data.formats import Array
from gankit.data.sets.synthetic import Mixture

WITHIN = 3.0  # standard deviations from the nearest mode within which a point is good
SHARE_HELD = 0.1  # share of its expected samples that a mode which is "held" has at least
NO_MODE = -1
_CHUNK = 65_536  # points at a time


@dataclass(frozen=True, eq=False)
class ModeCounts:
    """Good samples of each mode [K], of `n` samples in all, and the true weights [K], which sum to 1."""

    counts: Array
    n: int
    weights: Array

    @property
    def covered(self) -> int:
        """Modes with at least one good sample."""
        return int((self.counts > 0).sum())

    @property
    def held(self) -> int:
        """Modes with at least a tenth of the good samples that a perfect sampler would give them on average."""
        return int(((self.counts > 0) & (self.counts >= SHARE_HELD * self.n * self.weights)).sum())

    @property
    def good(self) -> float:
        """Share of good samples, 0 to 1."""
        return float(self.counts.sum() / self.n)

    def scores(self) -> dict[str, float]:
        """The numbers by name; `jsd` and `kl` are left out if no sample is good."""
        found = {"covered": float(self.covered), "held": float(self.held), "good": self.good}
        if not self.counts.any():
            return found
        shares = self.counts / self.counts.sum()
        return found | {"jsd": jensen_shannon(shares, self.weights), "kl": kullback_leibler(shares, self.weights)}


def kullback_leibler(p: Array, q: Array) -> float:
    """KL(p || q) = sum p ln(p / q) in nats of distributions [K], with 0 ln 0 = 0; q > 0 wherever p > 0."""
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())


def jensen_shannon(p: Array, q: Array) -> float:
    """The mean of KL(p || m) and KL(q || m) with m = (p + q) / 2, in nats: 0 for equal ones, ln 2 for disjoint ones."""
    middle = (p + q) / 2
    return (kullback_leibler(p, middle) + kullback_leibler(q, middle)) / 2


def count_modes(modes: Tensor, weights: Array) -> ModeCounts:
    """The mode of each sample, int64 [n] with -1 for samples that are not good, -> counts."""
    counts = torch.bincount(modes[modes != NO_MODE], minlength=len(weights))
    return ModeCounts(counts.numpy(), len(modes), weights)


def nearest_modes(points: Tensor, truth: Mixture) -> Tensor:
    """Points [n, D] -> the nearest mode of each, int64 [n]; -1 if it is three standard deviations away or more."""
    centres = torch.from_numpy(truth.centres)
    parts = []
    for part in torch.split(points.double(), _CHUNK):
        distances, nearest = torch.cdist(part, centres, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
        parts.append(torch.where(distances < WITHIN * truth.sigma, nearest, NO_MODE))
    return torch.cat(parts)
