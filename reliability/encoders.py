"""Small encoders written from the specifications of the formats, so that what a reader gives is not judged by itself."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# -- TIFF 6.0 ----------------------------------------------------------------------------------------------------------

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, ORIENTATION = 256, 257, 258, 259, 262, 273, 274
SAMPLES, ROWS, BYTES, PLANAR, PREDICTOR, COLOR_MAP = 277, 278, 279, 284, 317, 320
TILE_WIDTH, TILE_LENGTH, TILES, TILE_BYTES, EXTRA, FORMAT = 322, 323, 324, 325, 338, 339
DEFLATE = 8
_SHORT, _LONG = 3, 4


def tiff(
    pages: Sequence[tuple[Mapping[int, int | Sequence[int]], Sequence[bytes]]],
    order: Literal["<", ">"] = "<",
    big: bool = False,
) -> bytes:
    """A TIFF of pages, each its tags (all but the places of its strips) and its strips or tiles; BigTIFF if `big`."""
    word, count_of, entry_bytes = ("Q", "Q", 20) if big else ("L", "H", 12)
    mark = b"II" if order == "<" else b"MM"
    out = bytearray(mark + struct.pack(f"{order}HHH", 43, 8, 0) if big else mark + struct.pack(f"{order}H", 42))
    link = len(out)
    out += struct.pack(order + word, 0)
    for tags, strips in pages:
        places = []
        for strip in strips:
            places.append(len(out))
            out += strip + b"\0" * (len(strip) % 2)
        where, sizes = (TILES, TILE_BYTES) if TILE_WIDTH in tags else (STRIPS, BYTES)
        values = {**tags, where: places, sizes: [len(strip) for strip in strips]}
        packed = {}
        for tag, value in values.items():
            numbers = [value] if isinstance(value, int) else list(value)
            kind = _LONG if max(numbers) > 65_535 or tag in (where, sizes) else _SHORT
            data = struct.pack(f"{order}{len(numbers)}{'L' if kind == _LONG else 'H'}", *numbers)
            if len(data) > (8 if big else 4):
                place = len(out)
                out += data + b"\0" * (len(data) % 2)
                data = struct.pack(order + word, place)
            packed[tag] = struct.pack(f"{order}HH{word}", tag, kind, len(numbers)) + data.ljust(8 if big else 4, b"\0")
        assert all(len(entry) == entry_bytes for entry in packed.values())
        out[link : link + struct.calcsize(order + word)] = struct.pack(order + word, len(out))
        out += struct.pack(order + count_of, len(packed)) + b"".join(packed[tag] for tag in sorted(packed))
        link = len(out)
        out += struct.pack(order + word, 0)
    return bytes(out)


def tiff_page(
    samples: Array, photometric: int, order: Literal["<", ">"] = "<", **more: Any
) -> tuple[dict[int, Any], list[bytes]]:
    """Tags and strips of one page of samples [H, W] or [H, W, C] of any type, stored without compression.

    `more`: compression=DEFLATE, rows=N a strip, planar=True, tile=N, predictor=True, tags={…}.
    """
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    tags: dict[int, Any] = {WIDTH: width, LENGTH: height, BITS: [8 * samples.dtype.itemsize] * channels}
    tags |= {COMPRESSION: more.get("compression", 1), PHOTOMETRIC: photometric, SAMPLES: channels}
    tags |= {FORMAT: [kind] * channels} if kind != 1 else {}
    side, rows = more.get("tile"), more.get("rows", height)
    if side:
        tags |= {TILE_WIDTH: side, TILE_LENGTH: side}
        padded = np.zeros((-(-height // side) * side, -(-width // side) * side, *samples.shape[2:]), samples.dtype)
        padded[:height, :width] = samples
        parts = [padded[y : y + side, x : x + side] for y in range(0, height, side) for x in range(0, width, side)]
    else:
        tags[ROWS] = rows
        planes = [samples]
        if more.get("planar"):
            tags[PLANAR] = 2
            planes = [samples[..., channel] for channel in range(channels)]
        parts = [plane[y : y + rows] for plane in planes for y in range(0, height, rows)]
    if more.get("predictor"):
        tags[PREDICTOR] = 2
        parts = [np.concatenate([part[:, :1], np.diff(part, axis=1)], axis=1) for part in parts]
    data = [part.astype(part.dtype.newbyteorder(order)).tobytes() for part in parts]
    if tags[COMPRESSION] == DEFLATE:
        data = [zlib.compress(part) for part in data]
    return {**tags, **more.get("tags", {})}, data


def packed_bits(values: Array, bits: int) -> bytes:
    """Values [H, W] below 2^bits, each row filled up to whole bytes, the first value in the highest bits."""
    rows = (values[..., None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).reshape(len(values), -1)
    return bytes(np.packbits(rows, axis=1).tobytes())


# -- PNG (W3C, third edition) ------------------------------------------------------------------------------------------

_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png(samples: Array, bits: int, colour: int, *, interlaced: bool = False, chunks: Sequence[bytes] = ()) -> bytes:
    """Samples [H, W] or [H, W, C] below 2^bits; `colour`: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    height, width = samples.shape[:2]
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in _ADAM7] if interlaced else [samples]
    raw = b"".join(_scanlines(part.reshape(*part.shape[:2], -1), bits) for part in passes if part.size)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    parts = [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", zlib.compress(raw)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _scanlines(values: Array, bits: int) -> bytes:
    """Rows, every second one with the filter 'up'."""
    lines, above = [], b""
    for number, row in enumerate(values):
        line = row.astype(">u2").tobytes() if bits == 16 else packed_bits(row.reshape(1, -1), bits)
        up = bytes((a - b) % 256 for a, b in zip(line, above, strict=True)) if number % 2 else line
        lines.append(bytes([2 * (number % 2)]) + up)
        above = line
    return b"".join(lines)


# -- BMP, TGA, QOI, PNM ------------------------------------------------------------------------------------------------


def bmp(
    rows: Sequence[bytes],
    width: int,
    bits: int,
    *,
    palette: Array | None = None,
    compression: int = 0,
    masks: Sequence[int] = (),
    top_down: bool = False,
    os2: bool = False,
    data: bytes | None = None,
) -> bytes:
    """Rows from the top, without their padding; `data` in place of them for a compressed picture."""
    height = len(rows)
    lines = [row + b"\0" * (-len(row) % 4) for row in rows]
    pixels = b"".join(lines if top_down else lines[::-1]) if data is None else data
    colours = b""
    if palette is not None:
        colours = b"".join(bytes(colour[::-1]) + b"\0" * (not os2) for colour in palette.astype(np.uint8).tolist() for colour in [colour])  # fmt: skip
    if os2:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        count = 0 if palette is None else len(palette)
        size = 108 if masks else 40
        header = struct.pack("<IiiHHIIiiII", size, width, -height if top_down else height, 1, bits, compression, len(pixels), 2835, 2835, count, 0)  # fmt: skip
        header += struct.pack("<4I", *masks).ljust(68, b"\0") if masks else b""
    start = 14 + len(header) + len(colours)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + header + colours + pixels


def tga(
    kind: int,
    width: int,
    height: int,
    bits: int,
    data: bytes,
    *,
    palette: bytes = b"",
    palette_bits: int = 0,
    descriptor: int = 0x20,
) -> bytes:
    """A TGA of any kind; `descriptor` 0x20 is from the top, 0 from the bottom; the low bits count those of alpha."""
    entries = len(palette) * 8 // palette_bits if palette_bits else 0
    head = struct.pack("<BBBHHBHHHHBB", 0, bool(entries), kind, 0, entries, palette_bits, 0, 0, width, height, bits, descriptor)  # fmt: skip
    return head + palette + data


def tga_runs(pixels: Array) -> bytes:
    """Pixels [N, bytes] in packets: runs where three or more are equal, else as they are."""
    out, start = b"", 0
    while start < len(pixels):
        same = 1
        while start + same < len(pixels) and same < 128 and (pixels[start + same] == pixels[start]).all():
            same += 1
        if same >= 3:
            out += bytes([127 + same]) + pixels[start].tobytes()
        else:
            same = 1
            out += b"\0" + pixels[start].tobytes()
        start += same
    return out


def qoi(pixels: Array) -> bytes:
    """RGB or RGBA pixels [H, W, C] (qoiformat.org): every kind of its chunks but those of differences to RGBA."""
    height, width, channels = pixels.shape
    out = bytearray(struct.pack(">4sIIBB", b"qoif", width, height, channels, 0))
    seen = [(0, 0, 0, 0)] * 64
    before, run = (0, 0, 0, 255), 0
    flat = [(*pixel, 255)[:4] for pixel in pixels.reshape(-1, channels).tolist()]
    for number, pixel in enumerate(flat):
        if pixel == before:
            run += 1
            if run == 62 or number == len(flat) - 1:
                out.append(0xC0 | run - 1)
                run = 0
            continue
        if run:
            out.append(0xC0 | run - 1)
            run = 0
        r, g, b, a = pixel
        place = (r * 3 + g * 5 + b * 7 + a * 11) % 64
        dr, dg, db = ((new - old + 128) % 256 - 128 for new, old in zip(pixel[:3], before[:3], strict=True))
        if seen[place] == pixel:
            out.append(place)
        elif a != before[3]:
            out += bytes([0xFF, r, g, b, a])
        elif all(-2 <= d <= 1 for d in (dr, dg, db)):
            out.append(0x40 | dr + 2 << 4 | dg + 2 << 2 | db + 2)
        elif -32 <= dg <= 31 and -8 <= dr - dg <= 7 and -8 <= db - dg <= 7:
            out += bytes([0x80 | dg + 32, dr - dg + 8 << 4 | db - dg + 8])
        else:
            out += bytes([0xFE, r, g, b])
        seen[place] = before = pixel
    return bytes(out + b"\0" * 7 + b"\x01")


def pnm(kind: int, values: Array, largest: int = 255, comment: bool = False) -> bytes:
    """P1 to P6: `kind` 1 to 3 in text, 4 to 6 in bytes; values [H, W] or [H, W, 3], 1 is black in P1 and P4."""
    height, width = values.shape[:2]
    head = f"P{kind}\n{'# a comment' + chr(10) if comment else ''}{width} {height}\n"
    head += "" if kind in (1, 4) else f"{largest}\n"
    if kind <= 3:
        return (
            head + "\n".join(" ".join(map(str, row)) for row in values.reshape(height, -1).tolist()) + "\n"
        ).encode()
    if kind == 4:
        return head.encode() + packed_bits(values, 1)
    return head.encode() + values.astype(">u2" if largest > 255 else np.uint8).tobytes()


# -- GIF89a ------------------------------------------------------------------------------------------------------------


def gif(
    size: tuple[int, int],
    palette: Array,
    frames: Sequence[Mapping[str, Any]],
) -> bytes:
    """A GIF of (height, width) `size`; a frame is pixels=[H, W] below 64, at=(y, x), and may have clear=index, disposal=0..3."""
    height, width = size
    out = bytearray(b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF5, 0, 0) + palette.astype(np.uint8).tobytes())
    for frame in frames:
        pixels = frame["pixels"]
        y, x = frame.get("at", (0, 0))
        clear, disposal = frame.get("clear"), frame.get("disposal", 0)
        flags = disposal << 2 | (clear is not None)
        out += b"\x21\xf9\x04" + struct.pack("<BHB", flags, 10, clear or 0) + b"\0"
        out += b"\x2c" + struct.pack("<HHHHB", x, y, pixels.shape[1], pixels.shape[0], 0)
        out += b"\x06" + _sub_blocks(_gif_codes(pixels.ravel().tolist(), 6)) + b"\0"
    return bytes(out + b"\x3b")


def _gif_codes(values: Sequence[int], bits: int) -> bytes:
    """LZW without its table: it is cleared before the codes would grow."""
    clear, together = 1 << bits, (1 << bits) - 2
    codes: list[int] = []
    for start in range(0, len(values), together):
        codes += [clear, *values[start : start + together]]
    codes.append(clear + 1)
    flat = [code >> bit & 1 for code in codes for bit in range(bits + 1)]
    return bytes(np.packbits(np.array(flat, np.uint8), bitorder="little").tobytes())


def _sub_blocks(data: bytes) -> bytes:
    parts = [data[start : start + 255] for start in range(0, len(data), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts)


def ico(pictures: Sequence[tuple[int, int, bytes]]) -> bytes:
    """An icon of (height, width, PNG or headerless BMP)."""
    out = struct.pack("<HHH", 0, 1, len(pictures))
    place, bodies = 6 + 16 * len(pictures), b""
    for height, width, body in pictures:
        out += struct.pack("<BBBBHHII", width % 256, height % 256, 0, 0, 1, 32, len(body), place)
        place += len(body)
        bodies += body
    return out + bodies
