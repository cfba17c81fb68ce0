"""R3GAN: relativistic pairs, zero-centred penalties on both sides, plain residual networks (Huang et al., 2024)."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

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
    option,
    squared_gradients,
)

SLOPE = 0.2  # of the leaky ReLUs
EXPANSION = 2  # of the channels within a block


@dataclass(frozen=True)
class Options:
    gamma: float = option(3.0, ge=0, help="weight of both penalties, gamma/2 E|grad D|^2; points want less, say 0.02")
    networks: Literal["core", "small", "cifar", "ffhq", "imagenet"] = option(
        "core",
        help="core leaves them to gankit or to an extension; cifar, ffhq, imagenet: the paper's for these data, at any "
        "size; small: like those, for a CPU",
    )
    width: int | None = option(
        None,
        ge=8,
        le=1 << 14,
        help="channels of the coarsest stages, from which those of finer ones follow; None: 128 in the small networks, "
        "768 for cifar and ffhq, 1536 for imagenet",
    )
    estimate: Literal["autograd", "finite"] = option(
        "autograd", help="both penalties exactly, or estimated by finite differences, without a second derivative"
    )
    sigma: float = option(
        0.01, ge=1e-3, le=0.1, schedule=False, help="standard deviation of the noise of estimate=finite"
    )


# -- the game ----------------------------------------------------------------------------------------------------------


class R3ganLoss(AdversarialLoss):
    """RpGAN + R1 + R2: softplus(-t) = -logsigmoid(t) of the difference t of paired scores, and penalties every step."""

    def __init__(self, gamma: float = 3.0, sigma: float | None = None) -> None:
        super().__init__()
        self.gamma = gamma
        self.sigma = sigma
        """Of the noise of finite differences; None: the penalties are exact."""

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        if self.sigma is None:
            pair = critic.pair()  # one forward pass for both sides, which serves the penalties too
            return {"pair": -logsigmoid(pair.real - pair.fake)}
        return {"pair": -logsigmoid(critic(batch.real) - critic(batch.fake))}

    def penalties(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        if self.sigma is None:
            pair = critic.pair()
            squares = squared_gradients(pair.scores, pair.points)
        else:
            squares = finite_differences(critic, torch.cat([batch.real, batch.fake]), self.sigma)
        r1, r2 = (self.gamma / 2 * squares).chunk(2)
        return {"r1": r1, "r2": r2}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real = critic(batch.real).detach()  # constant to the generator
        return {"pair": -logsigmoid(critic(batch.fake) - real)}


# -- the networks: no normalisation anywhere, so that the samples of a batch stay independent --------------------------


@dataclass(frozen=True)
class Plan:
    """Sizes of both networks."""

    width: int  # channels at the coarsest size
    wide_stages: int  # so many stages keep them; then they halve with every finer one
    blocks: int  # in each stage
    patch: int = 1  # side of the patches of pixels that count as one; at the finest size blocks would cost most
    group: int = 16  # channels in a group of a 3x3 convolution
    zero_border: bool = True  # whether zeros lie outside an image that is resampled, as in the authors' code

    def stages(self, shape: tuple[int, ...]) -> list[tuple[tuple[int, int], int]]:
        """(C, H, W) -> [((h, w), channels)], coarsest first: 32 -> 4, 8, 16, 32, and 28 -> 4, 7, 14 in patches of 2."""
        sizes = [(-(-shape[1] // self.patch), -(-shape[2] // self.patch))]
        while min(sizes[0]) > 4:
            sizes.insert(0, ((sizes[0][0] + 1) // 2, (sizes[0][1] + 1) // 2))
        narrowing = [max(0, stage + 1 - self.wide_stages) for stage in range(len(sizes))]
        widths = [max(self.group, self.width >> shift) for shift in narrowing]
        for width in widths:
            if EXPANSION * width % self.group:
                raise InputError(
                    f"width {self.width} gives blocks of {EXPANSION * width} channels, which groups of {self.group} do "
                    "not divide",
                    hint="-s width=192, or another multiple of 64",
                )
        return list(zip(sizes, widths, strict=True))


# Those of the paper are the presets of the authors' train.py: CIFAR10 (4 stages at 32x32), FFHQ-64 (5) and FFHQ-256
# (7), ImageNet-32 (4) and ImageNet-64 (5).
PAPER = Plan(width=768, wide_stages=4, blocks=2)
PLANS = {
    "small": Plan(width=128, wide_stages=1, blocks=1, patch=2, zero_border=False),
    "cifar": PAPER,
    "ffhq": PAPER,
    "imagenet": Plan(width=1536, wide_stages=5, blocks=2, group=32),
}


class Block(nn.Module):
    """x [N, C, h, w] -> same shape: x plus an inverted bottleneck, 1x1 wider, 3x3 in groups, 1x1 back."""

    def __init__(self, channels: int, blocks: int, group: int = 16) -> None:
        super().__init__()
        inner = EXPANSION * channels
        # Fixup (Zhang et al., 2019) in place of normalisation: each branch starts at zero, and its other m - 1 = 2
        # layers at L^(-1/(2m - 2)) times He's gain, so that an update of all L blocks together stays bounded.
        gain = math.sqrt(2 / (1 + SLOPE**2)) * blocks**-0.25
        self.branch = nn.Sequential(
            convolution(channels, inner, gain=gain, bias=True),
            nn.LeakyReLU(SLOPE, inplace=True),
            convolution(inner, inner, size=3, groups=inner // group, gain=gain, bias=True),
            nn.LeakyReLU(SLOPE, inplace=True),
            convolution(inner, channels, gain=0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] -> [N, C, h, w]."""
        y: Tensor = self.branch(x)
        return x + y


class Resample(nn.Module):
    """x [N, C, *before] -> [N, C, *after], bilinear: at a factor of two the paper's filter [1, 3, 3, 1].

    With `zero_border` zeros lie outside of x, so that it fades at its border; else the filter is normalised there.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, before: tuple[int, int], after: tuple[int, int], *, zero_border: bool) -> None:
        super().__init__()
        # As two products with fixed matrices it fits odd sizes too, and differentiates twice at the price of once.
        rows, columns = (bilinear(n, m, zero_border=zero_border) for n, m in zip(before, after, strict=True))
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns.T.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, h, w] -> [N, C, h', w']."""
        return self.rows @ x @ self.columns


class R3ganGenerator(nn.Module):
    """z [N, z_dim], y [N, K] -> images [N, C, H, W], without a tanh: pixels are clamped where they are written."""

    def __init__(self, shape: tuple[int, ...], z_dim: int, plan: Plan, condition: int = 0) -> None:
        super().__init__()
        stages = plan.stages(shape)
        size, width = stages[0]
        self.embed = linear(condition, z_dim) if condition else None
        self.scale = linear(2 * z_dim if condition else z_dim, width)
        self.basis = nn.Parameter(torch.randn(width, *size))
        layers: list[nn.Module] = [*stage_blocks(plan, width, len(stages))]
        for (before, inputs), (after, outputs) in itertools.pairwise(stages):
            layers += [convolution(inputs, outputs)] if inputs != outputs else []
            layers += [Resample(before, after, zero_border=plan.zero_border)]
            layers += stage_blocks(plan, outputs, len(stages))
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
        size, width = stages[-1]
        # Odd sizes are filled up, as whole patches are needed.
        layers: list[nn.Module] = [nn.ReplicationPad2d((0, -shape[2] % plan.patch, 0, -shape[1] % plan.patch))]
        layers += [nn.PixelUnshuffle(plan.patch), convolution(shape[0] * plan.patch**2, stages[0][1])]
        for (before, inputs), (after, outputs) in itertools.pairwise(stages):
            layers += [*stage_blocks(plan, inputs, len(stages)), Resample(before, after, zero_border=plan.zero_border)]
            layers += [convolution(inputs, outputs)] if inputs != outputs else []
        self.layers = nn.Sequential(*layers, *stage_blocks(plan, width, len(stages)))
        self.basis = nn.Parameter(torch.randn(width, *size) / math.sqrt(math.prod(size)))
        self.score = linear(width, width if condition else 1)
        # A projection (Miyato and Koyama, 2018); its 1/sqrt(channels) lies in the initial values.
        self.embed = linear(condition, width, gain=1 / math.sqrt(width)) if condition else None

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """images [N, C, H, W], y [N, K] -> scores [N]."""
        features: Tensor = self.score((self.layers(images) * self.basis).sum((2, 3)))
        return features.squeeze(1) if self.embed is None else (features * self.embed(condition)).sum(1)


def stage_blocks(plan: Plan, channels: int, stages: int) -> list[nn.Module]:
    """The blocks of one of so many stages."""
    return [Block(channels, plan.blocks * stages, plan.group) for _ in range(plan.blocks)]


def bilinear(before: int, after: int, *, zero_border: bool) -> Tensor:
    """The matrix [after, before] that resizes a column by a triangle as wide as the coarser grid.

    Its rows sum to one; with `zero_border` only those that do not reach beyond the border do.
    """
    scale = before / after
    centres = scale * (torch.arange(after, dtype=torch.float64) + 0.5) - 0.5
    distances = torch.arange(-before, 2 * before) - centres[:, None]  # the column lies between two empty ones
    weights = (1 - distances.abs() / max(scale, 1.0)).clamp(min=0)
    inside = weights[:, before : 2 * before]
    return (inside / (weights if zero_border else inside).sum(1, keepdim=True)).float()


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
        config=TrainConfig(betas=(0.0, 0.99), g_reals="fresh"),
    )


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return R3ganLoss(options.gamma, options.sigma if options.estimate == "finite" else None)


def plan_of(data: DataSpec, options: Options) -> Plan | None:
    """The sizes of the networks; None where they are not this variant's."""
    if not data.is_image or options.networks == "core":
        if options.width is not None:
            raise InputError("width is for r3gan's own networks of images", hint="leave out -s width")
        return None
    plan = PLANS[options.networks]
    return plan if options.width is None else replace(plan, width=options.width)


@hookimpl
def gankit_generator(data: DataSpec, z_dim: int, options: Options) -> nn.Module | None:
    """None for points: core's perceptrons answer."""
    plan = plan_of(data, options)
    return None if plan is None else R3ganGenerator(data.shape, z_dim, plan, data.condition)


@hookimpl
def gankit_discriminator(data: DataSpec, options: Options) -> nn.Module | None:
    """None for points: core's perceptrons answer."""
    plan = plan_of(data, options)
    return None if plan is None else R3ganDiscriminator(data.shape, plan, data.condition)


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
