"""ADA: augmentation of what D sees, with a probability that follows how much D overfits (Karras et al., 2020).

Of the paper's pipeline: blitting (flips, quarter turns, whole-pixel shifts) and colour. What a shift leaves open is
filled by reflection, as in the authors' code. The geometric ones with their filters are left out: they need
grid_sample, whose second derivative older PyTorch lacks.
"""

import math
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
from gankit_extensions.diffaugment import refuse_points, shift, uniform, whole

EVERY = 4  # steps of D between two changes of p


@dataclass(frozen=True)
class Options:
    target: float = option(0.6, ge=0, le=1, help="of r = E[sign(D(real) - boundary)]; above it p grows")
    images: int = option(500_000, ge=1, help="shown to D while p may go from 0 to 1")
    start: float = option(0.0, ge=0, le=1, schedule=False, help="p at the beginning")
    p: float | None = option(
        None, ge=0, le=1, schedule=True, help="a fixed or a scheduled p, in place of the controller"
    )


class Ada(Part):
    """Each transformation is applied to each image with the given probability, or with that of the controller.

    The controller counts the signs of D's scores of real samples over four of D's steps, and moves p by what lets it go
    from 0 to 1 within `images`. Nothing waits for the device.
    """

    p: Tensor
    signs: Tensor
    counted: Tensor

    def __init__(self, options: Options, boundary: float, batch: int) -> None:
        super().__init__()
        self.options, self.boundary, self.batch = options, boundary, batch
        self.register_buffer("p", torch.tensor(options.start))
        self.register_buffer("signs", torch.zeros(()))  # summed over the steps since p changed
        self.register_buffer("counted", torch.zeros(()))  # steps in that sum

    def shown(self, samples: Tensor, step: Step) -> Tensor:
        return self.colour(self.blit(samples))

    def after_update(self, step: Step) -> Mapping[str, Tensor]:
        if self.options.p is not None or step.phase.player != "discriminator":
            return {}
        assert step.critic is not None
        if step.critic.real is not None:
            self.signs += AdversarialLoss.mean((step.critic.real - self.boundary).sign())
            self.counted += 1
        if (step.number + 1) % EVERY == 0:
            r = self.signs / self.counted.clamp(min=1)
            move = EVERY * self.batch / self.options.images * (r - self.options.target).sign()
            self.p += torch.where(self.counted > 0, move, 0.0)
            self.p.clamp_(0, 1)
            self.signs.zero_()
            self.counted.zero_()
        return {"ada/p": self.p.clone()}

    @property
    def probability(self) -> Tensor | float:
        """The given p, or that of the controller."""
        return self.p if self.options.p is None else self.options.p

    def chosen(self, images: Tensor) -> Tensor:
        """Which images a transformation is applied to, [N, 1, 1, 1]."""
        return uniform(images) < self.probability

    def blit(self, images: Tensor) -> Tensor:
        """Mirrored (half of the chosen), turned by quarters, shifted by up to an eighth of each side (reflected)."""
        images = torch.where(self.chosen(images) & (uniform(images) < 0.5), images.flip(3), images)
        if images.shape[2] == images.shape[3]:
            turns = torch.where(self.chosen(images), (4 * uniform(images)).floor(), 0.0)
            for k in (1, 2, 3):
                images = torch.where(turns == k, images.rot90(k, (2, 3)), images)
        moved = self.chosen(images).flatten()
        down, right = (whole(images, round(side / 8)) * moved for side in images.shape[2:])
        return shift(images, down, right, border="reflect")

    def colour(self, images: Tensor) -> Tensor:
        """Brightness, contrast, inverted luma; of three channels hue and saturation as well."""
        images = images + torch.where(self.chosen(images), 0.2 * normal(images), 0.0)
        images = images * torch.where(self.chosen(images), torch.exp2(0.5 * normal(images)), 1.0)
        inverted = self.chosen(images) & (uniform(images) < 0.5)
        luma = images.mean(1, keepdim=True)
        images = torch.where(inverted, images - 2 * luma, images)
        if images.shape[1] != 3:
            return images
        luma = images.mean(1, keepdim=True)
        angle = torch.where(self.chosen(images), math.pi * (2 * uniform(images) - 1), 0.0)
        across = (images.roll(1, 1) - images.roll(-1, 1)) / math.sqrt(3)  # the cross product with the grey axis
        images = luma + (images - luma) * angle.cos() + across * angle.sin()
        saturation = torch.where(self.chosen(images), torch.exp2(normal(images)), 1.0)
        return luma + (images - luma) * saturation


def normal(images: Tensor) -> Tensor:
    """One N(0, 1) number for each image, [N, 1, 1, 1]."""
    return torch.randn(len(images), 1, 1, 1, device=images.device, dtype=images.dtype)


class Extension:
    """Adds the augmentation to games on images."""

    def __init__(self, options: Options) -> None:
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
        return [Ada(self.options, loop.loss.boundary or 0.0, loop.config.batch)]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="ADA", options=Options, make=Extension)
