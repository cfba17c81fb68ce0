"""The default networks, small enough for two CPU cores.

No layer couples the samples of a batch, and all are twice differentiable. Networks with `condition` = K > 0 also take y
[N, K].
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from gankit.contracts import CriticOutput
from gankit.errors import InputError

SLOPE = 0.2  # negative slope of the leaky ReLUs
MAX_WIDENING = 8  # largest factor by which channels grow; they double when the resolution halves
WIDTHS = {1: 48, 2: 48, 3: 24}  # channels at half the resolution, by the number of axes: a kernel has 4, 16 or 64 taps

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class PixelNorm(nn.Module):
    """x [N, C, …] -> x scaled to unit mean square over C; samples stay independent, and there is no state."""

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, …] -> [N, C, …]."""
        # Summed in float32: squares overflow in fp16, and so does the derivative of 1 / sqrt(1e-6).
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
        return x * torch.rsqrt(norm.square() / x.shape[1] + 1e-6).to(x.dtype)


class Upsample(nn.Module):
    """x [N, C, h, w] -> [N, out, *size] with size in {2h - 1, 2h} x {2w - 1, 2w}; likewise for one and three axes."""

    def __init__(self, channels: int, out: int, size: tuple[int, ...]) -> None:
        super().__init__()
        # Half the cost of nearest upsampling and a 3x3 layer on a CPU. A kernel of twice the stride overlaps evenly.
        self.conv = _TRANSPOSED[len(size) - 1](channels, out, 4, stride=2, padding=1)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] -> [N, out, *size]; the last row or column is dropped for an odd size."""
        y: Tensor = self.conv(x)
        for axis, side in enumerate(self.size, start=2):
            y = y.narrow(axis, 0, side)
        return y


class Generator(nn.Module):
    """z [N, z_dim] (and y [N, K]) -> images [N, C, H, W] in [-1, 1], for any H, W >= 2.

    Likewise signals [N, C, T] and volumes [N, C, D, H, W]: `shape` is (C, …) with one, two or three axes.
    """

    def __init__(
        self, shape: tuple[int, ...], z_dim: int, width: int | None = None, condition: int = 0, bounded: bool = True
    ) -> None:
        super().__init__()
        self.bounded = bounded
        channels, size = shape[0], shape[1:]
        if min(size) < 2:
            raise InputError(
                f"samples of {'x'.join(map(str, size))} are too small for the default networks",
                hint="each side has 2 or more; images take --size 28",
            )
        sizes = [size]
        while len(sizes) == 1 or min(sizes[-1]) >= 12:  # 28 -> 14 -> 7, 64 -> 32 -> 16 -> 8
            sizes.append(tuple((side + 1) // 2 for side in sizes[-1]))
        widths = [channels, *widening(width or WIDTHS[len(size)], len(sizes) - 1)]
        self.start = (*sizes[-1], widths[-1])
        # A one-hot row has the weight of one number of z: with an embedding as strong as z, G learnt one image a class.
        self.linear = nn.Linear(z_dim + condition, math.prod(self.start))
        # The 3x3 layer at the coarsest size couples distant strokes; without it digits fall apart more often.
        layers: list[nn.Module] = [PixelNorm(), nn.LeakyReLU(SLOPE, inplace=True)]
        layers += [_CONVOLUTIONS[len(size) - 1](widths[-1], widths[-1], 3, padding=1)]
        for level in reversed(range(len(sizes) - 1)):
            layers += [
                PixelNorm(),
                nn.LeakyReLU(SLOPE, inplace=True),
                Upsample(widths[level + 1], widths[level], sizes[level]),
            ]
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim] (and y [N, K]) -> images [N, C, H, W] in [-1, 1]."""
        x = self.linear(z if condition is None else torch.cat([z, condition], dim=1))
        x = x.unflatten(1, self.start).movedim(-1, 1)  # channels_last without a copy
        images: Tensor = self.layers(x)
        return images.tanh() if self.bounded else images


class Discriminator(nn.Module):
    """images [N, C, H, W] (and y [N, K]) -> scores [N], or [N, 1 + heads] with the score first; unbounded.

    y enters by projection (a score <V y, features> is added; Miyato and Koyama 2018, eq. 3) or by concatenation
    (constant planes beside the channels of the image). Any H, W >= 2. Likewise signals [N, C, T] and volumes [N, C, D,
    H, W]: `shape` is (C, …) with one, two or three axes.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int | None = None,
        condition: int = 0,
        output: CriticOutput = CriticOutput(),  # noqa: B008
        norm: Literal["none", "layer"] = "none",
    ) -> None:
        super().__init__()
        self.planes = condition > 0 and output.condition == "concatenation"
        trunk, features = downsampling((shape[0] + condition * self.planes, *shape[1:]), width, norm)
        self.layers = nn.Sequential(*trunk, nn.Flatten())
        self.score = nn.Linear(features, 1 + output.heads)
        self.embed = nn.Linear(condition, features, bias=False) if condition and not self.planes else None
        self.heads = output.heads
        initialise(self)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """images [N, C, H, W] (and y [N, K]) -> scores [N] or [N, 1 + heads]."""
        if self.planes and condition is not None:
            planes = condition.reshape(*condition.shape, *[1] * (images.ndim - 2)).expand(-1, -1, *images.shape[2:])
            images = torch.cat([images, planes.to(images.dtype)], dim=1)
        features = self.layers(images)
        return add_projection(self.score(features), features, self.embed, condition)


class AutoEncoder(nn.Module):
    """images [N, C, H, W] -> their reconstruction [N, C, H, W], unbounded, through a code of `code` numbers.

    Likewise signals [N, C, T] and volumes [N, C, D, H, W].
    """

    def __init__(self, shape: tuple[int, ...], code: int, width: int | None = None) -> None:
        super().__init__()
        width = width or WIDTHS[len(shape) - 1] * 2 // 3
        trunk, features = downsampling(shape, width)
        self.encoder = nn.Sequential(*trunk, nn.Flatten(), nn.Linear(features, code))
        # Unbounded, because a saturated tanh on black images would keep the reconstruction from getting worse.
        self.decoder = Generator(shape, code, width, bounded=False)
        initialise(self.encoder)

    def forward(self, images: Tensor) -> Tensor:
        """images [N, C, H, W] -> [N, C, H, W]."""
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction


class PointGenerator(nn.Module):
    """z [N, z_dim] (and y [N, K]) -> points [N, D], unbounded."""

    def __init__(self, dim: int, z_dim: int, width: int = 128, condition: int = 0) -> None:
        super().__init__()
        # Separate modes ask for steep steps between plateaus, which tanh makes from a few large weights. Taught where
        # to put each z, a generator with leaky ReLUs had 39 % of its samples within 3 sigma of a mode of grid25 after
        # 3,000 steps, and this one 93 %.
        self.layers = perceptron(z_dim + condition, width, dim, bias_std=1.0, output_scale=1.0, activation=nn.Tanh)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim] (and y [N, K]) -> points [N, D]."""
        points: Tensor = self.layers(z if condition is None else torch.cat([z, condition], dim=1))
        return points


class PointDiscriminator(nn.Module):
    """points [N, D] (and y [N, K]) -> scores [N], or [N, 1 + heads] with the score first; unbounded."""

    def __init__(
        self,
        dim: int,
        width: int = 128,
        condition: int = 0,
        output: CriticOutput = CriticOutput(),  # noqa: B008
    ) -> None:
        super().__init__()
        self.heads = output.heads
        self.layers = perceptron(dim + condition, width, 1 + output.heads, bias_std=2.0, output_scale=0.1)

    def forward(self, points: Tensor, condition: Tensor | None = None) -> Tensor:
        """points [N, D] (and y [N, K]) -> scores [N] or [N, 1 + heads]."""
        scores: Tensor = self.layers(points if condition is None else torch.cat([points, condition], dim=1))
        return scores if self.heads else scores.squeeze(1)


class PointAutoEncoder(nn.Module):
    """points [N, D] -> their reconstruction [N, D] through half as many numbers."""

    def __init__(self, dim: int, width: int = 128) -> None:
        super().__init__()
        code = max(1, dim // 2)
        self.encoder = perceptron(dim, width, code, bias_std=2.0, output_scale=0.1)
        self.decoder = perceptron(code, width, dim, bias_std=1.0, output_scale=0.3)

    def forward(self, points: Tensor) -> Tensor:
        """points [N, D] -> [N, D]."""
        reconstruction: Tensor = self.decoder(self.encoder(points))
        return reconstruction


def add_projection(scores: Tensor, features: Tensor, embed: nn.Module | None, condition: Tensor | None) -> Tensor:
    """[N, 1 + heads] -> [N, 1 + heads], or [N] without heads; <V y, features> is added to the first column."""
    score, heads = scores[:, 0], scores[:, 1:]
    if embed is not None:
        score = score + (embed(condition) * features).sum(1)
    return torch.cat([score[:, None], heads], dim=1) if scores.shape[1] > 1 else score


def downsampling(
    shape: tuple[int, ...], width: int | None = None, norm: Literal["none", "layer"] = "none"
) -> tuple[list[nn.Module], int]:
    """Convolutions that halve the image to a side of 3 to 5, so that a score depends on all of it; their features."""
    channels, size = shape[0], shape[1:]
    levels = max(1, (min(size) // 3).bit_length() - 1)
    layers: list[nn.Module] = []
    for outputs in widening(width or WIDTHS[len(size)], levels):
        layers += [_CONVOLUTIONS[len(size) - 1](channels, outputs, 4, stride=2, padding=1)]
        if norm == "layer" and len(layers) > 1:  # over C, H, W of each sample; not in the first layer
            layers += [nn.GroupNorm(1, outputs)]
        layers += [nn.LeakyReLU(SLOPE, inplace=True)]
        channels, size = outputs, tuple(side // 2 for side in size)
    return layers, channels * math.prod(size)


def widening(width: int, levels: int) -> list[int]:
    """Channels of each halved size, finest first: they double as the area shrinks, up to MAX_WIDENING."""
    return [width * min(2**level, MAX_WIDENING) for level in range(levels)]


def perceptron(
    inputs: int,
    width: int,
    outputs: int,
    bias_std: float,
    output_scale: float,
    activation: Callable[[], nn.Module] = lambda: nn.LeakyReLU(SLOPE, inplace=True),
) -> nn.Sequential:
    """Three hidden layers; their biases start at N(0, bias_std), the weights of the output scaled down."""
    sizes = [inputs, width, width, width]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        hidden = nn.Linear(before, after)
        nn.init.kaiming_normal_(hidden.weight, a=SLOPE)
        # With zero biases every kink is at the origin, and a new 1-D critic could not distinguish 3.5 from 4.5.
        nn.init.normal_(hidden.bias, 0.0, bias_std)
        layers += [hidden, activation()]
    output = nn.Linear(width, outputs)
    nn.init.normal_(output.weight, 0.0, output_scale * math.sqrt(2 / ((1 + SLOPE**2) * width)))
    nn.init.zeros_(output.bias)
    return nn.Sequential(*layers, output)


def initialise(net: nn.Module) -> None:
    """N(0, 0.02) weights and zero biases (DCGAN): small initial outputs, independent of PyTorch's defaults.

    Kernels along one or three axes have a fourth of the taps, or four times as many; their weights make up for it.
    """
    for layer in net.modules():
        if isinstance(layer, (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)):
            axes = layer.weight.ndim - 2
            nn.init.normal_(layer.weight, 0.0, 0.02 * 2 ** (2 - axes) if axes else 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
