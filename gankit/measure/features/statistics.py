"""The `statistics` space: plain figures of each channel, for signals, volumes and images without colours or labels.

It needs no weights and no labels. It sees what levels, spectrum, roughness and coarse shape tell, and nothing that a
network would recognise; scores in it compare generators of the same data and mean nothing beyond.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from gankit.base.files import tensors_digest
from gankit.data import Dataset, spaced
from gankit.errors import InputError
from gankit.measure.features.space import FeatureSpace
from gankit.modality import modality_of

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
BANDS = 12  # of the spectrum along each axis, each about twice as wide as the one before
COARSE = {1: 16, 2: 4, 3: 3}  # means of a grid of so many cells along each axis, by the number of axes
LOOKED_AT = 4_096  # samples of the data by which the figures are scaled
FLAT = 1e-3  # smallest scale of a figure: one that hardly varies in the data must not decide a score


class StatisticsSpace(FeatureSpace):
    """The figures of `statistics_of`, each with mean 0 and deviation 1 over the data."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        sha256 = tensors_digest({"mean": mean, "scale": scale})
        protocol = {"quantiles": len(QUANTILES), "bands": BANDS}
        super().__init__(name="statistics", sha256=sha256, dim=len(mean), protocol=protocol)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, samples: Tensor) -> tuple[Tensor, None]:
        floats = modality_of(tuple(samples.shape[1:])).floats(samples)
        return (statistics_of(floats) - self.mean) / self.scale, None


def statistics(data: Dataset, argument: str) -> FeatureSpace:
    """The space of a data set, scaled by its samples; InputError for points."""
    if argument:
        raise InputError("features 'statistics' take no argument", hint="--features statistics")
    if data.spec.kind == "points":
        raise InputError("features 'statistics' are not for points", hint="use --features points")
    chosen = spaced(len(data), LOOKED_AT)
    figures = torch.cat([statistics_of(data.real(part)) for part in torch.split(chosen, 256)]).double()
    return StatisticsSpace(figures.mean(0).float(), figures.std(0, correction=0).clamp_min(FLAT).float())


def statistics_of(samples: Tensor) -> Tensor:
    """Samples [N, C, …] in [-1, 1] with one to three axes -> figures [N, C * K], channel after channel.

    K figures of a channel: quantiles of its values, mean and deviation; along each axis the root mean square of the
    differences between neighbours and of the spectrum in bands; the means of a coarse grid.
    """
    flat = samples.flatten(2)
    ranks = torch.tensor([round(quantile * (flat.shape[2] - 1)) for quantile in QUANTILES], device=samples.device)
    levels = flat.sort(dim=2).values.index_select(2, ranks)
    figures = [levels, flat.mean(2, keepdim=True), flat.std(2, correction=0, keepdim=True)]
    coarse = samples
    for axis in range(2, samples.ndim):
        if samples.shape[axis] > 1:
            figures.append(samples.diff(dim=axis).flatten(2).square().mean(2, keepdim=True).sqrt())
        figures.append(_bands(samples, axis))
        cells = min(samples.shape[axis], COARSE[samples.ndim - 2])
        coarse = torch.stack([part.mean(axis) for part in torch.tensor_split(coarse, cells, axis)], axis)
    figures.append(coarse.flatten(2))
    return torch.cat(figures, dim=2).flatten(1)


def _bands(samples: Tensor, axis: int) -> Tensor:
    """log10 of the mean power of the spectrum along an axis in bands [N, C, B], from the lowest frequency on."""
    power = torch.fft.rfft(samples.float(), dim=axis, norm="ortho").abs().square()
    power = power.movedim(axis, -1).flatten(2, -2).mean(2) if samples.ndim > 3 else power
    frequencies = power.shape[-1] - 1  # without the mean
    edges = sorted({round(frequencies * 2.0**-k) for k in range(BANDS)} | {0}) if frequencies else [0]
    bands = [power[..., 1 + low : 1 + high].mean(-1) for low, high in pairwise(edges)]
    stacked = torch.stack(bands, dim=-1) if bands else power[..., :0]
    return (stacked + 1e-8).log10()
