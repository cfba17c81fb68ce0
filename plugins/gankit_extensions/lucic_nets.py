"""The neutral networks of "Are GANs Created Equal?" for any variant; no batch norm in D (Lucic et al., 2018)."""

import torch
from torch import Tensor, nn

from gankit.plugin import CriticOutput, DataSpec, InputError, hookimpl

SLOPE = 0.2


class Generator(nn.Module):
    """z [N, z_dim] (and y [N, K]) -> images [N, C, H, W] in [-1, 1]: two linear layers, two transposed convolutions."""

    def __init__(self, shape: tuple[int, ...], z_dim: int, condition: int) -> None:
        super().__init__()
        channels, height, width = shape
        area = (height // 4, width // 4)
        self.linear = nn.Sequential(
            *block(nn.Linear(z_dim + condition, 1024), nn.BatchNorm1d(1024)),
            *block(nn.Linear(1024, 128 * area[0] * area[1]), nn.BatchNorm1d(128 * area[0] * area[1])),
            nn.Unflatten(1, (128, *area)),
        )
        self.up = nn.Sequential(
            *block(nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1), nn.BatchNorm2d(64)),
            nn.ConvTranspose2d(64, channels, 4, stride=2, padding=1),
        )
        initialise(self)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.linear(z if condition is None else torch.cat([z, condition], dim=1))
        return 2 * torch.sigmoid(self.up(x)) - 1  # the paper's pixels lie in [0, 1]


class Discriminator(nn.Module):
    """images [N, C, H, W] (and y [N, K]) -> scores [N] or [N, 1 + heads]; y joins the features before the last two."""

    def __init__(self, shape: tuple[int, ...], condition: int, heads: int, norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.features = nn.Sequential(*down(shape, norm), nn.Flatten())
        area = shape[1] // 4 * (shape[2] // 4)
        hidden = block(nn.Linear(128 * area + condition, 1024), nn.BatchNorm1d(1024) if norm else None)
        self.score = nn.Sequential(*hidden, nn.Linear(1024, 1 + heads))
        initialise(self)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.features(images)
        scores: Tensor = self.score(x if condition is None else torch.cat([x, condition], dim=1))
        return scores if self.heads else scores.squeeze(1)


class AutoEncoder(nn.Module):
    """images [N, C, H, W] -> their reconstruction [N, C, H, W] in [-1, 1] through few numbers (64 in the paper)."""

    def __init__(self, shape: tuple[int, ...], code: int, norm: bool) -> None:
        super().__init__()
        area = (shape[1] // 4, shape[2] // 4)
        features = 128 * area[0] * area[1]
        norms = [nn.BatchNorm1d(code), nn.BatchNorm1d(features), nn.BatchNorm2d(64)] if norm else [None] * 3
        self.layers = nn.Sequential(
            *down(shape, norm=False),
            nn.Flatten(),
            *block(nn.Linear(features, code), norms[0]),
            *block(nn.Linear(code, features), norms[1]),
            nn.Unflatten(1, (128, *area)),
            *block(nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1), norms[2]),
            nn.ConvTranspose2d(64, shape[0], 4, stride=2, padding=1),
        )
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return 2 * torch.sigmoid(self.layers(images)) - 1


def block(layer: nn.Module, norm: nn.Module | None) -> list[nn.Module]:
    """A layer, its batch norm (TF: decay 0.999, eps 1e-3) and a leaky ReLU."""
    if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
        norm.momentum, norm.eps = 0.001, 1e-3
    return [layer, *([norm] if norm is not None else []), nn.LeakyReLU(SLOPE)]


def down(shape: tuple[int, ...], norm: bool) -> list[nn.Module]:
    """Two strided convolutions; the first never has batch norm."""
    first = block(nn.Conv2d(shape[0], 64, 4, stride=2, padding=1), None)
    return first + block(nn.Conv2d(64, 128, 4, stride=2, padding=1), nn.BatchNorm2d(128) if norm else None)


def initialise(net: nn.Module) -> None:
    """N(0, 0.02), cut at two standard deviations for convolutions; zero biases."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, 0.0, 0.02, -0.04, 0.04)
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


class LucicNets:
    """One pair of networks for every loss; an auto-encoder in place of D where the loss reads a reconstruction."""

    def __init__(self, d_batch_norm: bool) -> None:
        self.d_batch_norm = d_batch_norm

    @hookimpl
    def gankit_generator(self, data: DataSpec, z_dim: int) -> nn.Module:
        return Generator(_image(data), z_dim, data.condition)

    @hookimpl
    def gankit_discriminator(self, data: DataSpec, output: CriticOutput) -> nn.Module:
        shape = _image(data)
        if output.code:
            return AutoEncoder(shape, output.code, self.d_batch_norm)
        return Discriminator(shape, data.condition, output.heads, self.d_batch_norm)


def _image(data: DataSpec) -> tuple[int, ...]:
    if len(data.shape) != 3 or data.shape[1] % 4 or data.shape[2] % 4:
        shape = list(data.shape)
        raise InputError(f"lucic-nets makes images whose sides are multiples of 4, not {shape}", hint="--size 32")
    return data.shape


networks = LucicNets(d_batch_norm=False)
