"""Generators whose latents are known, as if they had been read from a file."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gankit.game.conditions import Conditions
from gankit.sample.generator import TrainedGenerator
from gankit.store.generator_file import GeneratorHeader, PluginRef

SIDE = 4  # pixels of the images that these make


def trained(module: nn.Module, z_dim: int, **header: Any) -> TrainedGenerator:
    """A generator of grey 4x4 images, in eval mode."""
    facts: dict[str, Any] = {
        "gankit": "0", "torch": "0", "variant": PluginRef(name="toy", dist="toy", version="1"), "extensions": (),
        "core_generator": False, "shape": (1, SIDE, SIDE), "classes": (), "data": "none", "data_fingerprint": "0" * 64,
        "z_dim": z_dim, "config": {}, "options": {}, "images_seen": 0, "step": 0, "seed": 0,
        "tensors_sha256": "1" * 64, "preview_png": None,
    }  # fmt: skip
    complete = GeneratorHeader(**{**facts, **header})
    return TrainedGenerator(module.eval().requires_grad_(False), complete, torch.device("cpu"))


class Linear(nn.Module):
    """z [N, D] -> 0.1 A z + b as an image; the layer is one of torch's. With `classes`, y is added after it."""

    def __init__(self, matrix: Tensor, classes: int = 0) -> None:
        super().__init__()
        self.layer = nn.Linear(matrix.shape[1], SIDE * SIDE)
        self.layer.weight.data.copy_(0.1 * matrix)
        self.label = nn.Linear(classes, SIDE * SIDE) if classes else None

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        label = 0 if self.label is None else self.label(y)  # before the layer of z, as embeddings often are
        return (self.layer(z) + label).reshape(-1, 1, SIDE, SIDE)


class Styled(nn.Module):
    """z [N, D] -> w = tanh(M z) + 1 for two layers; the image is A w0 + B w1."""

    styles = 2

    def __init__(self, z_dim: int = 3, width: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mapping = nn.Linear(z_dim, width)
        self.first, self.second = nn.Linear(width, SIDE * SIDE), nn.Linear(width, SIDE * SIDE)

    def map(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return (self.mapping(z).tanh() + 1)[:, None].expand(-1, 2, -1)

    def synthesise(self, ws: Tensor) -> Tensor:
        return (0.2 * (self.first(ws[:, 0]) + self.second(ws[:, 1]))).reshape(-1, 1, SIDE, SIDE)

    def forward(self, z: Tensor) -> Tensor:
        return self.synthesise(self.map(z))


def two_classes() -> Conditions:
    """Labels a and b, alike often."""
    return Conditions(counts=(1, 1))
