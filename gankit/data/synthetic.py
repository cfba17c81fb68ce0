"""Points whose true distribution is known: the classic toy problems, on which a lost mode can be counted."""

from __future__ import annotations

import numpy as np

from gankit.data.dataset import Dataset
from gankit.data.layout import Array

POINTS = 50_000
_SEED = 20140610  # any fixed number: the day the first GAN paper appeared


def gaussian1d() -> Dataset:
    """N(4, 0.5^2): points [50000, 1] without labels."""
    points = 4 + 0.5 * np.random.RandomState(_SEED).standard_normal((POINTS, 1))
    return Dataset.from_arrays("gaussian1d", points)


def ring8() -> Dataset:
    """Eight Gaussians, sigma 0.02, on a circle of radius 2 (Unrolled GAN, section 3.1): points [50000, 2]."""
    s = np.sqrt(2.0)
    centres = np.array([[2, 0], [s, s], [0, 2], [-s, s], [-2, 0], [-s, -s], [0, -2], [s, -s]])
    return _mixture("ring8", centres, 0.02)


def grid25() -> Dataset:
    """Twenty-five Gaussians, sigma 0.05, on the grid {-4, -2, 0, 2, 4}^2: points [50000, 2]."""
    side = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
    return _mixture("grid25", np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2), 0.05)


def _mixture(name: str, centres: Array, sigma: float) -> Dataset:
    labels = np.arange(POINTS) % len(centres)  # equally many points per mode
    # RandomState and not default_rng: NumPy promises never to change its numbers.
    noise = np.random.RandomState(_SEED).standard_normal((POINTS, 2))
    return Dataset.from_arrays(name, centres[labels] + sigma * noise, labels)
