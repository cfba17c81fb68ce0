"""One image file: its header, and its pixels in the common form of the set."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, WebPImagePlugin  # noqa: F401 - registers WebP without importing every other plugin

from gankit.data.formats import Array
from gankit.data.formats.colour import Background, as_channels, has_alpha
from gankit.data.formats.levels import Levels
from gankit.data.formats.resize import fit

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "PPM")  # most security bugs of Pillow are in its other readers
MAX_PIXELS = 2**26  # 64 Mpx
MAX_SIDE = 32_768

# The exceptions of Pillow and zipfile for broken input; MemoryError is not among them.
BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, AttributeError, LookupError, EOFError, ArithmeticError,
    RuntimeError, struct.error, zlib.error, zipfile.BadZipFile, Image.DecompressionBombError,
)  # fmt: skip

_GREY, _SIXTEEN = {"1", "L", "LA"}, {"I;16", "I;16B", "I;16L", "I"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Header(NamedTuple):
    """The properties of an image known from its header; the size is the one after EXIF rotation."""

    size: tuple[int, int]  # height, width
    colour: bool
    alpha: bool
    sixteen_bit: bool
    animated: bool


def read_header(stream: IO[bytes]) -> Header:
    """The header of an image, whose checksums are verified in a PNG; ValueError if it is too large or unsupported."""
    with Image.open(stream, formats=FORMATS) as image:
        width, height = image.size
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE) or width * height > MAX_PIXELS:
            raise ValueError(f"{height}x{width} pixels are over the limit of {MAX_PIXELS:,} pixels, side {MAX_SIDE:,}")
        sixteen = image.mode in _SIXTEEN
        if not sixteen and image.mode not in {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK"}:
            raise ValueError(f"pixels of mode {image.mode} are not read")
        colour = not sixteen and image.mode not in _GREY and not _has_grey_palette(image)
        size = (width, height) if _orientation(image) >= 5 else (height, width)
        animated = getattr(image, "n_frames", 1) > 1 and image.format != "MPO"  # MPO: a JPEG with previews
        header = Header(size, colour, not sixteen and has_alpha(image), sixteen, animated)
        if image.format == "PNG":
            image.verify()  # checksums of all chunks, because decoding would accept some damaged pixels
        return header


SIXTEEN_BITS, BYTES = Levels(0, 65_535), Levels(0, 255)


class Form(NamedTuple):
    """What the images of a set become."""

    channels: int
    size: tuple[int, int]  # height, width
    bytes: Levels = BYTES  # of files of 8 bits
    deep: Levels = SIXTEEN_BITS  # of files of 16 bits
    background: Background = "white"


def deepest(stream: IO[bytes]) -> tuple[int, int]:
    """The smallest and the largest value of an image of 16 bits."""
    with Image.open(stream, formats=FORMATS) as image:
        values = np.asarray(image)
    return int(values.min()), int(values.max())


def read_pixels(stream: IO[bytes], form: Form) -> Array:
    """The first frame as uint8 [C, height, width], cropped and resized if it has another size."""
    with Image.open(stream, formats=FORMATS) as opened:
        turn = _TURNS.get(_orientation(opened))
        opened.load()
        image: Image.Image = opened
        if image.mode in _SIXTEEN:
            # Pillow's own conversion clips to 255 instead of scaling.
            image = Image.fromarray(form.deep.to_bytes(np.asarray(image)))
        elif turn is not None and has_alpha(image):
            image = image.convert("RGBA")  # before the turn, which forgets colour keys
        if turn is not None:
            image = image.transpose(turn)
        image = as_channels(image, form.channels, form.background)
        if not form.bytes.unchanged and opened.mode not in _SIXTEEN:
            table = form.bytes.table.tolist()
            image = image.point(table * min(form.channels, 3) + list(range(256)) * (form.channels == 4))
        pixels = np.asarray(fit(image, form.size))
    return pixels[None] if form.channels == 1 else pixels.transpose(2, 0, 1)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; broken EXIF counts as none."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode all pixels to look for a later chunk
    try:
        value = image.getexif().get(0x0112, 1)
    except BROKEN:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _has_grey_palette(image: Image.Image) -> bool:
    if image.mode != "P" or image.palette is None or image.palette.rawmode not in (None, "RGB"):
        return False
    data = bytes(image.palette.palette)
    return len(data) > 0 and data[0::3] == data[1::3] == data[2::3]
