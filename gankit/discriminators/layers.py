"""What discriminators are made of: blocks, norms by name, and maps of several sizes that count alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

Norm = Literal["none", "spectral", "weight", "instance", "batch"]
SLOPE = 0.2  # of the leaky ReLUs
CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
INSTANCE: dict[int, type[nn.Module]] = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
BATCH: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLS: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
TO_SIZE: dict[int, Callable[..., Tensor]] = {
    1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d
}  # fmt: skip


def block(axes: int, inputs: int, outputs: int, *, stride: int, norm: Norm, kernel: int = 4) -> nn.Module:
    """A convolution along `axes`, its norm and a leaky ReLU; a stride of 2 halves even sides."""
    padding = 1 if stride == 2 or kernel == 3 else 2
    layers = [normed(CONVOLUTIONS[axes](inputs, outputs, kernel, stride, padding), norm)]
    if norm == "instance":
        layers.append(INSTANCE[axes](outputs, affine=True))
    elif norm == "batch":
        layers.append(BATCH[axes](outputs))
    return nn.Sequential(*layers, nn.LeakyReLU(SLOPE))


def normed(layer: nn.Module, norm: Norm) -> nn.Module:
    """A layer whose weight is normalised, for the norms that are of weights."""
    if norm == "spectral":
        return spectral_norm(layer)
    return weight_norm(layer) if norm == "weight" else layer


def through(stack: nn.Module, x: Tensor) -> list[Tensor]:
    """The activations after every layer of a ModuleList."""
    found = []
    for layer in stack:  # type: ignore[attr-defined]
        x = F.leaky_relu(layer(x), SLOPE)
        found.append(x)
    return found


def alike(maps: Sequence[Tensor]) -> Tensor:
    """Maps [N, …] of several sizes -> [N, number, …] of the smallest one's, so that all count alike."""
    axes = maps[0].dim() - 1
    size = [min(scores.shape[axis] for scores in maps) for axis in range(1, axes + 1)]
    return torch.stack([TO_SIZE[axes](scores[:, None], size)[:, 0] for scores in maps], dim=1)
