"""Points with a known distribution: the classic toy problems, on which lost modes can be counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gankit.data.dataset import Dataset
from gankit.data.formats import Array

SET_SIZE = 50_000
_SEED = 20140610  # the date of the first GAN paper; any fixed number would do


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussians of equal weight: centres [K, D] float64, one standard deviation for all of them and all axes."""

    centres: Array
    sigma: float

    @property
    def dim(self) -> int:
        """D: 1 or 2."""
        return int(self.centres.shape[1])

    def density(self, places: Tensor) -> Tensor:
        """Places [m, D] -> the true density there [m]."""
        k, dim = self.centres.shape
        squares = torch.cdist(places.double(), torch.from_numpy(self.centres)).square()
        scale = k * (2 * np.pi * self.sigma**2) ** (dim / 2)
        density: Tensor = torch.exp(-0.5 * squares / self.sigma**2).sum(1) / scale
        return density.float()


def _ring() -> Array:
    s = np.sqrt(2.0)
    return np.array([[2, 0], [s, s], [0, 2], [-s, s], [-2, 0], [-s, -s], [0, -2], [s, -s]])


def _grid() -> Array:
    side = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
    return np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)


MIXTURES = {
    "gaussian1d": Mixture(np.array([[4.0]]), 0.5),
    "ring8": Mixture(_ring(), 0.02),  # Unrolled GAN, section 3.1
    "grid25": Mixture(_grid(), 0.05),
}


def gaussian1d() -> Dataset:
    """N(4, 0.5^2): points [50000, 1] without labels."""
    points = 4 + 0.5 * np.random.RandomState(_SEED).standard_normal((SET_SIZE, 1))
    return Dataset.from_arrays("gaussian1d", points)


def ring8() -> Dataset:
    """Eight Gaussians, sigma 0.02, on a circle of radius 2 (Unrolled GAN, section 3.1): points [50000, 2]."""
    return _draw("ring8")


def grid25() -> Dataset:
    """Twenty-five Gaussians, sigma 0.05, on the grid {-4, -2, 0, 2, 4}^2: points [50000, 2]."""
    return _draw("grid25")


def _draw(name: str) -> Dataset:
    mixture = MIXTURES[name]
    labels = np.arange(SET_SIZE) % len(mixture.centres)  # the same number of points per mode
    # RandomState, because NumPy guarantees that its numbers never change.
    noise = np.random.RandomState(_SEED).standard_normal((SET_SIZE, 2))
    return Dataset.from_arrays(name, mixture.centres[labels] + mixture.sigma * noise, labels)
