"""Conditional GAN: both players are given a label or a vector for each sample (Mirza and Osindero, 2014)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gankit.plugin import AdversarialLoss, CriticOutput, DataSpec, TrainConfig, VariantInfo, Vector, hookimpl, option
from gankit_variants.gan import GanLoss, Maxout, bounded


@dataclass(frozen=True)
class Options:
    networks: Literal["core", "original"] = option(
        "core", help="core: convolutional; original: the paper's perceptrons, maxout in D; y is concatenated in both"
    )


class ConditionalGanLoss(GanLoss):
    """The original game with D(x, y) and G(z, y), equation 2; the fakes are made for the labels of the real batch."""

    output = CriticOutput(condition="concatenation")


class OriginalGenerator(nn.Module):
    """z [N, z_dim], y [N, K] -> images [N, C, H, W] in [-1, 1]; section 4.1 of the paper."""

    def __init__(self, shape: tuple[int, ...], z_dim: int, condition: int) -> None:
        super().__init__()
        self.z = nn.Sequential(nn.Linear(z_dim, 200), nn.ReLU(), nn.Dropout(0.5))
        self.y = nn.Sequential(nn.Linear(condition, 1000), nn.ReLU(), nn.Dropout(0.5))
        joint = [nn.Linear(1200, 1200), nn.ReLU(), nn.Dropout(0.5), nn.Linear(1200, math.prod(shape)), nn.Tanh()]
        self.joint = nn.Sequential(*joint, nn.Unflatten(1, shape))

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        images: Tensor = self.joint(torch.cat([self.z(z), self.y(condition)], dim=1))
        return images


class OriginalDiscriminator(nn.Module):
    """images [N, C, H, W], y [N, K] -> scores [N]; section 4.1 of the paper."""

    def __init__(self, shape: tuple[int, ...], condition: int) -> None:
        super().__init__()
        self.x = nn.Sequential(nn.Flatten(), Maxout(math.prod(shape), 240, 5), nn.Dropout(0.5))
        self.y = nn.Sequential(Maxout(condition, 50, 5), nn.Dropout(0.5))
        self.joint = nn.Sequential(Maxout(290, 240, 4), nn.Dropout(0.5), nn.Linear(240, 1), nn.Flatten(0))

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        scores: Tensor = self.joint(torch.cat([self.x(images), self.y(condition)], dim=1))
        return scores


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        capturable=True,
        scores="logits",
        title="CGAN",
        paper="https://arxiv.org/abs/1411.1784",
        options=Options,
        config=TrainConfig(conditional=True),
        conditional="required",
        conditional_note="its players are given the label of each sample",
    )


@hookimpl
def gankit_generator(data: DataSpec, z_dim: int, options: Options) -> nn.Module | None:
    if options.networks == "original":
        return OriginalGenerator(bounded(data), z_dim, data.condition)
    return None


@hookimpl
def gankit_discriminator(data: DataSpec, options: Options) -> nn.Module | None:
    if options.networks == "original":
        return OriginalDiscriminator(bounded(data), data.condition)
    return None


@hookimpl
def gankit_loss() -> AdversarialLoss:
    return ConditionalGanLoss()


class _Linear(nn.Module):
    """D(x, y) = (1, -1) · x + (0.5, -0.25) · y."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return x @ x.new_tensor([1.0, -1.0]) + condition @ x.new_tensor([0.5, -0.25])


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    x = [[2.0, 1.0]]  # scored 1.5 with the first label and 0.75 with the second
    softplus = {"first label": ([[1.0, 0.0]], 0.2014132779827524), "second label": ([[0.0, 1.0]], 0.38687100611489994)}
    return [
        Vector(
            name=name,
            loss=ConditionalGanLoss,
            critic=_Linear,
            real=x,
            fake=x,
            condition=condition,
            expected={"d/real": value, "g": value},
        )
        for name, (condition, value) in softplus.items()
    ]
