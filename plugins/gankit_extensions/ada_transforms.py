"""The transformations of ADA: each is applied to each image with its share of one probability p (Karras et al., 2020).

All are affine in the image, so that a gradient penalty may differentiate through them twice. An image to which none is
applied comes out bit for bit as it went in. They are computed in float32 whatever the precision of the networks is.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from gankit.plugin import InputError
from gankit_extensions.ada_warp import Affine, bands, warp
from gankit_extensions.diffaugment import shift, uniform

BLIT = ("xflip", "rotate90", "xint")
GEOMETRY = ("scale", "rotate", "aniso", "xfrac")
COLOUR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
GROUPS = {"blit": BLIT, "geometry": GEOMETRY, "colour": COLOUR}
SINGLE = ("imgfilter", "noise", "cutout")
TRANSFORMS = (*BLIT, *GEOMETRY, *COLOUR, *SINGLE)
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of natural images in the four frequency bands
HINT = f"one or more of {', '.join([*GROUPS, *SINGLE])}; or single ones: {', '.join(sum(GROUPS.values(), ()))}"


def shares_of(spelling: str) -> dict[str, float]:
    """'blit, colour:0.5' -> transformation -> its share of p; a later name overrides what a group before it says."""
    shares = dict.fromkeys(TRANSFORMS, 0.0)
    seen = set()
    for item in spelling.split(","):
        name, _, factor = (part.strip() for part in item.partition(":"))
        if name not in GROUPS and name not in TRANSFORMS:
            raise InputError(f"ada.transforms: there is no transformation '{name}'", hint=HINT)
        if name in seen:
            raise InputError(f"ada.transforms names '{name}' twice", hint="give each once: blit, colour:0.5")
        seen.add(name)
        shares |= dict.fromkeys(GROUPS.get(name, (name,)), factor_of(item, factor) if ":" in item else 1.0)
    return shares


def factor_of(item: str, spelling: str) -> float:
    """The number behind the colon; InputError for what is none between 0 and 1."""
    try:
        factor = float(spelling)
    except ValueError:
        factor = math.nan
    if not 0 <= factor <= 1:
        raise InputError(
            f"ada.transforms: '{item.strip()}' gives no share of p", hint="a number from 0 to 1: colour:0.5"
        )
    return factor


class Pipeline:
    """The transformations in the order of the paper, with new random numbers at each call."""

    def __init__(self, shares: Mapping[str, float]) -> None:
        self.shares = shares

    def __call__(self, images: Tensor, p: Tensor | float) -> Tensor:
        """images [N, C, H, W] around [-1, 1], p in [0, 1] (a tensor on their device) -> same shape and type."""
        with torch.autocast(images.device.type, enabled=False):
            x = images if images.dtype == torch.float64 else images.float()
            draw = Draw(x, p, self.shares)
            for names, apply in (
                ((*BLIT, *GEOMETRY), geometry),
                (COLOUR, colour),
                (("imgfilter",), image_filter),
                (("noise",), noise),
                (("cutout",), cutout),
            ):
                if any(self.shares[name] for name in names):
                    x = apply(x, draw)
        return x.to(images.dtype)


class Draw:
    """Random numbers for each image of a batch, [N, 1, 1, 1]."""

    def __init__(self, images: Tensor, p: Tensor | float, shares: Mapping[str, float]) -> None:
        self.images, self.p, self.shares = images, p, shares

    def chosen(self, name: str) -> Tensor:
        """Which images a transformation is applied to."""
        return self.uniform() < self.shares[name] * self.p

    def chosen_twice(self, name: str) -> tuple[Tensor, Tensor]:
        """The same for one that has two chances, so that together they come with its share of p."""
        once = 1 - (1 - self.shares[name] * self.p) ** 0.5
        return self.uniform() < once, self.uniform() < once

    def uniform(self) -> Tensor:
        """Numbers in [0, 1)."""
        return uniform(self.images)

    def angle(self) -> Tensor:
        """Numbers in [-pi, pi)."""
        return math.pi * (2 * self.uniform() - 1)

    def normal(self) -> Tensor:
        """Numbers from N(0, 1)."""
        return torch.randn_like(self.images[:, :1, :1, :1])


# -- geometry ----------------------------------------------------------------------------------------------------------


def geometry(images: Tensor, draw: Draw) -> Tensor:
    """Pixels are copied by flips, quarter turns and whole shifts; all that needs resampling is done in one map.

    A whole shift is part of that map where there is one. Images that are not square are not turned by quarters.
    """
    images = torch.where(draw.chosen("xflip") & (draw.uniform() < 0.5), images.flip(3), images)
    if images.shape[2] == images.shape[3]:
        turns = torch.where(draw.chosen("rotate90"), (4 * draw.uniform()).floor(), 0.0)
        for k in (1, 2, 3):
            images = torch.where(turns == k, images.rot90(k, (2, 3)), images)
    shifted = draw.chosen("xint")
    down, right = (
        torch.where(shifted, ((2 * draw.uniform() - 1) * side / 8).round(), 0.0).flatten() for side in images.shape[2:]
    )
    copied = shift(images, down.long(), right.long(), border="reflect")
    if not any(draw.shares[name] for name in GEOMETRY):
        return copied
    resampled, affine = affine_maps(images, draw, down, right)
    if not waits_for_nothing(images):
        return torch.where(resampled[:, None, None, None], warp(images, affine), copied)
    at = resampled.nonzero().flatten()
    return copied.index_copy(0, at, warp(images[at], Affine(*(entry[at] for entry in affine)))) if len(at) else copied


def waits_for_nothing(images: Tensor) -> bool:
    """Whether their number may depend on a result: on a CPU only the images that are chosen need be resampled."""
    return images.device.type == "cpu"


def affine_maps(images: Tensor, draw: Draw, down: Tensor, right: Tensor) -> tuple[Tensor, Affine]:
    """Which images are resampled, [N], and where their pixels come from.

    An image is shifted by whole pixels, scaled, turned, stretched, turned and shifted: result = F T2 S T1 Z W image.
    The map is the inverse of that.
    """
    zoomed, stretched, moved = (draw.chosen(name) for name in ("scale", "aniso", "xfrac"))
    turned = draw.chosen_twice("rotate")
    zoom = torch.where(zoomed, torch.exp2(0.2 * draw.normal()), 1.0).flatten()
    stretch = torch.where(stretched, torch.exp2(0.2 * draw.normal()), 1.0).flatten()
    first, second = (torch.where(chosen, draw.angle(), 0.0).flatten() for chosen in turned)
    y, x = (torch.where(moved, 0.125 * side * draw.normal(), 0.0).flatten() for side in images.shape[2:])
    c1, s1, c2, s2 = first.cos(), first.sin(), second.cos(), second.sin()
    wide, high = 1 / (zoom * stretch), stretch / zoom
    # T(-first) diag(wide, high) T(-second), where T(-a) = [[cos a, sin a], [-sin a, cos a]]. Written out, since a
    # product of matrices may be rounded to ten bits on a GPU.
    xx, xy = c1 * wide * c2 - s1 * high * s2, c1 * wide * s2 + s1 * high * c2
    yx, yy = -s1 * wide * c2 - c1 * high * s2, -s1 * wide * s2 + c1 * high * c2
    resampled = (zoomed | stretched | moved | turned[0] | turned[1]).flatten()
    return resampled, Affine(xx, xy, yx, yy, -(xx * x + xy * y) - right, -(yx * x + yy * y) - down)


# -- colour ------------------------------------------------------------------------------------------------------------


def colour(images: Tensor, draw: Draw) -> Tensor:
    """Brightness, contrast, inverted luma; of three channels hue and saturation as well.

    Each pixel is its luma, the mean of its channels, and a deviation from it, and all five act on these two.
    """
    chosen = {name: draw.chosen(name) for name in COLOUR}
    brighter = torch.where(chosen["brightness"], 0.2 * draw.normal(), 0.0)
    contrast = torch.where(chosen["contrast"], torch.exp2(0.5 * draw.normal()), 1.0)
    sign = torch.where(chosen["lumaflip"] & (draw.uniform() < 0.5), -1.0, 1.0)
    luma = images.mean(1, keepdim=True)
    deviation = images - luma
    changed = chosen["brightness"] | chosen["contrast"] | (sign < 0)
    if images.shape[1] == 3:
        angle = torch.where(chosen["hue"], draw.angle(), 0.0)
        saturation = torch.where(chosen["saturation"], torch.exp2(draw.normal()), 1.0)
        across = (images.roll(1, 1) - images.roll(-1, 1)) / math.sqrt(3)  # the cross product with the grey axis
        deviation = saturation * (angle.cos() * deviation + angle.sin() * across)
        changed = changed | chosen["hue"] | chosen["saturation"]
    return torch.where(changed, contrast * (sign * (luma + brighter) + deviation), images)


# -- corruptions -------------------------------------------------------------------------------------------------------


def image_filter(images: Tensor, draw: Draw) -> Tensor:
    """Each of four frequency bands is amplified by 2^N(0, 1), and all are scaled so that the expected power stays."""
    gains = [torch.ones_like(images[:, 0, 0, 0])] * len(POWER)
    filtered = torch.zeros_like(images[:, :1, :1, :1], dtype=torch.bool)
    for band, share in enumerate(POWER):
        chosen = draw.chosen("imgfilter")
        gain = torch.where(chosen, torch.exp2(draw.normal()), 1.0).flatten()
        gains[band] = gains[band] * gain
        gains = [each * (1 + share * (gain.square() - 1)).rsqrt() for each in gains]
        filtered = filtered | chosen
    rows, columns = (
        torch.einsum("nb,bij->nij", torch.stack(gains, dim=1), bands(side, images.device, images.dtype))[:, None]
        for side in images.shape[2:]
    )
    return torch.where(filtered, rows @ images @ columns.mT, images)


def noise(images: Tensor, draw: Draw) -> Tensor:
    """White noise, whose standard deviation is |N(0, 0.1^2)| for each image."""
    sigma = torch.where(draw.chosen("noise"), 0.1 * draw.normal().abs(), 0.0)
    return images + sigma * torch.randn_like(images)


def cutout(images: Tensor, draw: Draw) -> Tensor:
    """A grey rectangle of half of each side, whose centre lies anywhere in the image."""
    inside = draw.chosen("cutout")
    for axis in (2, 3):
        side = images.shape[axis]
        places = (torch.arange(side, device=images.device, dtype=images.dtype) + 0.5) / side
        inside = inside & ((places.reshape([-1 if i == axis else 1 for i in range(4)]) - draw.uniform()).abs() < 0.25)
    return torch.where(inside, 0.0, images)
