"""DiffAugment: what D sees, real and fake, is changed at random and differentiably (Zhao et al., 2020)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gankit.plugin import DataSpec, ExtensionInfo, InputError, Part, Step, hookimpl, option

TRANSLATION, CUTOUT = 1 / 8, 1 / 2  # shares of the side


@dataclass(frozen=True)
class Options:
    policy: str = option("color,translation,cutout", help="which of color, translation and cutout, in order")


def uniform(samples: Tensor) -> Tensor:
    """One number in [0, 1) for each sample, [N, 1, 1, 1]."""
    return torch.rand(len(samples), 1, 1, 1, device=samples.device, dtype=samples.dtype)


def color(images: Tensor) -> Tensor:
    """Brightness by ±1/2, saturation by 0 to 2, contrast by 1/2 to 3/2."""
    images = images + (uniform(images) - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (2 * uniform(images))
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (uniform(images) + 0.5)


def translation(images: Tensor) -> Tensor:
    """Shifted by up to an eighth of each side; what comes in is grey."""
    down, right = (whole(images, round(TRANSLATION * side)) for side in images.shape[2:])
    return shift(images, down, right)


def whole(images: Tensor, most: int) -> Tensor:
    """One whole number in [-most, most] for each image, [N]."""
    return torch.randint(-most, most + 1, (len(images),), device=images.device)


def shift(images: Tensor, down: Tensor, right: Tensor, border: Literal["zeros", "reflect"] = "zeros") -> Tensor:
    """Each image moved by its own whole numbers of pixels [N], fewer than its sides have.

    Zeros come in, or the image itself, reflected at its outermost pixels, which are not repeated.
    """
    height, width = images.shape[2:]
    rows, columns = (
        torch.arange(side, device=images.device) - by[:, None] for side, by in ((height, down), (width, right))
    )
    if border == "reflect":
        rows, columns = ((side - 1) - (side - 1 - at.abs()).abs() for side, at in ((height, rows), (width, columns)))
    else:
        images = nn.functional.pad(images, (1, 1, 1, 1))  # the border is what lies outside
        rows, columns = ((at + 1).clamp(0, side + 1) for side, at in ((height, rows), (width, columns)))
    number = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[number, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(images: Tensor) -> Tensor:
    """A grey rectangle of half of each side, whose centre lies anywhere in the image."""
    inside = torch.ones((), dtype=torch.bool, device=images.device)
    for axis in (2, 3):
        side = images.shape[axis]
        size = round(CUTOUT * side)
        start = torch.randint(0, side + 1 - size % 2, (len(images), 1, 1, 1), device=images.device) - size // 2
        position = torch.arange(side, device=images.device).reshape([-1 if i == axis else 1 for i in range(4)])
        inside = inside & (position >= start) & (position < start + size)
    return images * ~inside


TRANSFORMATIONS: dict[str, Callable[[Tensor], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}


class Augment(Part):
    """The transformations of a policy, one after the other."""

    def __init__(self, policy: list[str]) -> None:
        super().__init__()
        self.policy = policy

    def shown(self, samples: Tensor, step: Step) -> Tensor:
        for name in self.policy:
            samples = TRANSFORMATIONS[name](samples)
        return samples


def refuse_points(data: DataSpec, who: str) -> None:
    """InputError for data that are no images."""
    if not data.is_image:
        raise InputError(f"{who} changes images, and the data are {data.kind}", hint=f"leave out --with {who}")


class Extension:
    """Adds the augmentation to games on images."""

    def __init__(self, options: Options) -> None:
        self.policy = [name.strip() for name in options.policy.split(",")]
        unknown = [name for name in self.policy if name not in TRANSFORMATIONS]
        if unknown:
            raise InputError(f"diffaugment knows no '{unknown[0]}'", hint=f"policy: {', '.join(TRANSFORMATIONS)}")

    @hookimpl
    def gankit_parts(self, data: DataSpec) -> Sequence[Part]:
        refuse_points(data, "diffaugment")
        return [Augment(self.policy)]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="DiffAugment", options=Options, make=Extension)
