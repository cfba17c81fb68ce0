"""ADA: augmentation of what D sees, with a probability that follows how much D overfits (Karras et al., 2020).

This file has the controller of that probability and the options; `ada_transforms` the transformations, and `ada_warp`
how images are resampled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.plugin import (
    AdversarialLoss,
    DataSpec,
    ExtensionInfo,
    InputError,
    Part,
    Step,
    TrainingLoop,
    hookimpl,
    option,
)
from gankit_extensions.ada_transforms import Pipeline, shares_of
from gankit_extensions.diffaugment import refuse_points

EVERY = 4  # steps of D between two changes of p


@dataclass(frozen=True)
class Options:
    target: float = option(0.6, ge=0, le=1, help="of r = E[sign(D(real) - boundary)]; above it p grows")
    images: int = option(500_000, ge=1, help="shown to D while p may go from 0 to 1")
    transforms: str = option(
        "blit, geometry, colour",
        help="what is applied, each with probability p or a share of it: 'blit, geometry, colour:0.5, cutout'; also "
        "imgfilter, noise, and single ones by the names of the paper's code, as in 'blit, rotate90:0'",
    )
    start: float = option(0.0, ge=0, le=1, schedule=False, help="p at the beginning")
    p: float | None = option(
        None, ge=0, le=1, schedule=True, help="a fixed or a scheduled p, in place of the controller"
    )


class Ada(Part):
    """Each transformation is applied to each image with the given probability, or with that of the controller.

    The controller counts the signs of D's scores of real samples over four of D's steps, and moves p by what lets it go
    from 0 to 1 within `images`. Nothing waits for the device, and nothing depends on the host.
    """

    p: Tensor
    signs: Tensor
    counted: Tensor
    images: Tensor

    def __init__(self, options: Options, boundary: float) -> None:
        super().__init__()
        self.options, self.boundary = options, boundary
        self.pipeline = Pipeline(shares_of(options.transforms))
        self.register_buffer("p", torch.tensor(options.start))
        self.register_buffer("signs", torch.zeros(()))  # summed over the steps since p changed
        self.register_buffer("counted", torch.zeros(()))  # steps in that sum
        self.register_buffer("images", torch.zeros(()))  # real samples of these steps, in all processes

    def shown(self, samples: Tensor, step: Step) -> Tensor:
        return self.pipeline(samples, self.p if self.options.p is None else self.options.p)

    def after_update(self, step: Step) -> Mapping[str, Tensor]:
        if self.options.p is not None or step.phase.player != "discriminator":
            return {}
        assert step.critic is not None
        if step.critic.real is not None:  # a step in which real samples have no score is not counted
            self.signs += AdversarialLoss.mean((step.critic.real - self.boundary).sign())
            self.counted += 1
            self.images += step.images_since
        due = self.counted == EVERY
        move = self.images / self.options.images * (self.signs / EVERY - self.options.target).sign()
        self.p += torch.where(due, move, 0.0)
        self.p.clamp_(0, 1)
        self.signs.masked_fill_(due, 0)
        self.counted.masked_fill_(due, 0)
        self.images.masked_fill_(due, 0)
        return {"ada/p": self.p.clone()}


class Extension:
    """Adds the augmentation to games on images."""

    def __init__(self, options: Options) -> None:
        shares_of(options.transforms)  # a name that there is not is refused before anything is built
        self.options = options

    @hookimpl
    def gankit_parts(self, loop: TrainingLoop, data: DataSpec) -> Sequence[Part]:
        refuse_points(data, "ada")
        reconstructs = loop.loss.output.code > 0  # no p helps: core refuses augmentation for such a loss
        if self.options.p is None and loop.loss.boundary is None and not reconstructs:
            raise InputError(
                "ada's controller counts real samples that D takes for real, and this loss has no score for that",
                hint="give p itself: -s ada.p=0.2, or a schedule like -s 'ada.p=linear(0, 0.5, 50%)'",
            )
        return [Ada(self.options, loop.loss.boundary or 0.0)]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="ADA", options=Options, make=Extension)
