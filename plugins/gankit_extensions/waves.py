"""Sines of the coordinates for a discriminator of points, which learns slow functions first (Tancik et al., 2020)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gankit.plugin import CriticOutput, DataSpec, ExtensionInfo, InputError, PointDiscriminator, hookimpl, option

SLOWEST = 0.3  # radians per unit of the points


@dataclass(frozen=True)
class Options:
    count: int = option(64, ge=1, le=4096, help="sines beside the coordinates")
    fastest: float = option(
        16.0, gt=SLOWEST, schedule=False, help="highest frequency in radians per unit; the lowest one is 0.3"
    )


class Waves(nn.Module):
    """x [N, D] -> [N, D + count]: x, and sines of random projections of x with frequencies even on a log scale."""

    frequencies: Tensor
    phases: Tensor

    def __init__(self, dim: int, count: int, fastest: float) -> None:
        super().__init__()
        directions = nn.functional.normalize(torch.randn(count, dim), dim=1)
        rates = torch.logspace(math.log10(SLOWEST), math.log10(fastest), count)
        # Buffers, because WGAN clips parameters.
        self.register_buffer("frequencies", directions * rates[:, None])
        self.register_buffer("phases", 2 * math.pi * torch.rand(count))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.frequencies.dtype)
        with torch.autocast(x.device.type, enabled=False):  # bf16 has no digits left for the phase of a fast sine
            waves = nn.functional.linear(x, self.frequencies, self.phases).sin()
        return torch.cat([x, math.sqrt(2) * waves], dim=1)


class Discriminator(nn.Module):
    """points [N, D] (and y [N, K]) -> scores [N] or [N, 1 + heads]."""

    def __init__(self, dim: int, condition: int, output: CriticOutput, options: Options) -> None:
        super().__init__()
        self.waves = Waves(dim, options.count, options.fastest)
        self.perceptron = PointDiscriminator(dim + options.count, condition=condition, output=output)

    def forward(self, points: Tensor, condition: Tensor | None = None) -> Tensor:
        scores: Tensor = self.perceptron(self.waves(points), condition)
        return scores


class Extension:
    """Core's perceptron behind the sines."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_discriminator(self, data: DataSpec, output: CriticOutput) -> nn.Module:
        if len(data.shape) != 1:
            raise InputError(f"waves is for points, and these are {data.kind}", hint="leave out --with waves")
        if output.code:
            raise InputError("waves gives a score, and this loss reads a reconstruction", hint="leave out --with waves")
        return Discriminator(data.shape[0], data.condition, output, self.options)


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="Waves", options=Options, make=Extension)
