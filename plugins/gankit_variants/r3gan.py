"""R3GAN: relativistic pairs, zero-centred penalties on both sides, plain residual networks (Huang et al., 2024)."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, logsigmoid

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
    hookimpl,
    option,
    squared_gradients,
)

SLOPE = 0.2  # of the leaky ReLUs
EXPANSION = 2  # of the channels within a block
GROUP = 16  # channels in a group of a 3x3 convolution


@dataclass(frozen=True)
class Options:
    gamma: float = option(3.0, ge=0, help="weight of both penalties, gamma/2 E|grad D|^2; points want less, say 0.02")
    networks: Literal["small", "cifar", "core"] = option(
        "small",
        help="small: for a CPU; cifar: the paper's for CIFAR-10, and at 64x64 and 256x256 those for FFHQ; core leaves "
        "them to gankit or to an extension",
    )
    width: int | None = option(
        None,
        ge=GROUP,
        le=4096,
        help="channels at the coarsest size, a multiple of 16; None: 128 (small) or 768 (cifar)",
    )


# -- the game ----------------------------------------------------------------------------------------------------------


class R3ganLoss(AdversarialLoss):
    """RpGAN + R1 + R2: softplus(-t) = -logsigmoid(t) of the difference t of paired scores, and penalties every step."""

    def __init__(self, gamma: float = 3.0) -> None:
        super().__init__()
        self.gamma = gamma

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        pair = critic.pair()  # one forward pass for both sides, which serves the penalties too
        return {"pair": -logsigmoid(pair.real - pair.fake)}

    def penalties(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        pair = critic.pair()
        r1, r2 = (self.gamma / 2 * squared_gradients(pair.scores, pair.points)).chunk(2)
        return {"r1": r1, "r2": r2}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        with torch.no_grad():
            real = critic(batch.real)
        return {"pair": -logsigmoid(critic(batch.fake) - real)}


# -- the networks: no normalisation anywhere, so that the samples of a batch stay independent --------------------------


@dataclass(frozen=True)
class Plan:
    """Sizes of both networks."""

    width: int  # channels at the coarsest size
    wide_stages: int  # so many stages keep them; then they halve with every finer one
    blocks: int  # in each stage
    patch: int  # side of the patches of pixels that count as one; at the finest size blocks would cost most

    def stages(self, shape: tuple[int, ...]) -> list[tuple[tuple[int, int], int]]:
        """(C, H, W) -> [((h, w), channels)], coarsest first: 32 -> 4, 8, 16, 32, and 28 -> 4, 7, 14 in patches of 2."""
        sizes = [(-(-shape[1] // self.patch), -(-shape[2] // self.patch))]
        while min(sizes[0]) > 4:
            sizes.insert(0, ((sizes[0][0] + 1) // 2, (sizes[0][1] + 1) // 2))
        narrowing = [max(0, stage + 1 - self.wide_stages) for stage in range(len(sizes))]
        return [(size, max(GROUP, self.width >> shift)) for size, shift in zip(sizes, narrowing, strict=True)]


PLANS = {
    "small": Plan(width=128, wide_stages=1, blocks=1, patch=2),
    "cifar": Plan(width=768, wide_stages=4, blocks=2, patch=1),
}


def plan_of(options: Options) -> Plan:
    """The sizes that the options ask for."""
    plan = PLANS[options.networks]
    if options.width is None:
        return plan
    if options.width % GROUP:
        raise InputError(f"width {options.width} is not a multiple of {GROUP}", hint="-s width=192")
    return replace(plan, width=options.width)


class Block(nn.Module):
    """x [N, C, h, w] -> same shape: x plus an inverted bottleneck, 1x1 wider, 3x3 in groups, 1x1 back."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        inner = EXPANSION * channels
        # Fixup (Zhang et al., 2019) in place of normalisation: each branch starts at zero, and its other m - 1 = 2
        # layers at L^(-1/(2m - 2)) times He's gain, so that an update of all L blocks together stays bounded.
        gain = math.sqrt(2 / (1 + SLOPE**2)) * blocks**-0.25
        self.branch = nn.Sequential(
            convolution(channels, inner, gain=gain, bias=True),
            nn.LeakyReLU(SLOPE, inplace=True),
            convolution(inner, inner, size=3, groups=inner // GROUP, gain=gain, bias=True),
            nn.LeakyReLU(SLOPE, inplace=True),
            convolution(inner, channels, gain=0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] -> [N, C, h, w]."""
        y: Tensor = self.branch(x)
        return x + y


class Resample(nn.Module):
    """x [N, C, *before] -> [N, C, *after], bilinear: at a factor of two the paper's filter [1, 3, 3, 1]."""

    rows: Tensor
    columns: Tensor

    def __init__(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__()
        # As two products with fixed matrices it fits odd sizes too, and differentiates twice at the price of once.
        self.register_buffer("rows", bilinear(before[0], after[0]), persistent=False)
        self.register_buffer("columns", bilinear(before[1], after[1]).T.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] -> [N, C, h', w']."""
        return self.rows @ x @ self.columns


class R3ganGenerator(nn.Module):
    """z [N, z_dim], y [N, K] -> images [N, C, H, W], without a tanh: pixels are clamped where they are written."""

    def __init__(self, shape: tuple[int, ...], z_dim: int, plan: Plan, condition: int = 0) -> None:
        super().__init__()
        stages = plan.stages(shape)
        (size, width), blocks = stages[0], plan.blocks * len(stages)
        self.embed = linear(condition, z_dim) if condition else None
        self.scale = linear(2 * z_dim if condition else z_dim, width)
        self.basis = nn.Parameter(torch.randn(width, *size))
        layers: list[nn.Module] = [Block(width, blocks) for _ in range(plan.blocks)]
        for (before, inputs), (after, outputs) in itertools.pairwise(stages):
            layers += [convolution(inputs, outputs)] if inputs != outputs else []
            layers += [Resample(before, after), *(Block(outputs, blocks) for _ in range(plan.blocks))]
        layers += [convolution(stages[-1][1], shape[0] * plan.patch**2), nn.PixelShuffle(plan.patch)]
        self.layers = nn.Sequential(*layers)
        self.shape = shape

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim], y [N, K] -> images [N, C, H, W]."""
        if self.embed is not None:
            z = torch.cat([z, self.embed(condition)], dim=1)
        images: Tensor = self.layers(self.basis * self.scale(z)[:, :, None, None])
        return images[:, :, : self.shape[1], : self.shape[2]]  # patches may reach beyond an odd size


class R3ganDiscriminator(nn.Module):
    """images [N, C, H, W], y [N, K] -> scores [N]: the generator's mirror image."""

    def __init__(self, shape: tuple[int, ...], plan: Plan, condition: int = 0) -> None:
        super().__init__()
        stages = plan.stages(shape)[::-1]
        (size, width), blocks = stages[-1], plan.blocks * len(stages)
        # Odd sizes are filled up, as whole patches are needed.
        layers: list[nn.Module] = [nn.ReplicationPad2d((0, -shape[2] % plan.patch, 0, -shape[1] % plan.patch))]
        layers += [nn.PixelUnshuffle(plan.patch), convolution(shape[0] * plan.patch**2, stages[0][1])]
        for (before, inputs), (after, outputs) in itertools.pairwise(stages):
            layers += [*(Block(inputs, blocks) for _ in range(plan.blocks)), Resample(before, after)]
            layers += [convolution(inputs, outputs)] if inputs != outputs else []
        self.layers = nn.Sequential(*layers, *(Block(width, blocks) for _ in range(plan.blocks)))
        self.basis = nn.Parameter(torch.randn(width, *size) / math.sqrt(math.prod(size)))
        self.score = linear(width, width if condition else 1)
        # A projection (Miyato and Koyama, 2018); its 1/sqrt(channels) lies in the initial values.
        self.embed = linear(condition, width, gain=1 / math.sqrt(width)) if condition else None

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """images [N, C, H, W], y [N, K] -> scores [N]."""
        features: Tensor = self.score((self.layers(images) * self.basis).sum((2, 3)))
        return features.squeeze(1) if self.embed is None else (features * self.embed(condition)).sum(1)


def bilinear(before: int, after: int) -> Tensor:
    """The matrix [after, before] that resizes a column; its rows sum to one, also at the border."""
    columns = torch.eye(before)[None, None]
    return interpolate(columns, (after, before), mode="bilinear", antialias=True)[0, 0]


def convolution(
    inputs: int, outputs: int, size: int = 1, groups: int = 1, gain: float = 1.0, bias: bool = False
) -> nn.Conv2d:
    """A convolution that keeps h and w, with weights N(0, gain^2 / fan_in) and bias zero."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups, bias=bias)
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(inputs // groups * size**2))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def linear(inputs: int, outputs: int, gain: float = 1.0) -> nn.Linear:
    """x [N, inputs] -> [N, outputs] without bias, with weights N(0, gain^2 / inputs)."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(inputs))
    return layer


# -- the plugin --------------------------------------------------------------------------------------------------------


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        capturable=True,
        title="R3GAN",
        paper="https://arxiv.org/abs/2501.05441",
        options=Options,
        config=TrainConfig(g_lr=2e-3, d_lr=2e-3, betas=(0.0, 0.99)),
    )


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return R3ganLoss(options.gamma)


@hookimpl
def gankit_generator(data: DataSpec, z_dim: int, options: Options) -> nn.Module | None:
    """None for points: core's perceptrons answer."""
    if not data.is_image or options.networks == "core":
        return None
    return R3ganGenerator(data.shape, z_dim, plan_of(options), data.condition)


@hookimpl
def gankit_discriminator(data: DataSpec, options: Options) -> nn.Module | None:
    """None for points: core's perceptrons answer."""
    if not data.is_image or options.networks == "core":
        return None
    return R3ganDiscriminator(data.shape, plan_of(options), data.condition)


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    real, fake = [2.0, 0.5, -1.0], [-1.5, 0.0, 1.0]
    linear = lambda: LinearCritic(3.0, 4.0)  # noqa: E731
    return [
        Vector(
            name="pairs",
            loss=R3ganLoss,
            real=real,
            fake=fake,
            expected={"d/pair": 0.8769184711652334, "g": 1.5435851378318999},
        ),
        Vector(
            name="R1 and R2, gamma 0.05",
            loss=lambda: R3ganLoss(0.05),
            critic=linear,
            real=[[1.0, 0.0]],
            fake=[[0.0, 1.0]],
            expected={"d/r1": 0.625, "d/r2": 0.625},
        ),
    ]
