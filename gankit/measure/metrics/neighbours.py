"""Precision, recall, density and coverage: the share of one set that is near the other, by nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.errors import InputError
from gankit.measure.metrics.two_sets import TwoSets

ROWS = 1024  # rows of distances computed at a time, so that memory is ROWS x n and not n x n


class _Neighbours(TwoSets):
    """Metrics of k-nearest-neighbour balls, in float64."""

    higher_is_better = True
    reads = "features"

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.protocol = {"k": k}

    def sets(self) -> tuple[Tensor, Tensor]:
        """Reference and samples, each [n, dim] float64; InputError for a set without k neighbours per point."""
        real, fake = super().sets()
        if min(len(real), len(fake)) <= self.k:
            raise InputError(f"{type(self).__name__} with k={self.k} needs more than {self.k} samples of each kind")
        return real.double(), fake.double()


class PrecisionRecall(_Neighbours):
    """Improved precision and recall (Kynkaanniemi et al. 2019, eq. 1-2), each in [0, 1].

    Precision: share of samples within the k-NN ball of some real image. Recall: share of real images within the k-NN
    ball of some sample. Balls are open (`<`), as in the `prdc` package.
    """

    def __init__(self, k: int = 3) -> None:
        super().__init__(k)

    def compute(self) -> dict[str, Tensor]:
        """{'precision': …, 'recall': …}"""
        real, fake = self.sets()
        real_radii, fake_radii = radii(real, self.k), radii(fake, self.k)
        precise = torch.cat([(torch.cdist(rows, real) < real_radii).any(dim=1) for rows in torch.split(fake, ROWS)])
        recalled = torch.cat([(torch.cdist(rows, fake) < fake_radii).any(dim=1) for rows in torch.split(real, ROWS)])
        return {"precision": precise.double().mean(), "recall": recalled.double().mean()}


class DensityCoverage(_Neighbours):
    """Density in [0, n_real / k], about 1 when the sets agree, and coverage in [0, 1] (Naeem et al. 2020, eq. 3-4).

    Density: mean number of k-NN balls of real images that contain a sample, over k. Coverage: share of real images with
    a sample in their ball.
    """

    def __init__(self, k: int = 5) -> None:
        super().__init__(k)

    def compute(self) -> dict[str, Tensor]:
        """{'density': …, 'coverage': …}"""
        real, fake = self.sets()
        balls = radii(real, self.k)
        hits = torch.zeros((), dtype=torch.int64)
        covered = torch.zeros(len(real), dtype=torch.bool)
        for rows in torch.split(fake, ROWS):
            inside = torch.cdist(rows, real) < balls
            hits += inside.sum()
            covered |= inside.any(dim=0)
        return {"density": hits.double() / (self.k * len(fake)), "coverage": covered.double().mean()}


def radii(points: Tensor, k: int) -> Tensor:
    """Distance [n] of each point to its k-th nearest other point."""
    # The point itself is the first of the k + 1 smallest.
    return torch.cat([torch.cdist(rows, points).kthvalue(k + 1, dim=1).values for rows in torch.split(points, ROWS)])
