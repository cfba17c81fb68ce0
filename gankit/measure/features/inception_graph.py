"""The graph of the Inception-v3 of 2015-12-05, with the names of its state dict, and its resizing.

It differs from the usual Inception-v3 as TensorFlow's did: means over 3x3 exclude the padding, and the last block uses
a maximum where the others use a mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

WIDTH, CLASSES, SIDE = 2048, 1008, 299  # features, logits, pixels

_Layer = tuple[int, int, int]  # channels, height and width of the kernel
_FORK: _Layer = (384, 0, 0)  # two layers side by side, 1x3 and 3x1


class _Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, before: int, after: int, kernel: tuple[int, int], stride: int = 1, padding: Any = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Mixed(nn.Module):
    """Parallel chains of layers. `pool` is the pooling before branch_pool: "mean", "max", or "halve" with stride 2."""

    def __init__(self, width: int, pool: str, branches: Mapping[str, Sequence[_Layer]]) -> None:
        super().__init__()
        self.pool = pool
        self.chains = {name: self._chain(name, layers, width) for name, layers in branches.items()}

    def _chain(self, name: str, layers: Sequence[_Layer], width: int) -> list[list[str]]:
        """Make the layers of a branch; returns their names in order, two where the chain forks."""
        chain = []
        for number, (channels, *kernel) in enumerate(layers, 1):
            stem = name if len(layers) == 1 else f"{name}_{number}"
            kernels = {f"{stem}a": (1, 3), f"{stem}b": (3, 1)} if 0 in kernel else {stem: (kernel[0], kernel[1])}
            halves = self.pool == "halve" and number == len(layers)
            for layer, (high, wide) in kernels.items():
                padding = 0 if halves else (high // 2, wide // 2)
                self.add_module(layer, _Conv(width, channels, (high, wide), 2 if halves else 1, padding))
            chain.append(list(kernels))
            width = channels
        return chain

    def forward(self, x: Tensor) -> Tensor:
        if self.pool == "halve":
            pooled = F.max_pool2d(x, 3, 2)
        elif self.pool == "max":
            pooled = F.max_pool2d(x, 3, 1, 1)
        else:
            pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        results = []
        for name, chain in self.chains.items():
            y = pooled if name == "branch_pool" else x
            for layers in chain:
                y = torch.cat([self.get_submodule(layer)(y) for layer in layers], 1)
            results.append(y)
        return torch.cat(results if "branch_pool" in self.chains else [*results, pooled], 1)


def _mixed_5(pooled: int) -> dict[str, list[_Layer]]:
    return {
        "branch1x1": [(64, 1, 1)],
        "branch5x5": [(48, 1, 1), (64, 5, 5)],
        "branch3x3dbl": [(64, 1, 1), (96, 3, 3), (96, 3, 3)],
        "branch_pool": [(pooled, 1, 1)],
    }


def _mixed_6(inside: int) -> dict[str, list[_Layer]]:
    wide, high = (inside, 1, 7), (inside, 7, 1)
    return {
        "branch1x1": [(192, 1, 1)],
        "branch7x7": [(inside, 1, 1), wide, (192, 7, 1)],
        "branch7x7dbl": [(inside, 1, 1), high, wide, high, (192, 1, 7)],
        "branch_pool": [(192, 1, 1)],
    }


_MIXED_6A: dict[str, list[_Layer]] = {"branch3x3": [(384, 3, 3)], "branch3x3dbl": [(64, 1, 1), (96, 3, 3), (96, 3, 3)]}
_MIXED_7A: dict[str, list[_Layer]] = {
    "branch3x3": [(192, 1, 1), (320, 3, 3)],
    "branch7x7x3": [(192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3)],
}
_MIXED_7: dict[str, list[_Layer]] = {
    "branch1x1": [(320, 1, 1)],
    "branch3x3": [(384, 1, 1), _FORK],
    "branch3x3dbl": [(448, 1, 1), (384, 3, 3), _FORK],
    "branch_pool": [(192, 1, 1)],
}


class Inception(nn.Module):
    """Normalised images [N, 3, 299, 299] -> features [N, 2048] (pool3) and logits [N, 1008] without the bias."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, (3, 3), stride=2)
        self.Conv2d_2a_3x3 = _Conv(32, 32, (3, 3))
        self.Conv2d_2b_3x3 = _Conv(32, 64, (3, 3), padding=1)
        self.Conv2d_3b_1x1 = _Conv(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = _Conv(80, 192, (3, 3))
        self.Mixed_5b = _Mixed(192, "mean", _mixed_5(32))
        self.Mixed_5c = _Mixed(256, "mean", _mixed_5(64))
        self.Mixed_5d = _Mixed(288, "mean", _mixed_5(64))
        self.Mixed_6a = _Mixed(288, "halve", _MIXED_6A)
        self.Mixed_6b = _Mixed(768, "mean", _mixed_6(128))
        self.Mixed_6c = _Mixed(768, "mean", _mixed_6(160))
        self.Mixed_6d = _Mixed(768, "mean", _mixed_6(160))
        self.Mixed_6e = _Mixed(768, "mean", _mixed_6(192))
        self.Mixed_7a = _Mixed(768, "halve", _MIXED_7A)
        self.Mixed_7b = _Mixed(1280, "mean", _MIXED_7)
        self.Mixed_7c = _Mixed(2048, "max", _MIXED_7)
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for name, layer in self.named_children():
            if name == "fc":
                break
            x = layer(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = F.max_pool2d(x, 3, 2)
        features = x.mean(dim=(2, 3))
        return features, features @ self.fc.weight.T


def resize_tf1(images: Tensor, side: int = SIDE) -> Tensor:
    """float [N, C, H, W] -> [N, C, side, side] as in TensorFlow 1: output i reads input i * size / side, unsmoothed."""
    for dim in (3, 2):
        size = images.shape[dim]
        position = torch.arange(side, device=images.device).float() * torch.tensor(size / side, dtype=torch.float32)
        low = position.long()
        weight = (position - low).view(-1, *[1] * (3 - dim))
        before = images.index_select(dim, low)
        images = before + (images.index_select(dim, (low + 1).clamp(max=size - 1)) - before) * weight
    return images
