"""Projected GAN: small critics on random mixtures of the feature maps of a frozen network (Sauer et al., 2021)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, relu
from torch.nn.utils.parametrizations import spectral_norm

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    CriticOutput,
    DataSpec,
    FrozenLite0,
    InputError,
    TrainConfig,
    VariantInfo,
    Vector,
    hookimpl,
    option,
)

STRIDES = (4, 8, 16, 32)  # of the maps of the frozen network
SLOPE = 0.2  # of the leaky ReLUs
LEAST = 4  # side of the maps of logits, where the side of the images allows it
GROWTH = 4  # a critic's channels double with each halving, up to so many times those that it begins with


@dataclass(frozen=True)
class Options:
    side: int = option(
        96,
        ge=64,
        le=320,
        help="images are resized to side x side pixels for the frozen network, a multiple of 32; the paper has 256",
    )
    width: int = option(
        32, ge=8, le=256, help="channels of the finest mixed map, twice as many in each coarser one; the paper has 64"
    )
    mixing: Literal["scales", "channels", "none"] = option(
        "scales",
        help="random mixing of the maps: across channels and scales as in the paper, across channels alone, or none",
    )

    def __post_init__(self) -> None:
        if self.side % STRIDES[-1]:
            raise InputError(
                f"side={self.side}: the maps of the frozen network have strides up to {STRIDES[-1]}",
                hint=f"a multiple of {STRIDES[-1]}: -s side={max(2, round(self.side / 32)) * 32}",
            )


# -- the game ----------------------------------------------------------------------------------------------------------


class ProjectedLoss(AdversarialLoss):
    """The hinge loss at every position, its mean over the positions of a scale, summed over the scales.

    D gives [N, 1 + P]: the score, which is the mean logit of all scales and no term of the loss, and the P logits,
    scale after scale.
    """

    boundary = 0.0

    def __init__(self, positions: Sequence[int]) -> None:
        """`positions` are the numbers of logits of the scales."""
        super().__init__()
        self.positions = list(positions)
        self.output = CriticOutput(heads=sum(positions))

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = critic(batch.real), critic(batch.fake)
        return {"real": self.over_scales(relu(1 - real[:, 1:])), "fake": self.over_scales(relu(1 + fake[:, 1:]))}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": self.over_scales(-critic(batch.fake)[:, 1:])}

    def over_scales(self, values: Tensor) -> Tensor:
        """[N, P] -> [N]: the sum over the scales of the means over their positions."""
        return torch.stack([scale.mean(1) for scale in torch.split(values, self.positions, dim=1)]).sum(0)


# -- the discriminator -------------------------------------------------------------------------------------------------


class RandomConv(nn.Module):
    """A convolution with fixed random weights (Kaiming), which keeps the resolution."""

    weight: Tensor

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        # There is no activation after it, so the gain is one: the variance stays as it is.
        weight = nn.init.kaiming_normal_(torch.empty(out, channels, kernel, kernel), nonlinearity="linear")
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)


class Projection(nn.Module):
    """Images -> four maps of the strides 4, 8, 16 and 32: frozen features, mixed at random.

    Cross-channel mixing (CCM) is a random 1x1 convolution at each scale. Cross-scale mixing (CSM) goes from the
    coarsest to the finest scale: the mixed coarser map is enlarged and added, and a random 3x3 convolution follows.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.features = FrozenLite0(options.side)
        self.ccm, self.csm = nn.ModuleList(), nn.ModuleList()
        self.widths: list[int] = list(self.features.channels)
        if options.mixing != "none":
            mixed = [options.width << scale for scale in range(len(STRIDES))]
            self.ccm.extend(RandomConv(*pair, 1) for pair in zip(self.widths, mixed, strict=True))
            self.widths = mixed
        if options.mixing == "scales":
            finer = [options.width, *self.widths[:-1]]
            self.csm.extend(RandomConv(*pair, 3) for pair in zip(self.widths, finer, strict=True))
            self.widths = finer

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.features.maps(images)
        if self.ccm:
            maps = [mix(x) for mix, x in zip(self.ccm, maps, strict=True)]
        if self.csm:
            maps[-1] = self.csm[-1](maps[-1])
            for scale in (2, 1, 0):
                coarser = interpolate(maps[scale + 1], scale_factor=2, mode="bilinear", align_corners=False)
                maps[scale] = self.csm[scale](maps[scale] + coarser)
        return maps


class ScaleCritic(nn.Module):
    """A map [N, C, h, h] (and y [N, K]) -> its logits [N, positions].

    A few convolutions with spectral normalisation. y enters by projection (Miyato and Koyama, 2018). There is no batch
    norm, which the authors' code has: it would couple the samples of a batch.
    """

    def __init__(self, channels: int, side: int, condition: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        out = channels
        for number in range(halvings(side)):
            before, out = out, min(channels << (number + 1), channels * GROWTH)
            layers += [nn.Conv2d(before, out, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.logits = nn.Conv2d(out, 1, 3, padding=1)
        self.embed = nn.Linear(condition, out, bias=False) if condition else None
        for layer in list(self.modules()):
            if isinstance(layer, nn.Conv2d | nn.Linear):
                spectral_norm(layer)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.layers(x)
        logits: Tensor = self.logits(x).flatten(1)
        if self.embed is not None and condition is not None:
            logits = logits + (self.embed(condition)[:, :, None, None] * x).sum(1).flatten(1)
        return logits


class ProjectedDiscriminator(nn.Module):
    """Images [N, C, H, W] (and y [N, K]) -> [N, 1 + P]: the mean logit of the four scales, and all P logits.

    Nothing moves but the critics. The random convolutions are buffers, which every checkpoint has; the frozen network
    is none of its modules.
    """

    def __init__(self, options: Options, condition: int = 0) -> None:
        super().__init__()
        self.projection = Projection(options)
        scales = zip(self.projection.widths, STRIDES, strict=True)
        self.critics = nn.ModuleList(ScaleCritic(width, options.side // s, condition) for width, s in scales)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        maps = self.projection(images)
        logits = [critic(x, condition) for critic, x in zip(self.critics, maps, strict=True)]
        score = torch.stack([scale.mean(1) for scale in logits]).mean(0)
        return torch.cat([score[:, None], *logits], dim=1)


def halvings(side: int) -> int:
    """How often a map is halved while its side stays even, and at least 4."""
    count = 0
    while side % 2 == 0 and side // 2 >= LEAST:
        count, side = count + 1, side // 2
    return count


def positions(options: Options) -> list[int]:
    """The numbers of logits of the four scales."""
    sides = [options.side // stride for stride in STRIDES]
    return [(side >> halvings(side)) ** 2 for side in sides]


# -- what it is --------------------------------------------------------------------------------------------------------


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        title="Projected GAN",
        paper="https://arxiv.org/abs/2111.01007",
        options=Options,
        config=TrainConfig(d_lr=2e-4, betas=(0.0, 0.99)),
    )


@hookimpl
def gankit_loss(data: DataSpec, options: Options) -> AdversarialLoss:
    if not data.is_image or data.shape[0] not in (1, 3):
        what = f"images of {data.shape[0]} channels" if data.is_image else data.kind
        raise InputError(
            f"projected judges the features of grey and RGB images, and the data are {what}",
            hint="--channels rgb" if data.is_image else "another --variant: `gankit variants`",
        )
    return ProjectedLoss(positions(options))


@hookimpl
def gankit_discriminator(data: DataSpec, options: Options) -> nn.Module:
    return ProjectedDiscriminator(options, data.condition)


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    loss = lambda: ProjectedLoss([2, 1])  # noqa: E731 - a scale of two positions and one of one
    return [
        Vector(
            name="two scales",
            loss=loss,
            # The hinges of the real samples are (0 + 1)/2 + 2 and (0.5 + 3)/2 + 0, of the fake ones (0 + 3)/2 + 1.5 and
            # (1 + 0)/2 + 0; G gets -(-1 + 2)/2 - 0.5 and -(0 - 3)/2 + 2.
            real=[[9.0, 2.0, 0.0, -1.0], [9.0, 0.5, -2.0, 1.0]],
            fake=[[9.0, -1.0, 2.0, 0.5], [9.0, 0.0, -3.0, -2.0]],
            expected={"d/real": 2.125, "d/fake": 1.75, "d": 3.875, "g": 1.25},
            source="section 3 of the paper, with hinges",
        ),
        Vector(name="zeros", loss=loss, real=[[0.0] * 4], fake=[[0.0] * 4], expected={"d": 4, "g": 0}),
    ]
