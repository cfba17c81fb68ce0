"""The networks of StyleGAN2 for images of any size: a mapping, a synthesis with skips, a plain or residual critic."""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from gankit.plugin import gather
from gankit_variants.stylegan2_layers import (
    ROOT2,
    SLOPE,
    Blur,
    Convolution,
    Linear,
    Mapping,
    MinibatchDeviation,
    ModulatedConvolution,
    full_precision,
    normal,
)

W_DECAY = 0.995  # of the average of w, at each batch that is mapped in training
LEAST = 8  # channels of the finest stages


@dataclass(frozen=True)
class Plan:
    """Sizes of both networks."""

    width: int  # channels of the coarse stages
    full: int  # the finest side that has them all (of 4, 8, 16, …); then they halve with every finer stage
    w_dim: int  # length of w
    mapping: int  # layers from z to w
    label_mapping: int  # layers from a condition to the vector that D's features are compared with
    residual: bool  # whether D's blocks have skips
    group: int  # samples whose deviation D sees
    clamp: float | None = None  # activations stay within it, for fp16

    def stages(self, shape: tuple[int, ...]) -> list[tuple[tuple[int, int], int]]:
        """(C, H, W) -> [((h, w), channels)], coarsest first: 32 -> 4, 8, 16, 32, and 28 -> 4, 7, 14, 28."""
        sizes = [(shape[1], shape[2])]
        while min(sizes[0]) > 4:
            sizes.insert(0, ((sizes[0][0] + 1) // 2, (sizes[0][1] + 1) // 2))
        channels = [max(LEAST, min(self.width, self.width * self.full // (4 << i))) for i in range(len(sizes))]
        return list(zip(sizes, channels, strict=True))


# -- the generator -----------------------------------------------------------------------------------------------------


class StyledLayer(nn.Module):
    """x [N, C, h, w] and w [N, w_dim] -> [N, K, *size]: a modulated convolution, noise, a bias and a leaky ReLU.

    The noise, one number a pixel, has a learnt strength that begins at 0. It is drawn anew in training; in eval mode it
    is fixed, as samples are a function of z.
    """

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], plan: Plan, *, twice: bool) -> None:
        super().__init__()
        self.convolution = ModulatedConvolution(inputs, outputs, 3, plan.w_dim, demodulate=True, twice=twice)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", normal(*size))
        self.clamp = plan.clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, C, h, w] and w [N, w_dim] -> [N, K, *size]."""
        y, demodulation = self.convolution(x, w)
        size = self.noise.shape
        y = y[:, :, : size[0], : size[1]]  # twice an odd size is one too many
        noise = torch.randn(len(y), 1, *size, device=y.device) if self.training else self.noise
        shift = self.bias[:, None, None] * ROOT2
        y = torch.addcmul(shift.to(y.dtype), y, (demodulation * ROOT2).to(y.dtype))
        y = F.leaky_relu(y + (noise * (self.strength * ROOT2)).to(y.dtype), SLOPE, inplace=True)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class ToPixels(nn.Module):
    """x [N, C, h, w] and w [N, w_dim] -> what a stage adds to the image [N, channels, h, w]; not demodulated."""

    def __init__(self, inputs: int, channels: int, plan: Plan) -> None:
        super().__init__()
        self.convolution = ModulatedConvolution(inputs, channels, 1, plan.w_dim, demodulate=False, twice=False)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.clamp = plan.clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, C, h, w] and w [N, w_dim] -> [N, channels, h, w]."""
        y: Tensor = self.convolution(x, w)[0] + self.bias[:, None, None]
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class StyleGan2Generator(nn.Module):
    """z [N, z_dim], y [N, K] -> images [N, C, H, W], without a tanh: pixels are clamped where they are written."""

    w_average: Tensor

    def __init__(
        self, shape: tuple[int, ...], z_dim: int, plan: Plan, condition: int = 0, style_mixing: float = 0.0
    ) -> None:
        super().__init__()
        stages = plan.stages(shape)
        size, width = stages[0]
        self.mapping = Mapping(z_dim, condition, plan.w_dim, plan.mapping)
        self.register_buffer("w_average", torch.zeros(plan.w_dim))
        self.constant = nn.Parameter(normal(width, *size))
        self.layers = nn.ModuleList([StyledLayer(width, width, size, plan, twice=False)])
        for (_, inputs), (size, outputs) in itertools.pairwise(stages):
            self.layers.append(StyledLayer(inputs, outputs, size, plan, twice=True))
            self.layers.append(StyledLayer(outputs, outputs, size, plan, twice=False))
        self.to_pixels = nn.ModuleList(ToPixels(channels, shape[0], plan) for _, channels in stages)
        self.enlarge = Blur(shape[0])
        self.sizes = [size for size, _ in stages]
        self.style_mixing = style_mixing

    @property
    def styles(self) -> int:
        """How many layers take w: what draws a stage's pixels takes that of the next layer."""
        return 2 * len(self.sizes)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim], y [N, K] -> images [N, C, H, W]."""
        return self.synthesise(self.map(z, condition))

    def map(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim], y [N, K] -> w for each layer, [N, styles, w_dim], in full precision."""
        with full_precision(z):
            w: Tensor = self.mapping(z, condition)
            if not self.training:
                return w[:, None].expand(-1, self.styles, -1)
            self.w_average.lerp_(gather(w)[0].mean(0), 1 - W_DECAY)  # the same in every process
            if not self.style_mixing:
                return w[:, None].expand(-1, self.styles, -1)
            other: Tensor = self.mapping(z.roll(1, 0), condition)  # the z of the sample before
            return torch.where(self._mixed(z)[:, :, None], other[:, None], w[:, None])

    def _mixed(self, z: Tensor) -> Tensor:
        """Which layers of which samples take another w [N, styles]: those from a uniform place on, in a share of N."""
        chosen, place = torch.rand(2, len(z), 1, device=z.device)
        first = 1 + (place * (self.styles - 1)).floor()
        mixed: Tensor = (chosen < self.style_mixing) & (torch.arange(self.styles, device=z.device) >= first)
        return mixed

    def synthesise(self, ws: Tensor) -> Tensor:
        """w for each layer, [N, styles, w_dim] -> images [N, C, H, W]."""
        x = self.constant.expand(ws.shape[0], *self.constant.shape)
        with full_precision(x):  # 4x4 pixels cost nothing, and all others come from them
            x = self.layers[0](x, ws[:, 0])
            image: Tensor = self.to_pixels[0](x, ws[:, 1])
        for stage in range(1, len(self.sizes)):
            first = 2 * stage - 1
            x = self.layers[first](x, ws[:, first])
            x = self.layers[first + 1](x, ws[:, first + 1])
            with full_precision(x):
                image = self.enlarge.twice(image, self.sizes[stage])
            image = image + self.to_pixels[stage](x, ws[:, first + 2])
        return image


# -- the discriminator -------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """x [N, C, h, w] -> [N, K, h', w'] at half the size, rounded up."""

    def __init__(self, inputs: int, outputs: int, plan: Plan) -> None:
        super().__init__()
        gain = math.sqrt(0.5) if plan.residual else 1.0
        self.branch = nn.Sequential(
            Convolution(inputs, inputs, 3, clamp=plan.clamp),
            Convolution(inputs, outputs, 3, halve=True, gain=gain, clamp=plan.clamp),
        )
        self.skip = Convolution(inputs, outputs, 1, halve=True, activate=False, gain=gain) if plan.residual else None

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] -> [N, K, h', w']."""
        y: Tensor = self.branch(x)
        return y if self.skip is None else y + self.skip(x)


class StyleGan2Discriminator(nn.Module):
    """images [N, C, H, W], y [N, K] -> scores [N], which depend on the other samples of their group."""

    def __init__(self, shape: tuple[int, ...], plan: Plan, condition: int = 0) -> None:
        super().__init__()
        stages = plan.stages(shape)[::-1]
        size, width = stages[-1]
        blocks = (Block(inputs, outputs, plan) for (_, inputs), (_, outputs) in itertools.pairwise(stages))
        self.layers = nn.Sequential(Convolution(shape[0], stages[0][1], 1, clamp=plan.clamp), *blocks)
        self.deviation = MinibatchDeviation(plan.group)
        self.mixed = Convolution(width + 1, width, 3, clamp=plan.clamp)
        self.features = Linear(width * math.prod(size), width, activate=True)
        self.score = Linear(width, plan.w_dim if condition else 1)
        self.mapping = Mapping(0, condition, plan.w_dim, plan.label_mapping) if condition else None

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """images [N, C, H, W], y [N, K] -> scores [N]."""
        x = self.layers(images)
        with full_precision(x):
            x = self.deviation(x.to(self.score.weight.dtype))  # differences of samples want all their bits
            scores: Tensor = self.score(self.features(self.mixed(x).flatten(1)))
            if self.mapping is None:
                return scores.squeeze(1)
            # A projection (Miyato and Koyama, 2018) without a term of its own.
            projected: Tensor = (scores * self.mapping(None, condition)).sum(1)
            return projected / math.sqrt(scores.shape[1])
