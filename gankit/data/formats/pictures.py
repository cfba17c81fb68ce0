"""The kinds of pictures that are read: how a file is recognised, and which reader of Pillow opens it.

A file is recognised by its first bytes and opened by that one reader only; its suffix decides for TGA alone, which has
no such bytes. The list is short because each reader is code that meets whatever people bring.
"""

from __future__ import annotations

import ctypes
import functools
import io
import logging
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Literal

from PIL import Image, UnidentifiedImageError, features

from gankit.base.text import opening
from gankit.data.formats.unread import unread_by_start

_START_BYTES = 64
logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it says of a damaged file is reported by us
_ICON_SIDE, _ICON_PICTURES = 1024, 100


@dataclass(frozen=True)
class PictureKind:
    """A kind of picture files."""

    name: str
    suffixes: tuple[str, ...]
    starts: bytes
    """A regular expression for the first bytes of such a file."""
    pillow: str
    """Its name in Pillow."""
    module: str
    """The module that teaches Pillow to read it."""
    gives: str
    """What of such a file is read, for the documentation."""
    feature: str = ""
    """What Pillow must have been built with."""
    way: str = "pip install --upgrade pillow"
    """How to get the reader where it is missing."""

    def missing(self) -> str:
        """'' if such files can be read here, else why not."""
        return _missing(self)


@functools.cache
def _missing(kind: PictureKind) -> str:
    try:
        module = import_module(kind.module)
        if kind is HEIC:
            module.register_heif_opener()
        if kind is TIFF:
            _silence_libtiff()
        if not kind.feature or features.check(kind.feature):
            return ""
    except ImportError:
        pass
    return f"{kind.name} needs {'the package pillow-heif' if kind is HEIC else 'another Pillow'}: {kind.way}"


def _silence_libtiff() -> None:
    """What this library says of a damaged file would go to stderr past Python; its failure is reported all the same."""
    maps = Path("/proc/self/maps")  # elsewhere it stays as it is
    if maps.exists():
        found = re.search(r"/\S*libtiff[^/\s]*\.so\S*", maps.read_text())
        if found is not None:
            ctypes.CDLL(found[0]).TIFFSetErrorHandler(None)


PNG = PictureKind(
    "PNG", (".png", ".apng"), rb"\x89PNG\r\n\x1a\n", "PNG", "PIL.PngImagePlugin",
    "1 to 16 bits, grey, colour, palette, alpha, interlaced; of 16 bits per colour the upper 8; APNG is an animation",
)  # fmt: skip
JPEG = PictureKind(
    "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff", "JPEG", "PIL.JpegImagePlugin",
    "baseline and progressive, grey, colour, CMYK (without its profile); turned as EXIF says",
)  # fmt: skip
WEBP = PictureKind(
    "WebP", (".webp",), rb"RIFF....WEBP", "WEBP", "PIL.WebPImagePlugin", "lossy, lossless, alpha, animation", "webp"
)
AVIF = PictureKind(
    "AVIF", (".avif", ".avifs"), rb"....ftyp(avif|avis|(mif1|msf1).{4}.*avif)", "AVIF", "PIL.AvifImagePlugin",
    "8 to 12 bits (as 8), alpha, animation; needs Pillow 11.3 or newer", "avif",
    "pip install --upgrade 'pillow>=11.3'",
)  # fmt: skip
HEIC = PictureKind(
    "HEIC", (".heic", ".heif", ".hif"), rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)", "HEIF", "pillow_heif",
    "photographs of telephones; needs `pip install 'gankit[heic]'`", "", "pip install 'gankit[heic]'",
)  # fmt: skip
GIF = PictureKind("GIF", (".gif",), rb"GIF8[79]a", "GIF", "PIL.GifImagePlugin", "palette, transparency, animation")
TIFF = PictureKind(
    "TIFF", (".tif", ".tiff"), rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "TIFF", "PIL.TiffImagePlugin",
    "1 to 32 bits, floats, grey, colour, palette, alpha, CMYK, YCbCr, LAB; stored, LZW, deflate, JPEG, fax; many pages",
)  # fmt: skip
BMP = PictureKind("BMP", (".bmp",), rb"BM", "BMP", "PIL.BmpImagePlugin", "1 to 32 bits, RLE, of Windows and OS/2")
PNM = PictureKind(
    "PNM", (".ppm", ".pgm", ".pbm", ".pnm"), rb"P[1-6][\s#]", "PPM", "PIL.PpmImagePlugin", "P1 to P6, 1 to 16 bits"
)
TGA = PictureKind(
    "TGA", (".tga", ".icb", ".vda", ".vst"), rb"(?!)", "TGA", "PIL.TgaImagePlugin",
    "grey, colour, palette, alpha, RLE; recognised by its suffix",
)  # fmt: skip
ICO = PictureKind("ICO", (".ico",), rb"\0\0\x01\0", "ICO", "PIL.IcoImagePlugin", "the largest of its pictures")
JPEG2000 = PictureKind(
    "JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf"), rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG2000", "PIL.Jpeg2KImagePlugin", "grey, colour, alpha, 8 to 16 bits", "jpg_2000",
)  # fmt: skip
QOI = PictureKind("QOI", (".qoi",), rb"qoif", "QOI", "PIL.QoiImagePlugin", "colour, alpha")

KINDS = (PNG, JPEG, WEBP, AVIF, HEIC, GIF, TIFF, BMP, PNM, TGA, ICO, JPEG2000, QOI)
_BY_SUFFIX = {suffix: kind for kind in KINDS for suffix in kind.suffixes}
_STARTS = [(re.compile(kind.starts, re.DOTALL), kind) for kind in KINDS]


def kind_by_suffix(suffix: str) -> PictureKind | None:
    """The kind of files with such a suffix, lower case and with its dot, whether it can be read here or not."""
    return _BY_SUFFIX.get(suffix)


def open_picture(stream: IO[bytes], suffix: str) -> Image.Image:
    """The picture in a file with such a suffix, by the reader for its content; ValueError says what else it is."""
    start = stream.read(_START_BYTES)
    stream.seek(0)
    found = next((kind for pattern, kind in _STARTS if pattern.match(start)), None)
    kind = found or (TGA if suffix in TGA.suffixes else None)
    if kind is None:
        raise ValueError(_what(start))
    if missing := kind.missing():
        raise ValueError(missing)
    if kind is ICO:
        _check_icon(stream)
    if kind is JPEG2000:
        stream = io.BytesIO(stream.read())  # of a file, Pillow may ask for as many bytes as a box claims to have
    try:
        image = Image.open(stream, formats=[kind.pillow])
        if kind is PNG:
            _scale_key(image)
        return image
    except UnidentifiedImageError:  # whose text is only the repr of the stream
        raise ValueError(f"a damaged {kind.name} file, or one of an unknown form") from None


def _scale_key(image: Image.Image) -> None:
    """The colour key of a PNG in levels of 8 bits; Pillow compares it with pixels that it has scaled."""
    key, tile = image.info.get("transparency"), getattr(image, "tile", None) or [("", (), 0, "")]
    raw = tile[0][3] if isinstance(tile[0][3], str) else ""
    if isinstance(key, int):
        image.info["transparency"] = min(255, key * {"1": 255, "L;2": 85, "L;4": 17}.get(raw, 1))
    elif isinstance(key, tuple) and raw == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _check_icon(stream: IO[bytes]) -> None:
    """ValueError if a picture of an icon is large: Pillow decodes one before its size can be asked for."""
    count = int.from_bytes(stream.read(6)[4:], "little")
    places = [int.from_bytes(stream.read(16)[12:], "little") for _ in range(min(count, _ICON_PICTURES))]
    for place in places:
        stream.seek(place)
        head = stream.read(24)
        order: Literal["big", "little"] = "big" if head.startswith(b"\x89PNG") else "little"
        at = 16 if order == "big" else 4
        width, height = (int.from_bytes(head[i : i + 4], order, signed=True) for i in (at, at + 4))
        if max(abs(width), abs(height)) > 2 * _ICON_SIDE:  # a mask lies below the picture
            raise ValueError(f"an icon of {height}x{width} pixels is over the limit of {_ICON_SIDE:,} for its sides")
    if count > _ICON_PICTURES:
        raise ValueError(f"an icon of {count:,} pictures, the limit is {_ICON_PICTURES}")
    stream.seek(0)


def _what(start: bytes) -> str:
    if not start:
        return "empty"
    unread = unread_by_start(start)
    if unread is not None:
        return f"this is {unread.name}, which is not read, for {unread.reason}"
    return f"not an image of a kind that is read (it starts with {opening(start)})"
