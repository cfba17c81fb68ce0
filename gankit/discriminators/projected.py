"""Small critics on random mixtures of the feature maps of a frozen network (Sauer et al. 2021, arXiv 2111.01007)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate
from torch.nn.utils.parametrizations import spectral_norm

from gankit.discriminators.layers import SLOPE, alike
from gankit.errors import InputError
from gankit.measure.features.frozen import FrozenLite0

Mixing = Literal["scales", "channels", "none"]
STRIDES = (4, 8, 16, 32)  # of the maps of the frozen network
LEAST = 4  # side of the maps of logits, where the side of the images allows it
GROWTH = 4  # a critic's channels double with each halving, up to so many times those that it begins with


class Projected(nn.Module):
    """Small critics on random mixtures of frozen features (Sauer et al. 2021): images -> [N, 4, h, w].

    Images [N, C, H, W] in [-1, 1], grey or RGB, of any size: they are resized to `side` x `side` for the frozen
    EfficientNet-Lite0 (the extra `lite0`), whose maps of four strides are mixed by random convolutions. Only critics
    learn; the finest has `width` channels. y [N, condition] enters by projection. Scores in the space `lite0` say
    nothing about what was trained with it.

    InputError for a side that is no multiple of 32 up to 320, ResourceError without the weights.
    """

    def __init__(self, *, side: int = 96, width: int = 32, mixing: Mixing = "scales", condition: int = 0) -> None:
        super().__init__()
        if side % STRIDES[-1]:
            raise InputError(
                f"side={side}: the maps of the frozen network have strides up to {STRIDES[-1]}",
                hint=f"a multiple of {STRIDES[-1]}: side={max(2, round(side / 32)) * 32}",
            )
        self.projection = Projection(side, width, mixing)
        scales = zip(self.projection.widths, STRIDES, strict=True)
        self.critics = nn.ModuleList(ScaleCritic(channels, side // s, condition) for channels, s in scales)

    @staticmethod
    def sides(side: int) -> list[int]:
        """The sides of the four maps of logits for images that are resized to `side` pixels."""
        return [side // stride >> halvings(side // stride) for stride in STRIDES]

    def features(self, images: Tensor) -> list[Tensor]:
        """The activations of the critics after every layer, scale after scale."""
        maps = self.projection(images)
        return [found for critic, x in zip(self.critics, maps, strict=True) for found in critic.activations(x)]  # type: ignore[operator]

    def logits(self, images: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """Images (and y) -> the logits [N, h, w] of the four scales."""
        maps = self.projection(images)
        return [critic(x, condition) for critic, x in zip(self.critics, maps, strict=True)]

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images [N, C, H, W] (and y [N, K]) -> scores [N, 4, h, w]; scales count alike."""
        return alike(self.logits(images, condition))


class RandomConv(nn.Module):
    """A convolution with fixed random weights (Kaiming), which keeps the resolution."""

    weight: Tensor

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        # There is no activation after it, so the gain is one: the variance stays as it is.
        weight = nn.init.kaiming_normal_(torch.empty(out, channels, kernel, kernel), nonlinearity="linear")
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)


class Projection(nn.Module):
    """Images -> four maps of the strides 4, 8, 16 and 32: frozen features, mixed at random.

    Cross-channel mixing (CCM) is a random 1x1 convolution at each scale. Cross-scale mixing (CSM) goes from the
    coarsest to the finest scale: the mixed coarser map is enlarged and added, and a random 3x3 convolution follows.
    """

    def __init__(self, side: int, width: int, mixing: Mixing) -> None:
        super().__init__()
        self.features = FrozenLite0(side)
        self.ccm, self.csm = nn.ModuleList(), nn.ModuleList()
        self.widths: list[int] = list(self.features.channels)
        if mixing != "none":
            mixed = [width << scale for scale in range(len(STRIDES))]
            self.ccm.extend(RandomConv(*pair, 1) for pair in zip(self.widths, mixed, strict=True))
            self.widths = mixed
        if mixing == "scales":
            finer = [width, *self.widths[:-1]]
            self.csm.extend(RandomConv(*pair, 3) for pair in zip(self.widths, finer, strict=True))
            self.widths = finer

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.features.maps(images)
        if self.ccm:
            maps = [mix(x) for mix, x in zip(self.ccm, maps, strict=True)]
        if self.csm:
            maps[-1] = self.csm[-1](maps[-1])
            for scale in (2, 1, 0):
                coarser = interpolate(maps[scale + 1], scale_factor=2, mode="bilinear", align_corners=False)
                maps[scale] = self.csm[scale](maps[scale] + coarser)
        return maps


class ScaleCritic(nn.Module):
    """A map [N, C, h, h] (and y [N, K]) -> its logits [N, s, s].

    A few convolutions with spectral normalisation. y enters by projection (Miyato and Koyama, 2018). There is no batch
    norm, which the authors' code has: it would couple the samples of a batch.
    """

    def __init__(self, channels: int, side: int, condition: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        out = channels
        for number in range(halvings(side)):
            before, out = out, min(channels << (number + 1), channels * GROWTH)
            layers += [nn.Conv2d(before, out, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.logits = nn.Conv2d(out, 1, 3, padding=1)
        self.embed = nn.Linear(condition, out, bias=False) if condition else None
        for layer in list(self.modules()):
            if isinstance(layer, nn.Conv2d | nn.Linear):
                spectral_norm(layer)

    def activations(self, x: Tensor) -> list[Tensor]:
        """What each leaky ReLU gives."""
        found = []
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number % 2:
                found.append(x)
        return found

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.layers(x)
        logits: Tensor = self.logits(x).squeeze(1)
        if self.embed is not None and condition is not None:
            logits = logits + (self.embed(condition)[:, :, None, None] * x).sum(1)
        return logits


def halvings(side: int) -> int:
    """How often a map is halved while its side stays even, and at least 4."""
    count = 0
    while side % 2 == 0 and side // 2 >= LEAST:
        count, side = count + 1, side // 2
    return count
