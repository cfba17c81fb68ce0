"""The neutral networks of "Are GANs Created Equal?" for any variant, at any width (Lucic et al., 2018)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gankit.plugin import Choice, CriticOutput, DataSpec, ExtensionInfo, InputError, hookimpl, option

SLOPE = 0.2
SEARCH = {"wide": Choice((True, False)), "narrow": Choice((True, False))}


@dataclass(frozen=True)
class Options:
    d_batch_norm: bool = option(False, help="batch norm in D behind all layers but the first", search=SEARCH)
    width: float = option(
        1.0, gt=0, le=16, schedule=False, help="factor of all numbers of channels and units; 1 is the paper's networks"
    )

    def units(self, count: int) -> int:
        """The paper's number of channels or units, times the width."""
        return max(1, round(self.width * count))


@dataclass(frozen=True)
class OptionsWithBatchNorm(Options):
    d_batch_norm: bool = option(True, help="batch norm in D behind all layers but the first", search=SEARCH)


class Generator(nn.Module):
    """z [N, z_dim] (and y [N, K]) -> images [N, C, H, W] in [-1, 1]: two linear layers, two transposed convolutions."""

    def __init__(self, shape: tuple[int, ...], z_dim: int, condition: int, options: Options) -> None:
        super().__init__()
        area = (shape[1] // 4, shape[2] // 4)
        units, wide, narrow = (options.units(count) for count in (1024, 128, 64))
        features = wide * area[0] * area[1]
        self.linear = nn.Sequential(
            *block(nn.Linear(z_dim + condition, units), nn.BatchNorm1d(units)),
            *block(nn.Linear(units, features), nn.BatchNorm1d(features)),
            nn.Unflatten(1, (wide, *area)),
        )
        self.up = nn.Sequential(
            *block(nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1), nn.BatchNorm2d(narrow)),
            nn.ConvTranspose2d(narrow, shape[0], 4, stride=2, padding=1),
        )
        initialise(self)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.linear(z if condition is None else torch.cat([z, condition], dim=1))
        return 2 * torch.sigmoid(self.up(x)) - 1  # the paper's pixels lie in [0, 1]


class Discriminator(nn.Module):
    """images [N, C, H, W] (and y [N, K]) -> scores [N] or [N, 1 + heads]; y joins the features before the last two."""

    def __init__(self, shape: tuple[int, ...], condition: int, heads: int, options: Options) -> None:
        super().__init__()
        self.heads = heads
        self.features = nn.Sequential(*down(shape, options, options.d_batch_norm), nn.Flatten())
        inputs = options.units(128) * (shape[1] // 4) * (shape[2] // 4) + condition
        units = options.units(1024)
        hidden = block(nn.Linear(inputs, units), nn.BatchNorm1d(units) if options.d_batch_norm else None)
        self.score = nn.Sequential(*hidden, nn.Linear(units, 1 + heads))
        initialise(self)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.features(images)
        scores: Tensor = self.score(x if condition is None else torch.cat([x, condition], dim=1))
        return scores if self.heads else scores.squeeze(1)


class AutoEncoder(nn.Module):
    """images [N, C, H, W] -> their reconstruction [N, C, H, W] in [-1, 1] through few numbers (64 in the paper)."""

    def __init__(self, shape: tuple[int, ...], code: int, options: Options) -> None:
        super().__init__()
        area = (shape[1] // 4, shape[2] // 4)
        wide, narrow = options.units(128), options.units(64)
        features = wide * area[0] * area[1]
        norms: list[nn.Module | None] = [None] * 3
        if options.d_batch_norm:
            norms = [nn.BatchNorm1d(code), nn.BatchNorm1d(features), nn.BatchNorm2d(narrow)]
        self.layers = nn.Sequential(
            *down(shape, options, norm=False),
            nn.Flatten(),
            *block(nn.Linear(features, code), norms[0]),
            *block(nn.Linear(code, features), norms[1]),
            nn.Unflatten(1, (wide, *area)),
            *block(nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1), norms[2]),
            nn.ConvTranspose2d(narrow, shape[0], 4, stride=2, padding=1),
        )
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return 2 * torch.sigmoid(self.layers(images)) - 1


def block(layer: nn.Module, norm: nn.Module | None) -> list[nn.Module]:
    """A layer, its batch norm (TF: decay 0.999, eps 1e-3) and a leaky ReLU."""
    if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
        norm.momentum, norm.eps = 0.001, 1e-3
    return [layer, *([norm] if norm is not None else []), nn.LeakyReLU(SLOPE)]


def down(shape: tuple[int, ...], options: Options, norm: bool) -> list[nn.Module]:
    """Two strided convolutions; the first never has batch norm."""
    narrow, wide = options.units(64), options.units(128)
    first = block(nn.Conv2d(shape[0], narrow, 4, stride=2, padding=1), None)
    return first + block(nn.Conv2d(narrow, wide, 4, stride=2, padding=1), nn.BatchNorm2d(wide) if norm else None)


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

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_generator(self, data: DataSpec, z_dim: int) -> nn.Module:
        return Generator(_image(data), z_dim, data.condition, self.options)

    @hookimpl
    def gankit_discriminator(self, data: DataSpec, output: CriticOutput) -> nn.Module:
        shape = _image(data)
        if output.code:
            return AutoEncoder(shape, output.code, self.options)
        return Discriminator(shape, data.condition, output.heads, self.options)


class Extension:
    """The extension, with its own default for batch norm in D."""

    def __init__(self, d_batch_norm: bool) -> None:
        self.d_batch_norm = d_batch_norm

    @hookimpl
    def gankit_extension(self) -> ExtensionInfo:
        title = f"Neutral networks, {'with' if self.d_batch_norm else 'without'} batch norm in D"
        options = OptionsWithBatchNorm if self.d_batch_norm else Options
        return ExtensionInfo(api=1, capturable=True, title=title, options=options, make=LucicNets)


def _image(data: DataSpec) -> tuple[int, ...]:
    if len(data.shape) != 3 or data.shape[1] % 4 or data.shape[2] % 4:
        shape = list(data.shape)
        raise InputError(f"lucic-nets makes images whose sides are multiples of 4, not {shape}", hint="--size 32")
    return data.shape


networks = Extension(d_batch_norm=False)
