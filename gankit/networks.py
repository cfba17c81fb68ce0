"""The default networks, small enough for two CPU cores: no layer couples the samples of a batch, all are twice
differentiable."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from gankit.errors import InputError

SLOPE = 0.2  # of the leaky ReLUs
MAX_WIDENING = 8  # channels double with every halving of the resolution, up to this factor


class PixelNorm(nn.Module):
    """x [N, C, …] -> x scaled to unit mean square over C: samples stay independent and nothing is learnt or stored."""

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, …] -> [N, C, …]."""
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)


class Upsample(nn.Module):
    """x [N, C, h, w] -> [N, out, *size] with size in {2h - 1, 2h} x {2w - 1, 2w}."""

    def __init__(self, channels: int, out: int, size: tuple[int, int]) -> None:
        super().__init__()
        # Half the cost of nearest upsampling + 3x3 on a CPU; a kernel of twice the stride overlaps evenly.
        self.conv = nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] -> [N, out, *size]; an odd size loses its last row or column."""
        height, width = self.size
        y: Tensor = self.conv(x)
        return y[:, :, :height, :width]


class Generator(nn.Module):
    """z [N, z_dim] -> images [N, C, H, W] in [-1, 1], for any H, W >= 2."""

    def __init__(self, shape: tuple[int, int, int], z_dim: int, width: int = 48) -> None:
        super().__init__()
        if min(shape[1:]) < 2:
            raise InputError(
                f"images of {shape[1]}x{shape[2]} are too small for the default networks", hint="--size 28"
            )
        sizes = [(shape[1], shape[2])]
        while len(sizes) == 1 or min(sizes[-1]) >= 12:  # 28 -> 14 -> 7, 64 -> 32 -> 16 -> 8
            sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        widths = [shape[0], *widening(width, len(sizes) - 1)]
        self.start = (*sizes[-1], widths[-1])
        self.linear = nn.Linear(z_dim, math.prod(self.start))
        # The 3x3 layer at the coarsest size lets distant strokes agree; without it digits fall apart more often.
        layers: list[nn.Module] = [PixelNorm(), nn.LeakyReLU(SLOPE)]
        layers += [nn.Conv2d(widths[-1], widths[-1], 3, padding=1)]
        for level in reversed(range(len(sizes) - 1)):
            layers += [PixelNorm(), nn.LeakyReLU(SLOPE), Upsample(widths[level + 1], widths[level], sizes[level])]
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        """z [N, z_dim] -> images [N, C, H, W] in [-1, 1]."""
        x = self.linear(z).unflatten(1, self.start).permute(0, 3, 1, 2)  # is channels_last without a copy
        images: Tensor = self.layers(x)
        return images.tanh()


class Discriminator(nn.Module):
    """images [N, C, H, W] -> scores [N], unbounded, for any H, W >= 2."""

    def __init__(self, shape: tuple[int, int, int], width: int = 48) -> None:
        super().__init__()
        inputs, height, columns = shape
        levels = max(1, (min(height, columns) // 3).bit_length() - 1)  # down to a side of 3 to 5: it must see the whole
        layers: list[nn.Module] = []
        for outputs in widening(width, levels):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
            inputs, height, columns = outputs, height // 2, columns // 2
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * height * columns, 1))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """images [N, C, H, W] -> scores [N]."""
        scores: Tensor = self.layers(images)
        return scores.squeeze(1)


class PointGenerator(nn.Module):
    """z [N, z_dim] -> points [N, D], unbounded."""

    def __init__(self, dim: int, z_dim: int, width: int = 128) -> None:
        super().__init__()
        self.layers = perceptron(z_dim, width, dim, bias_std=1.0, output_scale=0.3)

    def forward(self, z: Tensor) -> Tensor:
        """z [N, z_dim] -> points [N, D]."""
        points: Tensor = self.layers(z)
        return points


class PointDiscriminator(nn.Module):
    """points [N, D] -> scores [N], unbounded."""

    def __init__(self, dim: int, width: int = 128) -> None:
        super().__init__()
        self.layers = perceptron(dim, width, 1, bias_std=2.0, output_scale=0.1)

    def forward(self, points: Tensor) -> Tensor:
        """points [N, D] -> scores [N]."""
        scores: Tensor = self.layers(points)
        return scores.squeeze(1)


def widening(width: int, levels: int) -> list[int]:
    """Channels of each halved size, finest first: they double as the area shrinks, up to MAX_WIDENING."""
    return [width * min(2**level, MAX_WIDENING) for level in range(levels)]


def perceptron(inputs: int, width: int, outputs: int, bias_std: float, output_scale: float) -> nn.Sequential:
    """Three hidden layers with leaky ReLU; the hidden biases start at N(0, bias_std), the output scaled down."""
    sizes = [inputs, width, width, width]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        hidden = nn.Linear(before, after)
        nn.init.kaiming_normal_(hidden.weight, a=SLOPE)
        # With zero biases every kink goes through the origin: a 1-D critic could not tell 3.5 from 4.5 at first.
        nn.init.normal_(hidden.bias, 0.0, bias_std)
        layers += [hidden, nn.LeakyReLU(SLOPE)]
    output = nn.Linear(width, outputs)
    nn.init.normal_(output.weight, 0.0, output_scale * math.sqrt(2 / ((1 + SLOPE**2) * width)))
    nn.init.zeros_(output.bias)
    return nn.Sequential(*layers, output)


def initialise(net: nn.Module) -> None:
    """N(0, 0.02) weights and zero biases (DCGAN): a quiet start, and no dependence on torch's own defaults."""
    for layer in net.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
