"""Scores of patches and of pixels, at one size of the samples or at several."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from gankit.discriminators.layers import CONVOLUTIONS, POOLS, SLOPE, Norm, alike, block, normed
from gankit.errors import InputError


class Patch(nn.Module):
    """Scores of patches (PatchGAN; Isola et al. 2017, section 3.2.2): samples [N, C, …] -> [N, …].

    `axes` is 1 for signals [N, C, T], 2 for images, 3 for volumes. With 3 `layers` the maps are about an eighth as wide
    as the samples, and each score sees 70 positions along every axis; with 2 a quarter, and 34. Any size from 2 **
    layers on.
    """

    def __init__(
        self, channels: int, *, axes: int = 2, width: int = 64, layers: int = 3, norm: Norm = "none", most: int = 512
    ) -> None:
        super().__init__()
        if axes not in CONVOLUTIONS or channels < 1 or layers < 1:
            raise InputError(
                f"Patch of {channels} channels, {axes} axes and {layers} layers", hint="axes are 1, 2 or 3"
            )
        widths = [min(most, width * 2**number) for number in range(layers + 1)]
        blocks = [block(axes, channels, widths[0], stride=2, norm="spectral" if norm == "spectral" else "none")]
        blocks += [block(axes, a, b, stride=2, norm=norm) for a, b in itertools.pairwise(widths[:-1])]
        blocks += [block(axes, widths[-2], widths[-1], stride=1, norm=norm)]
        self.blocks = nn.ModuleList(blocks)
        self.score = normed(CONVOLUTIONS[axes](widths[-1], 1, 4, 1, 2), norm)

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations after every block."""
        found = []
        for layer in self.blocks:
            samples = layer(samples)
            found.append(samples)
        return found

    def forward(self, samples: Tensor) -> Tensor:
        """Samples [N, C, …] -> scores [N, …] of patches."""
        scores: Tensor = self.score(self.features(samples)[-1])
        return scores.squeeze(1)


class MultiScale(nn.Module):
    """Discriminators of one kind on samples at several sizes (Wang et al. 2018, section 3.2): -> [N, scales, …].

    Each next one sees half of the size. All maps are averaged down to the smallest, so that scales count alike.
    """

    def __init__(self, make: Callable[[], nn.Module], scales: int = 3, *, axes: int = 2) -> None:
        super().__init__()
        self.axes = axes
        self.each = nn.ModuleList(make() for _ in range(scales))

    def _inputs(self, samples: Tensor) -> list[Tensor]:
        inputs = [samples]
        for _ in range(len(self.each) - 1):
            inputs.append(POOLS[self.axes](inputs[-1], 3, 2, 1, count_include_pad=False))
        return inputs

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations of all scales."""
        inputs = self._inputs(samples)
        return [found for one, x in zip(self.each, inputs, strict=True) for found in one.features(x)]  # type: ignore[operator]

    def forward(self, samples: Tensor) -> Tensor:
        """Samples [N, C, …] -> scores [N, scales, …]."""
        return alike([one(x) for one, x in zip(self.each, self._inputs(samples), strict=True)])


class UNet(nn.Module):
    """A score for every pixel, from an encoder and a decoder with skips: images [N, C, H, W] -> [N, H, W].

    As in Real-ESRGAN (Wang et al. 2021, section 3.4), after Schönfeld et al. 2020. Sides are multiples of 2 ** depth.
    """

    def __init__(self, channels: int, *, width: int = 64, depth: int = 3, norm: Norm = "spectral") -> None:
        super().__init__()
        self.depth = depth
        widths = [width * 2**number for number in range(depth + 1)]
        self.first = nn.Conv2d(channels, width, 3, 1, 1)
        self.down = nn.ModuleList(block(2, a, b, stride=2, norm=norm) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(
            block(2, b, a, stride=1, norm=norm, kernel=3) for a, b in reversed(list(itertools.pairwise(widths)))
        )
        self.last = block(2, width, width, stride=1, norm=norm, kernel=3)
        self.score = nn.Conv2d(width, 1, 3, 1, 1)

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations after every layer."""
        if any(side % 2**self.depth for side in samples.shape[2:]):
            sides = "x".join(map(str, samples.shape[2:]))
            raise InputError(
                f"UNet of depth {self.depth}: sides {sides} are no multiples of {2**self.depth}",
                hint="a smaller depth=",
            )
        x = F.leaky_relu(self.first(samples), SLOPE)
        skips = [x]
        for layer in self.down:
            skips.append(layer(skips[-1]))
        found, x = skips[:], skips[-1]
        for layer, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = layer(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)) + skip
            found.append(x)
        return [*found, self.last(x)]

    def forward(self, samples: Tensor) -> Tensor:
        """Images [N, C, H, W] -> scores [N, H, W]."""
        scores: Tensor = self.score(self.features(samples)[-1])
        return scores.squeeze(1)
