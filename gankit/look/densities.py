"""What is computed from samples whose true distribution is known: densities, D*, distances and modes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gankit.data.sets.synthetic import Mixture
from gankit.score.mode_counts import count_modes, nearest_modes


def optimal_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """p_data / (p_data + p_g); 1/2 where both densities are 0."""
    both = real + fake
    share: Tensor = torch.where(both > 1e-12, real / both.clamp_min(1e-12), 0.5)
    return share


def kernel_density(samples: Tensor, places: Tensor) -> Tensor:
    """Samples [n, 1] -> their density [m] at places [m, 1], by Gaussian kernels of Silverman's width."""
    values = samples[:, 0].double()
    spread = torch.minimum(values.std(), (values.quantile(0.75) - values.quantile(0.25)) / 1.34)
    width = (0.9 * spread * len(values) ** -0.2).clamp_min(1e-3)
    near: Tensor = torch.exp(-0.5 * ((places.double() - values[None]) / width).square()).mean(1)
    density: Tensor = near / (width * math.sqrt(2 * math.pi))
    return density.float()


def wasserstein(samples: Tensor, truth: Mixture) -> float:
    """W1 between samples [n, 1] and the truth, in units of x: the area between their distribution functions.

    Infinite if a sample is not finite.
    """
    values = samples[:, 0].double().sort().values
    if not bool(values.isfinite().all()):
        return math.inf
    centres = torch.from_numpy(truth.centres)[:, 0]
    tails = 8 * truth.sigma
    low, high = min(values[0], centres.min() - tails), max(values[-1], centres.max() + tails)
    x = torch.linspace(float(low), float(high), 20_001, dtype=torch.float64)
    real = torch.special.ndtr((x[:, None] - centres) / truth.sigma).mean(1)
    fake = torch.searchsorted(values, x, right=True) / len(values)
    return float(torch.trapezoid((fake - real).abs(), x))


def modes(samples: Tensor, truth: Mixture) -> tuple[int, float]:
    """The modes that hold a tenth of their share, and the share of samples within three standard deviations of one."""
    weights = np.full(len(truth.centres), 1 / len(truth.centres))
    counted = count_modes(nearest_modes(samples, truth), weights)
    return counted.held, counted.good
