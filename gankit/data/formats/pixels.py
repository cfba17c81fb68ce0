"""One picture of an image file: its header, and its pixels in the common form of the set."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Collection, Mapping
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from gankit.data.formats import Array
from gankit.data.formats.colour import WHITE, Colour, as_channels, has_alpha, ordinary
from gankit.data.formats.levels import Levels
from gankit.data.formats.pictures import open_picture
from gankit.data.formats.resize import crop_box, fit, reduction

MAX_PIXELS = 2**26  # 64 Mpx
MAX_FRAME_PIXELS = 2**24  # of an animation all of whose frames are read: several are in memory at once
MAX_SIDE = 32_768
MAX_FRAMES = 2**16  # of one file

# The exceptions of Pillow and zipfile for broken input; MemoryError is not among them.
BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, AttributeError, LookupError, EOFError, ArithmeticError,
    RuntimeError, struct.error, zlib.error, zipfile.BadZipFile, Image.DecompressionBombError,
)  # fmt: skip

Depth = Literal["8 bits", "16 bits", "16 bits per colour", "32 bits", "floats"]
_JPEGS = {"JPEG", "MPO"}
_GREY = {"1", "L", "LA", "La"}
_COLOUR = {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
_SIXTEEN = {"I;16", "I;16B", "I;16L", "I;16N"}
_DEEP = {*_SIXTEEN, "I", "F"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112  # tag of EXIF
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _CHANNELS, _STRIP_BYTES = 256, 257, 258, 262, 277, 279  # tags of TIFF
_TILE_WIDTH, _TILE_HEIGHT, _FORMAT = 322, 323, 339
_SIGNED = 2


class Header(NamedTuple):
    """The properties of a picture known from its header; the size is the one after EXIF rotation."""

    size: tuple[int, int]  # height, width
    colour: bool
    alpha: bool
    depth: Depth  # of 16 bits per colour Pillow reads the upper 8
    profile: bool  # a colour profile other than sRGB
    jpeg: bool
    frame: int  # of the file, from 0
    more: bool  # whether the file has more than one picture


class Page(NamedTuple):
    """One picture of a set."""

    file: int  # its index
    header: Header


def read_headers(stream: IO[bytes], suffix: str, *, every: bool) -> list[Header]:
    """The header of the first picture of a file, or of every one; ValueError if one is too large or unsupported.

    The checksums of a PNG are verified, because decoding would accept some damaged pixels.
    """
    with open_picture(stream, suffix) as image:
        count = _frames(image) if every else 1
        headers = []
        for frame in range(count):
            _turn_to(image, frame)
            most = MAX_PIXELS if image.format == "TIFF" or count == 1 else MAX_FRAME_PIXELS
            headers.append(_header(image, frame, most))
        if image.format == "PNG" and count == 1:
            image.verify()
    if image.format == "PNG" and count > 1:
        stream.seek(0)
        with open_picture(stream, suffix) as image:  # only a fresh one can be verified
            image.verify()
    return headers


def _frames(image: Image.Image) -> int:
    if image.format == "MPO":  # a JPEG with previews
        return 1
    count = int(getattr(image, "n_frames", 1))
    if count > MAX_FRAMES:
        raise ValueError(f"{count:,} pictures in one file, the limit is {MAX_FRAMES:,}")
    return count


def _turn_to(image: Image.Image, frame: int) -> None:
    if image.tell() != frame:
        image.seek(frame)


def _header(image: Image.Image, frame: int, most: int) -> Header:
    size = _size(image)
    if not all(1 <= side <= MAX_SIDE for side in size) or size[0] * size[1] > most:
        raise ValueError(f"{size[0]}x{size[1]} pixels are over the limit of {most:,} pixels, side {MAX_SIDE:,}")
    deep = image.mode in _DEEP
    if not deep and image.mode not in _GREY | _COLOUR:
        raise ValueError(f"pixels of mode {image.mode} are not read")
    return Header(
        size,
        colour=image.mode in _COLOUR and not _has_grey_palette(image),
        alpha=not deep and has_alpha(image),
        depth=_depth(image),
        profile=_has_profile(image),
        jpeg=image.format in _JPEGS,
        frame=frame,
        more=bool(getattr(image, "is_animated", False)) and image.format != "MPO",
    )


def _size(image: Image.Image) -> tuple[int, int]:
    """(height, width) when it is turned as EXIF says."""
    width, height = _tiff_size(image) if image.format == "TIFF" else image.size
    return (width, height) if _orientation(image) >= 5 else (height, width)


def _tiff_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) as stored, which `size` is in some versions of Pillow; ValueError for what Pillow misreads."""
    tags: Mapping[int, Any] = image.tag_v2  # type: ignore[attr-defined]
    width, height = tags[_WIDTH], tags[_HEIGHT]
    tile = tags.get(_TILE_WIDTH, 1) * tags.get(_TILE_HEIGHT, 1)
    if tile > MAX_PIXELS:
        raise ValueError(f"tiles of {tile:,} pixels are over the limit of {MAX_PIXELS:,}")
    if _SIGNED in tags.get(_FORMAT, ()) and image.mode not in _DEEP:
        raise ValueError("signed bytes are not read; store unsigned ones")
    bits = tags.get(_BITS, (1,))
    needed = height * -(-width * sum(bits if len(bits) > 1 else bits * tags.get(_CHANNELS, 1)) // 8)
    held = sum(tags.get(_STRIP_BYTES, (needed,)))
    if image.info.get("compression") == "raw" and held < needed:  # Pillow would read on, whatever follows
        raise ValueError(f"its pixels take {needed:,} bytes, and it holds {held:,}")
    return width, height


def _depth(image: Image.Image) -> Depth:
    if image.mode == "F":
        return "floats"
    if image.mode == "I":
        return "32 bits" if image.format == "TIFF" else "16 bits"  # as Pillow holds 16 bits of PNM
    if image.mode in _SIXTEEN:
        return "16 bits"
    raw_modes = str([tile[3] for tile in getattr(image, "tile", None) or ()])
    return "16 bits per colour" if image.format in ("PNG", "TIFF") and ";16" in raw_modes else "8 bits"


def _has_profile(image: Image.Image) -> bool:
    profile = image.info.get("icc_profile")
    return isinstance(profile, bytes) and not (b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile)


SIXTEEN_BITS, BYTES, FLOATS = Levels(0, 65_535), Levels(0, 255), Levels(0, 1)


class Form(NamedTuple):
    """What the images of a set become."""

    channels: int
    size: tuple[int, int]  # height, width
    bytes: Levels = BYTES  # of files of 8 bits
    integers: Levels = SIXTEEN_BITS  # of files of 16 and of 32 bits
    floats: Levels = FLOATS  # of files of floats
    background: Colour = WHITE

    def levels(self, depths: Collection[Depth]) -> tuple[float, float] | None:
        """Black and white of files of these depths; None if they are not the same in all of them."""
        of_depth = {"16 bits": self.integers, "32 bits": self.integers, "floats": self.floats}
        found = {of_depth.get(depth, self.bytes).ends for depth in depths}
        return found.pop() if len(found) == 1 else None


def stored_values(image: Image.Image, frame: int) -> Array:
    """The values of a picture as they are stored; ValueError if some are not finite."""
    _turn_to(image, frame)
    values = np.asarray(image)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("some values are NaN or infinite")
    return values


def read_pixels(image: Image.Image, frame: int, form: Form) -> Array:
    """One picture of an opened file as uint8 [C, height, width], cropped and resized if it has another size."""
    _turn_to(image, frame)
    orientation = 1 if image.format == "TIFF" else _orientation(image)  # Pillow turns a TIFF itself
    turn = _TURNS.get(orientation)
    box = _reduce(image, orientation, form.size) if image.format in _JPEGS else None
    deep = image.mode in _DEEP
    if deep:
        # Pillow's own conversion clips to 255 instead of scaling.
        levels = form.floats if image.mode == "F" else form.integers
        inverted = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0  # type: ignore[attr-defined]
        pixels = levels.to_bytes(stored_values(image, frame))
        picture = Image.fromarray(255 - pixels if inverted else pixels)
    else:
        image.load()
        picture = ordinary(image)
        if turn is not None and has_alpha(picture):
            picture = picture.convert("RGBA")  # before the turn, which forgets colour keys
    if turn is not None:
        picture = picture.transpose(turn)
    picture = as_channels(picture, form.channels, form.background)
    if not form.bytes.unchanged and not deep:
        table = form.bytes.table.tolist()
        picture = picture.point(table * min(form.channels, 3) + list(range(256)) * (form.channels == 4))
    pixels = np.asarray(fit(picture, form.size, box))
    return pixels[None] if form.channels == 1 else pixels.transpose(2, 0, 1)


def _reduce(image: Image.Image, orientation: int, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Let a JPEG be decoded at a fraction of its size if that is enough; the box of `fit` in what will be decoded."""
    width, height = image.size if orientation < 5 else image.size[::-1]
    part = reduction((height, width), size)
    if part == 1:
        return None
    image.draft(image.mode, (image.width // part, image.height // part))
    left, top, right, bottom = crop_box(height, width, size)
    # The last row and column may be filled up; after a turn they may be the first.
    across = -width % part if orientation in (2, 3, 6, 7) else 0
    down = -height % part if orientation in (3, 4, 7, 8) else 0
    return (left + across) / part, (top + down) / part, (right + across) / part, (bottom + down) / part


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8 that is still to be applied; broken EXIF counts as none."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode all pixels to look for a later chunk
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except BROKEN:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _has_grey_palette(image: Image.Image) -> bool:
    if image.mode != "P" or image.palette is None:
        return False
    data, raw = bytes(image.palette.palette), image.palette.rawmode
    if raw == "RGB;L":  # of TIFF: all red values, then all green ones
        third = len(data) // 3
        return third > 0 and data[:third] == data[third : 2 * third] == data[2 * third :]
    step = {None: 3, "RGB": 3, "BGR": 3, "BGRX": 4, "BGRA": 4}.get(raw, 0)
    return step > 0 and len(data) >= step and data[0::step] == data[1::step] == data[2::step]
