"""Projected GAN: small critics on random mixtures of the feature maps of a frozen network (Sauer et al., 2021)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gankit.discriminators import Projected
from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    CriticOutput,
    DataSpec,
    InputError,
    TrainConfig,
    VariantInfo,
    Vector,
    hookimpl,
    option,
)

STRIDE = 32  # of the coarsest map of the frozen network


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
        if self.side % STRIDE:
            raise InputError(
                f"side={self.side}: the maps of the frozen network have strides up to {STRIDE}",
                hint=f"a multiple of {STRIDE}: -s side={max(2, round(self.side / 32)) * 32}",
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


class ProjectedDiscriminator(Projected):
    """Images [N, C, H, W] (and y [N, K]) -> [N, 1 + P]: the mean logit of the four scales, and all P logits.

    Nothing moves but the critics. The random convolutions are buffers, which every checkpoint has; the frozen network
    is none of its modules.
    """

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        logits = [scale.flatten(1) for scale in self.logits(images, condition)]
        score = torch.stack([scale.mean(1) for scale in logits]).mean(0)
        return torch.cat([score[:, None], *logits], dim=1)


def positions(options: Options) -> list[int]:
    """The numbers of logits of the four scales."""
    return [side**2 for side in Projected.sides(options.side)]


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
    return ProjectedDiscriminator(
        side=options.side, width=options.width, mixing=options.mixing, condition=data.condition
    )


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
