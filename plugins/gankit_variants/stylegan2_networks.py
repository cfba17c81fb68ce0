"""The networks of StyleGAN2 for images of any size: a mapping, a synthesis with skips, and a plain or residual critic.

Written from the descriptions in Karras et al. (2019, 2020a, 2020b). Weights are drawn from N(0, 1) and scaled when they
are used (equalised learning rates), so that Adam moves every layer at the same relative speed.
"""

import itertools
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from gankit.plugin import gather

SLOPE = 0.2  # of the leaky ReLUs
ROOT2 = math.sqrt(2)  # their gain, which keeps the second moment about 1; it commutes with them, so weights carry it
MAPPING_LR = 0.01  # of the mapping, relative to that of the other layers
W_DECAY = 0.995  # of the average of w, at each batch that is mapped in training
EPSILON = 1e-8
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


def full_precision(x: Tensor) -> AbstractContextManager[None]:
    """Within it nothing is cast to the 16 bits of a run in mixed precision."""
    return torch.autocast(x.device.type, enabled=False)


def normal(*shape: int) -> Tensor:
    """Initial values from N(0, 1)."""
    return nn.init.normal_(torch.empty(shape))


def normalised(x: Tensor) -> Tensor:
    """Rows [N, D] of root mean square 1."""
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


# -- layers ------------------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """x [N, inputs] -> [N, outputs]; `lr` is its learning rate relative to that of the player."""

    def __init__(
        self, inputs: int, outputs: int, *, activate: bool = False, bias: float = 0.0, lr: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr))
        self.activate = activate
        self.bias_gain = lr * (ROOT2 if activate else 1.0)
        self.weight_gain = self.bias_gain / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, inputs] -> [N, outputs]."""
        y = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return F.leaky_relu(y, SLOPE, inplace=True) if self.activate else y


class Blur(nn.Module):
    """x [N, C, h, w] filtered by [1, 3, 3, 1] along both axes, with zeros outside of it."""

    taps: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = torch.outer(taps, taps).expand(channels, 1, 4, 4).contiguous()
        self.register_buffer("taps", kernel, persistent=False)

    def forward(self, x: Tensor, *, padding: int, stride: int = 1) -> Tensor:
        """x [N, C, h, w] -> [N, C, (h + 2 padding - 4) // stride + 1, …]."""
        return F.conv2d(x, self.taps, stride=stride, padding=padding, groups=len(self.taps))

    def twice(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """x [N, C, h, w] -> [N, C, *size], twice as large or one row or column less."""
        y = F.conv_transpose2d(x, 4 * self.taps, stride=2, padding=1, groups=len(self.taps))
        return y[:, :, : size[0], : size[1]]


class Convolution(nn.Module):
    """x [N, C, h, w] -> [N, K, h, w], or at half the size, rounded up, behind a blur."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        halve: bool = False,
        activate: bool = True,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.gain = gain * (ROOT2 if activate else 1.0)
        self.scale = self.gain / math.sqrt(inputs * size**2)
        self.clamp = clamp
        self.blur = Blur(inputs) if halve else None

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] -> [N, K, h', w']."""
        size, stride = self.weight.shape[2], 1
        if self.blur is not None:
            if x.shape[2] % 2 or x.shape[3] % 2:
                x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
            x = self.blur(x, padding=1 + size // 2, stride=1 if size > 1 else 2)
            stride = 2 if size > 1 else 1
        bias = None if self.bias is None else self.bias * self.gain
        y = F.conv2d(x, self.weight * self.scale, bias, stride=stride, padding=0 if self.blur else size // 2)
        if self.bias is None:
            return y
        y = F.leaky_relu(y, SLOPE, inplace=True)
        return y if self.clamp is None else y.clamp(-self.clamp * self.gain / ROOT2, self.clamp * self.gain / ROOT2)


class ModulatedConvolution(nn.Module):
    """x [N, C, h, w] and w [N, w_dim] -> [N, K, h, w], or at twice the size: a kernel of its own for each sample.

    Sample n is convolved with s_ni W_oikl d_no, s an affine function of w and d (demodulation) what gives each output
    variance 1 for inputs of variance 1. One convolution with W serves all samples, as s scales its inputs and d its
    outputs: on a CPU several times faster than a kernel for each sample, and W keeps its precision in bf16.
    """

    def __init__(self, inputs: int, outputs: int, size: int, w_dim: int, *, demodulate: bool, twice: bool) -> None:
        super().__init__()
        self.affine = Linear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(normal(outputs, inputs, size, size))
        self.scale = 1 / math.sqrt(inputs * size**2)
        self.demodulate = demodulate
        self.blur = Blur(outputs) if twice else None

    def forward(self, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """The convolution [N, K, h', w'] of the modulated inputs, and d [N, K, 1, 1], which its outputs want."""
        with full_precision(x):
            styles = self.affine(w)
            weight = self.weight * self.scale
            power = styles.square() @ weight.square().sum((2, 3)).T if self.demodulate else None
        x = x * styles.to(x.dtype)[:, :, None, None]
        if self.blur is None:
            y = F.conv2d(x, weight, padding=weight.shape[2] // 2)
        else:
            # Zeros between the pixels take three quarters of their power; the blur then sums to 1.
            y = self.blur(F.conv_transpose2d(x, 4 * weight.transpose(0, 1), stride=2), padding=1)
        return y, None if power is None else (power + EPSILON).rsqrt()[:, :, None, None]


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


class Mapping(nn.Module):
    """z [N, z_dim], y [N, K] -> w [N, w_dim]. Without z (`z_dim` 0) the condition alone is mapped."""

    def __init__(self, z_dim: int, condition: int, w_dim: int, layers: int) -> None:
        super().__init__()
        self.embed = Linear(condition, w_dim) if condition else None
        widths = [z_dim + (w_dim if condition else 0)] + [w_dim] * layers
        stack = [Linear(a, b, activate=True, lr=MAPPING_LR) for a, b in itertools.pairwise(widths)]
        self.layers = nn.Sequential(*stack)

    def forward(self, z: Tensor | None, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim] or None, y [N, K] or None -> [N, w_dim]."""
        parts = [] if z is None else [normalised(z)]
        if self.embed is not None:
            parts.append(normalised(self.embed(condition)))
        w: Tensor = self.layers(torch.cat(parts, dim=1))
        return w


# -- the generator -----------------------------------------------------------------------------------------------------


class StyleGan2Generator(nn.Module):
    """z [N, z_dim], y [N, K] -> images [N, C, H, W], without a tanh: pixels are clamped where they are written.

    `truncation` below 1 draws w nearer to its average in eval mode: less variety, fewer odd samples.
    """

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
        self.truncation = 1.0

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
                w = w if self.truncation == 1 else self.w_average.lerp(w, self.truncation)
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
        x = self.constant.expand(len(ws), *self.constant.shape)
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


class MinibatchDeviation(nn.Module):
    """x [N, C, h, w] -> [N, C + 1, h, w]: the last channel is the mean deviation of a group of samples.

    Groups are neighbours in the batch, as many as the largest divisor of N up to `group`: where real and fake samples
    come in one pass, half of each, no group has both as long as groups divide the halves.
    """

    couples_samples = "minibatch standard deviation"

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] -> [N, C + 1, h, w]."""
        n, _, height, width = x.shape
        group = next(size for size in range(min(self.group, n), 0, -1) if n % size == 0)
        grouped = x.reshape(n // group, group, *x.shape[1:])
        variance = (grouped - grouped.mean(1, keepdim=True)).square().mean(1)
        deviation = (variance + EPSILON).sqrt().mean((1, 2, 3))  # [groups]
        channel = deviation.repeat_interleave(group, output_size=n)[:, None, None, None]
        return torch.cat([x, channel.expand(n, 1, height, width)], dim=1)


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
