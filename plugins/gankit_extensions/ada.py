"""ADA: augmentation of what D sees, with a probability that follows how much D overfits (Karras et al., 2020).

Of the paper's pipeline: blitting (flips, quarter turns, whole-pixel shifts) and colour. The geometric ones with their
filters are left out: they need grid_sample, whose second derivative older PyTorch lacks.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gankit.plugin import AdversarialLoss, BoundCritic, DataSpec, ExtensionInfo, TrainingLoop, hookimpl, option
from gankit_extensions.diffaugment import refuse_points, shift, uniform, whole

EVERY = 4  # steps of D between two changes of p


@dataclass(frozen=True)
class Options:
    target: float = option(0.6, ge=0, le=1, help="of r = E[sign(D(real) - boundary)]; above it p grows")
    images: int = option(500_000, ge=1, help="shown to D while p may go from 0 to 1")
    boundary: float = option(0.0, help="score at which D says neither real nor fake: 0, and 0.5 for lsgan")
    start: float = option(0.0, ge=0, le=1, help="p at the beginning")


class Ada(nn.Module):
    """Each transformation is applied to each image with probability `p`, a buffer."""

    p: Tensor
    signs: Tensor

    def __init__(self, start: float) -> None:
        super().__init__()
        self.register_buffer("p", torch.tensor(start))
        self.register_buffer("signs", torch.zeros(()))  # summed over the steps since p changed

    def chosen(self, images: Tensor) -> Tensor:
        """Which images a transformation is applied to, [N, 1, 1, 1]."""
        return uniform(images) < self.p

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, C, H, W] -> the same shape, within about [-1, 1]."""
        return self.colour(self.blit(images))

    def blit(self, images: Tensor) -> Tensor:
        """Mirrored (half of the chosen), turned by quarters, shifted by up to an eighth of each side."""
        images = torch.where(self.chosen(images) & (uniform(images) < 0.5), images.flip(3), images)
        if images.shape[2] == images.shape[3]:
            turns = torch.where(self.chosen(images), (4 * uniform(images)).floor(), 0.0)
            for k in (1, 2, 3):
                images = torch.where(turns == k, images.rot90(k, (2, 3)), images)
        moved = self.chosen(images).flatten()
        return shift(images, *(whole(images, round(side / 8)) * moved for side in images.shape[2:]))

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


class AdaptiveAugmentation:
    """Adds the augmentation, and moves p after every fourth step of D; nothing waits for the device."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl(wrapper=True)
    def gankit_discriminator(self, data: DataSpec) -> Generator[None, nn.Module, nn.Module]:
        refuse_points(data, "ada")
        return (yield)

    @hookimpl(wrapper=True)
    def gankit_training_loop(self) -> Generator[None, TrainingLoop, TrainingLoop]:
        loop = yield
        module, options = Ada(self.options.start), self.options
        loop.add_augmentation("ada", module)
        critic, d_step = loop.critic, loop.d_step
        last: list[BoundCritic] = []

        def remembered(*arguments: object) -> BoundCritic:
            last[:] = [critic(*arguments)]  # type: ignore[arg-type]
            return last[0]

        def adapted(*arguments: object) -> dict[str, Tensor]:
            stats = d_step(*arguments)  # type: ignore[arg-type]
            real = last[0].scores.get("real")
            if real is not None:
                module.signs += AdversarialLoss.mean((real - options.boundary).sign())
            if (loop.steps + 1) % EVERY == 0:
                step = EVERY * loop.config.batch / options.images
                module.p += step * (module.signs / EVERY - options.target).sign()
                module.p.clamp_(0, 1)
                module.signs.zero_()
            return {**stats, "ada/p": module.p.clone()}

        loop.critic, loop.d_step = remembered, adapted  # type: ignore[method-assign, assignment]
        return loop


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="ADA", options=Options, make=AdaptiveAugmentation)
