"""The layers of StyleGAN2: equalised rates, modulation, resampling, and what a batch has in common.

Written from the descriptions in Karras et al. (2018, 2019, 2020a). Weights are drawn from N(0, 1) and scaled when they
are used (equalised learning rates), so that Adam moves every layer at the same relative speed.
"""

import itertools
import math
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

SLOPE = 0.2  # of the leaky ReLUs
ROOT2 = math.sqrt(2)  # their gain, which keeps the second moment about 1; it commutes with them, so weights carry it
MAPPING_LR = 0.01  # of the mapping, relative to that of the other layers
EPSILON = 1e-8


def full_precision(x: Tensor) -> AbstractContextManager[None]:
    """Within it nothing is cast to the 16 bits of a run in mixed precision."""
    return torch.autocast(x.device.type, enabled=False)


def normal(*shape: int) -> Tensor:
    """Initial values from N(0, 1)."""
    return nn.init.normal_(torch.empty(shape))


def normalised(x: Tensor) -> Tensor:
    """Rows [N, D] of root mean square 1."""
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


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
