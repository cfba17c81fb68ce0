"""Colours: grey, RGB and RGBA into each other. Where alpha is dropped or shown, the picture lies on a background."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image, ImageCms, ImageColor
from torch import Tensor

from gankit.base.text import printable
from gankit.data.formats import Array
from gankit.errors import InputError

Colour = tuple[int, int, int]
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_STRIP_PIXELS = 2**20
PALE = 0.9  # mean brightness of what is opaque, above which it cannot be seen on white


def parse_colour(text: str) -> Colour:
    """'white', 'rebeccapurple' or '#ff8000' -> (red, green, blue); InputError for what is no opaque colour."""
    try:
        colour = ImageColor.getrgb(text.strip())
    except ValueError:
        colour = (0, 0, 0, 0)
    if len(colour) != 3:
        raise InputError(
            f"--background {printable(text)}: not an opaque colour", hint="a name of CSS or #rrggbb: gray, #ff8000"
        )
    return colour


def colour_name(colour: Colour) -> str:
    """'white', 'black' or '#ff8000'."""
    return {WHITE: "white", BLACK: "black"}.get(colour, "#{:02x}{:02x}{:02x}".format(*colour))


def on_background(images: Tensor, background: Colour = WHITE) -> Tensor:
    """RGBA images uint8 [N, 4, H, W] -> RGB uint8 [N, 3, H, W]. Whoever shows or drops alpha does it here."""
    alpha = images[:, 3:].float() / 255
    under = torch.tensor(background, dtype=torch.float32, device=images.device).view(1, 3, 1, 1)
    return (images[:, :3].float() * alpha + under * (1 - alpha)).round().to(torch.uint8)


def has_alpha(image: Image.Image) -> bool:
    """Whether some pixels may be transparent: an alpha channel, a colour key, or a palette with transparent colours."""
    transparency = image.info.get("transparency")
    if image.mode == "P" and isinstance(transparency, bytes):
        return min(transparency, default=255) < 255
    if image.mode == "P" and image.palette is not None and image.palette.mode == "RGBA":
        return True
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or (
        transparency is not None and image.mode in ("1", "L", "P", "RGB")
    )


def ordinary(image: Image.Image) -> Image.Image:
    """The image in a mode that all conversions know."""
    if image.mode == "LAB":
        # No conversion of Pillow knows it; the values are those of ICC, with D50 as white.
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        exact = ImageCms.Flags.NOOPTIMIZE  # its table would be up to ten levels off
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB", flags=exact)
        assert converted is not None
        return converted
    premultiplied = {"La": "LA", "RGBa": "RGBA"}
    return image.convert(premultiplied[image.mode]) if image.mode in premultiplied else image


def as_rgb(image: Image.Image, background: Colour = WHITE) -> Image.Image:
    """An image as it is shown: RGB, and what is transparent on the background."""
    if not has_alpha(image):
        return image.convert("RGB")
    shown = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        pixels = torch.from_numpy(strip).permute(2, 0, 1)[None]
        laid = on_background(pixels, background)[0].permute(1, 2, 0).contiguous()
        shown.paste(Image.fromarray(laid.numpy()), (0, top))
    return shown


def _strips(image: Image.Image) -> Iterator[tuple[int, Array]]:
    """The first row and the pixels uint8 [H, W, 4] of parts of an image: the floats of a whole may take gigabytes."""
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        yield top, np.array(strip.convert("RGBA"))


def as_channels(image: Image.Image, channels: int, background: Colour = WHITE) -> Image.Image:
    """The image with 1, 3 or 4 channels; alpha is kept by the last only."""
    if channels != 4 and has_alpha(image):
        image = as_rgb(image, background)
    return image if image.mode == MODES[channels] else image.convert(MODES[channels])


def converted(pixels: Array, channels: int, background: Colour = WHITE) -> Array:
    """One image uint8 [C, H, W] with other channels."""
    if len(pixels) == channels:
        return pixels
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    array = np.asarray(as_channels(image, channels, background))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def brightness(image: Image.Image) -> float | None:
    """The mean brightness, in [0, 1], of what is opaque; None where nothing is."""
    light = total = 0.0
    for _, strip in _strips(image):
        pixels = strip.astype(np.float32) / 255
        weights = pixels[..., 3]
        light += float((pixels[..., :3].mean(-1) * weights).sum())
        total += float(weights.sum())
    return light / total if total else None
