"""A transformer plays against a transformer, on z of the data's own shape: the recipe of 2025 in the small.

Relativistic pairs, penalties on both sides by finite differences on a part of the batch, centred scores and a transport
term that keeps G's output near its z: Adversarial Flow Models (Lin et al., 2025, arXiv 2511.22475); relativistic pairs
with transformers are GAT's too (2025, arXiv 2509.24935). Their networks have hundreds of layers' worth of width; these
train on two CPU cores. Everything comes through `gankit.plugin`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pad, scaled_dot_product_attention

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    DataSpec,
    InputError,
    LinearCritic,
    TrainConfig,
    VariantInfo,
    Vector,
    finite_differences,
    hookimpl,
    leaf,
    option,
    squared_gradients,
)


@dataclass(frozen=True)
class Options:
    width: int = option(96, ge=8, le=4096, help="numbers in a token")
    depth: int = option(3, ge=1, le=256, help="blocks of each network")
    heads: int = option(4, ge=1, le=64, help="heads of attention, which divide the width")
    patch: int = option(4, ge=1, le=64, help="side of the patches of pixels that are a token")
    gamma: float = option(0.5, ge=0, help="weight of both penalties, gamma/2 E|grad D|^2; the paper's gp is half of it")
    sigma: float = option(
        0.01, ge=0, le=0.1, schedule=False, help="noise of the finite differences; 0: exact, by a second derivative"
    )
    share: float = option(0.25, gt=0, le=1, schedule=False, help="of the batch that is penalised")
    centre: float = option(0.01, ge=0, help="weight of E(D(x) + D(G(z)))^2")
    transport: float = option(0.0, ge=0, help="weight of the mean square of G(z) - z; needs z of the data's size")


# -- the game ----------------------------------------------------------------------------------------------------------


class LatentLoss(AdversarialLoss):
    """L_D = softplus(-(r - f)) + c (r + f)^2 and penalties; L_G = softplus(-(f - r)) + w |G(z) - z|^2 per number."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = critic(batch.real), critic(batch.fake)
        return {"pair": -logsigmoid(real - fake), "centre": self.options.centre * (real + fake).square()}

    def penalties(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        n = max(1, round(self.options.share * len(batch.real)))
        points = torch.cat([batch.real[:n], batch.fake[:n]])
        y = None if batch.condition is None else batch.condition[:n].repeat(2, 1)
        if self.options.sigma:
            squares = finite_differences(critic, points, self.options.sigma, y)
        else:
            points = leaf(points)
            squares = squared_gradients(critic(points, y), points)
        r1, r2 = (self.options.gamma / 2 * squares).chunk(2)
        return {"r1": r1.mean(), "r2": r2.mean()}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        with torch.no_grad():
            real = critic(batch.real)
        terms = {"pair": -logsigmoid(critic(batch.fake) - real)}
        if isinstance(self.options.transport, Tensor) or self.options.transport:  # a schedule is a tensor
            moved = batch.fake.flatten(1) - batch.z
            terms["transport"] = self.options.transport * moved.square().mean(1)
        return terms


# -- the networks ------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Tokens [N, T, width] -> same shape: attention and a perceptron, each added to what it was given, normalised."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_perceptron = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        for last in (self.out, self.perceptron[2]):  # a block begins as the identity
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]

    def forward(self, tokens: Tensor) -> Tensor:
        n, count, width = tokens.shape
        heads = self.query_key_value(self.before_attention(tokens)).reshape(n, count, 3, self.heads, -1)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, count, width)
        tokens = tokens + self.out(seen)
        y: Tensor = self.perceptron(self.before_perceptron(tokens))
        return tokens + y


class Tokens(nn.Module):
    """What both networks share: patches of images, their places, the condition and the blocks."""

    def __init__(self, data: DataSpec, options: Options) -> None:
        super().__init__()
        channels, height, width = data.shape
        self.shape, self.patch = data.shape, options.patch
        self.grid = math.ceil(height / options.patch), math.ceil(width / options.patch)
        self.numbers = channels * options.patch**2  # in a patch
        self.embed = nn.Linear(self.numbers, options.width)
        self.places = nn.Parameter(0.02 * torch.randn(math.prod(self.grid), options.width))
        self.condition = nn.Linear(data.condition, options.width, bias=False) if data.condition else None
        self.blocks = nn.Sequential(*(Block(options.width, options.heads) for _ in range(options.depth)))
        self.norm = nn.LayerNorm(options.width)

    def patches(self, images: Tensor) -> Tensor:
        """Images [N, C, H, W] -> [N, T, numbers]; what is missing of the last patches repeats the border."""
        p, (_, height, width) = self.patch, self.shape
        images = pad(images, (0, -width % p, 0, -height % p), mode="replicate")
        return nn.functional.pixel_unshuffle(images, p).flatten(2).transpose(1, 2)

    def images(self, patches: Tensor) -> Tensor:
        """[N, T, numbers] -> images [N, C, H, W]: the way back."""
        whole = patches.transpose(1, 2).unflatten(2, self.grid)
        return nn.functional.pixel_shuffle(whole, self.patch)[:, :, : self.shape[1], : self.shape[2]]

    def forward(self, patches: Tensor, condition: Tensor | None) -> Tensor:
        """Patches [N, T, numbers] and y [N, K] -> tokens [N, T, width]."""
        tokens = self.embed(patches) + self.places
        if self.condition is not None:
            tokens = tokens + self.condition(condition)[:, None]
        found: Tensor = self.norm(self.blocks(tokens))
        return found


class LatentGenerator(nn.Module):
    """z [N, z_dim] -> images [N, C, H, W]. z of as many numbers as an image is one, any other is mapped to one."""

    def __init__(self, data: DataSpec, z_dim: int, options: Options) -> None:
        super().__init__()
        size = math.prod(data.shape)
        self.lift = None if z_dim == size else nn.Linear(z_dim, size)
        self.tokens = Tokens(data, options)
        self.out = nn.Linear(options.width, self.tokens.numbers)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        noise = z if self.lift is None else self.lift(z)
        patches = self.tokens.patches(noise.reshape(-1, *self.tokens.shape))
        return self.tokens.images(self.out(self.tokens(patches, condition)))


class LatentDiscriminator(nn.Module):
    """Images [N, C, H, W] -> scores [N]: a linear function of the mean token."""

    def __init__(self, data: DataSpec, options: Options) -> None:
        super().__init__()
        self.tokens = Tokens(data, options)
        self.score = nn.Linear(options.width, 1)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        tokens = self.tokens(self.tokens.patches(images), condition)
        score: Tensor = self.score(tokens.mean(1))
        return score.squeeze(1)


# -- the plugin --------------------------------------------------------------------------------------------------------


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        title="Latent transformers",
        paper="https://arxiv.org/abs/2511.22475",
        options=Options,
        config=TrainConfig(
            optimizer="adamw", weight_decay=0.01, betas=(0.0, 0.9), g_lr=5e-4, d_lr=5e-4, batch=32, g_reals="fresh"
        ),
    )


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return LatentLoss(options)


@hookimpl
def gankit_generator(data: DataSpec, z_dim: int, options: Options) -> nn.Module | None:
    """None for what are no images: core's networks answer."""
    size = math.prod(data.shape)
    if z_dim != size and (isinstance(options.transport, Tensor) or options.transport):
        raise InputError(
            f"transport compares G(z) with z, and z of {z_dim} numbers has not the size of the data, {size}",
            hint=f"--z-dim {size}, or leave out -s transport",
        )
    return LatentGenerator(data, z_dim, checked(options)) if data.is_image else None


@hookimpl
def gankit_discriminator(data: DataSpec, options: Options) -> nn.Module | None:
    """None for what are no images: core's networks answer."""
    return LatentDiscriminator(data, checked(options)) if data.is_image else None


def checked(options: Options) -> Options:
    """The options, whose heads divide the width; InputError where they do not."""
    if options.width % options.heads:
        raise InputError(
            f"{options.heads} heads do not divide a width of {options.width}", hint="-s heads=4 -s width=96"
        )
    return options


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    return [
        Vector(
            name="pairs and centring",
            loss=lambda: LatentLoss(Options(centre=0.01)),
            real=[2.0, 0.5, -1.0],
            fake=[-1.5, 0.0, 1.0],
            expected={"d/pair": 0.8769184711652334, "d/centre": 0.01 * 0.5 / 3, "g": 1.5435851378318999},
            source="equations of the module's docstring",
        ),
        Vector(
            name="penalties of the first quarter, exact",
            loss=lambda: LatentLoss(Options(gamma=0.5, sigma=0.0)),
            critic=lambda: LinearCritic(3.0, 4.0),
            real=[[1.0, 0.0]] * 4,
            fake=[[0.0, 1.0]] * 4,
            expected={"d/r1": 6.25, "d/r2": 6.25},
        ),
        Vector(
            name="transport",
            loss=lambda: LatentLoss(Options(transport=0.1)),
            critic=lambda: LinearCritic(0.0, 0.0),
            real=[[0.0, 0.0]],
            fake=[[1.0, -1.0]],
            z=[[0.0, 1.0]],
            expected={"g/transport": 0.1 * 2.5, "g/pair": math.log(2)},
        ),
    ]
