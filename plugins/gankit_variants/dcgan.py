"""DCGAN: strided convolutions, batch norm in both players, no pooling and no dense layers inside (Radford et al.)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gankit.plugin import AdversarialLoss, DataSpec, InputError, TrainConfig, VariantInfo, Vector, hookimpl, option
from gankit_variants import gan
from gankit_variants.gan import GanLoss


@dataclass(frozen=True)
class Options:
    networks: Literal["paper", "core"] = option("paper", help="core leaves them to gankit or to an extension")
    width: int = option(64, ge=1, le=1024, help="channels at half the resolution; the paper has 128, most copies 64")
    kernel: Literal[4, 5] = option(4, help="side of the convolutions' kernels; the paper has 5, most copies 4")


def halvings(shape: tuple[int, ...]) -> int:
    """How often an image is halved: at least twice, on to a side of about 4 (64 -> … -> 8 -> 4; 28 -> 14 -> 7)."""
    if len(shape) != 3 or shape[1] % 4 or shape[2] % 4:
        raise InputError(f"DCGAN makes images whose sides are multiples of 4, not {list(shape)}", hint="--size 64")
    count, height, width = 2, shape[1] // 4, shape[2] // 4
    while min(height, width) > 4 and height % 2 == 0 and width % 2 == 0:
        count, height, width = count + 1, height // 2, width // 2
    return count


class Generator(nn.Module):
    """z [N, z_dim] (and y [N, K]) -> images [N, C, H, W] in [-1, 1]; figure 1 of the paper."""

    def __init__(self, shape: tuple[int, ...], z_dim: int, width: int, kernel: int, condition: int) -> None:
        super().__init__()
        count = halvings(shape)
        widths = [shape[0], *(width << level for level in range(count))]
        self.start = (shape[1] >> count, shape[2] >> count, widths[-1])
        self.project = nn.Linear(z_dim + condition, math.prod(self.start), bias=False)
        layers: list[nn.Module] = []
        for level in range(count, 0, -1):
            layers += [nn.BatchNorm2d(widths[level]), nn.ReLU(inplace=True)]
            layers += [
                nn.ConvTranspose2d(
                    widths[level],
                    widths[level - 1],
                    kernel,
                    stride=2,
                    padding=kernel - 3,
                    output_padding=kernel - 4,
                    bias=False,
                )
            ]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        initialise(self)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        x = z if condition is None else torch.cat([z, condition], dim=1)
        x = self.project(x).unflatten(1, self.start).permute(0, 3, 1, 2)  # is channels_last without a copy
        images: Tensor = self.layers(x)
        return images


class Discriminator(nn.Module):
    """images [N, C, H, W] (and y [N, K], as constant planes) -> scores [N]."""

    def __init__(self, shape: tuple[int, ...], width: int, kernel: int, condition: int) -> None:
        super().__init__()
        count = halvings(shape)
        widths = [shape[0] + condition, *(width << level for level in range(count))]
        layers: list[nn.Module] = []
        for level in range(count):
            padding = kernel - 3  # halves exactly: 1 for 4x4, 2 for 5x5
            layers += [nn.Conv2d(widths[level], widths[level + 1], kernel, stride=2, padding=padding, bias=False)]
            layers += [nn.BatchNorm2d(widths[level + 1])] if level else []  # none on the pixels' layer
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        layers += [nn.Conv2d(widths[-1], 1, (shape[1] >> count, shape[2] >> count), bias=False), nn.Flatten(0)]
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:
            planes = condition[:, :, None, None].expand(-1, -1, *images.shape[2:])
            images = torch.cat([images, planes.to(images.dtype)], dim=1)
        scores: Tensor = self.layers(images)
        return scores


def initialise(net: nn.Module) -> None:
    """Weights N(0, 0.02), gains of batch norm N(1, 0.02) (section 4)."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)


@hookimpl
def gankit_variant() -> VariantInfo:
    config = TrainConfig(z_dim=100, z_prior="uniform", g_lr=1e-3, d_lr=1e-3)
    return VariantInfo(
        api=1,
        capturable=True,
        scores="logits",
        title="DCGAN",
        paper="https://arxiv.org/abs/1511.06434",
        options=Options,
        config=config,
    )


@hookimpl
def gankit_generator(data: DataSpec, z_dim: int, options: Options) -> nn.Module | None:
    if not data.is_image or options.networks == "core":
        return None
    return Generator(data.shape, z_dim, options.width, options.kernel, data.condition)


@hookimpl
def gankit_discriminator(data: DataSpec, options: Options) -> nn.Module | None:
    if not data.is_image or options.networks == "core":
        return None
    return Discriminator(data.shape, options.width, options.kernel, data.condition)


@hookimpl
def gankit_loss() -> AdversarialLoss:
    return GanLoss()


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    return gan.gankit_vectors()[:1]
