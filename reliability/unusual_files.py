"""Valid files as few programs write them, each with the pixels that it must give.

What is expected follows from the numbers that were written and from the specification of the format, never from what a
reader made of the file. Lossless kinds must give exactly these pixels; a tolerance is the largest difference, in levels
of 255, that a lossy kind, or a conversion whose formula leaves the last digit open, may have.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, features

from reliability import encoders as enc
from reliability.encoders import Array

H, W = 13, 18  # neither a multiple of 8 nor square


@dataclass(frozen=True)
class Case:
    """One file, or a few that belong together."""

    name: str
    files: Mapping[str, bytes]
    expected: Array
    """uint8 [N, H, W, C]."""
    tolerance: int = 0
    how: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Preparation`."""
    data: str = "set"
    """What is read, of the files."""


def numbers(*shape: int, bits: int = 8, seed: int = 0) -> Array:
    """Random numbers below 2^bits in which the smallest and the largest are among them."""
    values = np.random.default_rng(seed).integers(0, 2**bits, shape)
    values.ravel()[:2] = 0, 2**bits - 1
    return values


def smooth(channels: int = 3) -> Array:
    """A soft picture uint8 [48, 64, C], for lossy kinds."""
    y, x = np.mgrid[0:48, 0:64]
    planes = [127.5 + 127.5 * np.sin(x / (9 + 4 * c) + c) * np.cos(y / (13 + c)) for c in range(channels)]
    return np.rint(np.stack(planes, -1)).astype(np.uint8)


def scaled(values: Array, white: int) -> Array:
    """0..white -> 0..255."""
    return np.rint(values * (255 / white)).astype(np.uint8)


def one(name: str, content: bytes, expected: Array, tolerance: int = 0, **how: Any) -> Case:
    """A folder of one file; expected pixels [H, W] or [H, W, C]."""
    pixels = expected[..., None] if expected.ndim == 2 else expected
    suffix = name.split(" ", 1)[0].lower()
    return Case(name, {f"set/a.{suffix}": content}, pixels[None].astype(np.uint8), tolerance, how)


def saved(pixels: Array, kind: str, mode: str | None = None, **options: Any) -> bytes:
    """By Pillow's writer."""
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()


def cases() -> list[Case]:
    """All of them that can be made here."""
    found = [
        *_png(),
        *_tiff(),
        *_bmp(),
        *_pnm(),
        *_tga(),
        *_gif(),
        *_icons(),
        *_qoi(),
        *_jpeg(),
        *_jpeg2000(),
        *_webp(),
    ]
    found += [*_avif(), *_heic(), *_turned(), *_packed()]
    assert len({case.name for case in found}) == len(found)
    return found


# -- PNG ---------------------------------------------------------------------------------------------------------------


def _png() -> Iterator[Case]:
    palette = numbers(256, 3, seed=5)
    for interlaced in (False, True):
        form = ", interlaced" if interlaced else ""
        for bits in (1, 2, 4, 8, 16):
            grey = numbers(H, W, bits=bits)
            yield one(
                f"png grey {bits}{form}", enc.png(grey, bits, 0, interlaced=interlaced), scaled(grey, 2**bits - 1)
            )
        for bits in (8, 16):
            for colour, channels, name in ((2, 3, "rgb"), (4, 2, "grey and alpha"), (6, 4, "rgba")):
                values = numbers(H, W, channels, bits=bits)
                pixels = values >> (bits - 8)  # the upper 8 bits
                pixels = pixels[..., [0, 0, 0, 1]] if channels == 2 else pixels
                yield one(f"png {name} {bits}{form}", enc.png(values, bits, colour, interlaced=interlaced), pixels)
        for bits in (1, 2, 4, 8):
            index = numbers(H, W, bits=bits, seed=bits)
            colours = enc.png_chunk(b"PLTE", palette[: 2**bits].astype(np.uint8).tobytes())
            content = enc.png(index, bits, 3, interlaced=interlaced, chunks=[colours])
            yield one(f"png palette {bits}{form}", content, palette[index])
    index = numbers(H, W, bits=4)
    alpha = numbers(16, seed=3)
    chunks = [
        enc.png_chunk(b"PLTE", palette[:16].astype(np.uint8).tobytes()),
        enc.png_chunk(b"tRNS", alpha.astype(np.uint8).tobytes()),
    ]
    expected = np.concatenate([palette[:16], alpha[:, None]], 1)[index]
    yield one("png palette with alpha", enc.png(index, 4, 3, chunks=chunks), expected)
    grey = numbers(H, W, bits=4)
    key = enc.png_chunk(b"tRNS", struct.pack(">H", 7))
    levels = scaled(grey, 15)
    expected = np.stack([levels, levels, levels, np.where(grey == 7, 0, 255)], -1)
    yield one("png grey with a colour key", enc.png(grey, 4, 0, chunks=[key]), expected)
    for bits in (1, 2, 8):
        grey = numbers(H, W, bits=bits)
        levels = scaled(grey, 2**bits - 1)
        key = enc.png_chunk(b"tRNS", struct.pack(">H", 1))
        expected = np.stack([levels, levels, levels, np.where(grey == 1, 0, 255)], -1)
        yield one(f"png grey {bits} with a colour key", enc.png(grey, bits, 0, chunks=[key]), expected)
    deep = numbers(H, W, 3, bits=16)
    deep[3:6] = 2600, 5000, 7777
    key = enc.png_chunk(b"tRNS", struct.pack(">HHH", 2600, 5000, 7777))
    clear = (deep == (2600, 5000, 7777)).all(-1, keepdims=True)
    expected = np.concatenate([deep >> 8, np.where(clear, 0, 255)], -1)
    yield one("png rgb 16 with a colour key", enc.png(deep, 16, 2, chunks=[key]), expected)
    rgb = numbers(H, W, 3)
    rgb[3:6] = 10, 20, 30
    key = enc.png_chunk(b"tRNS", struct.pack(">HHH", 10, 20, 30))
    clear = (rgb == (10, 20, 30)).all(-1, keepdims=True)
    yield one(
        "png rgb with a colour key",
        enc.png(rgb, 8, 2, chunks=[key]),
        np.concatenate([rgb, np.where(clear, 0, 255)], -1),
    )
    gamma = enc.png_chunk(b"gAMA", struct.pack(">I", 100_000))
    yield one("png with a gamma, which is not applied", enc.png(rgb, 8, 2, chunks=[gamma]), rgb)
    late = enc.png(rgb, 8, 2).replace(b"\0\0\0\0IEND", enc.png_chunk(b"tEXt", b"Comment\0late") + b"\0\0\0\0IEND")
    yield one("png with text after its pixels", late, rgb)
    dot = np.array([[[200, 100, 50]]])
    yield one("png of one pixel, interlaced", enc.png(dot, 8, 2, interlaced=True), dot)


# -- TIFF --------------------------------------------------------------------------------------------------------------


def _tiff() -> Iterator[Case]:
    page, tiff = enc.tiff_page, enc.tiff
    for photometric, name in ((0, "white is zero"), (1, "black is zero")):
        for bits in (1, 2, 4, 8):
            grey = numbers(H, W, bits=bits)
            tags = {enc.WIDTH: W, enc.LENGTH: H, enc.BITS: bits, enc.COMPRESSION: 1, enc.PHOTOMETRIC: photometric}
            content = tiff([({**tags, enc.SAMPLES: 1, enc.ROWS: H}, [enc.packed_bits(grey, bits)])])
            levels = scaled(grey, 2**bits - 1)
            yield one(f"tiff grey {bits}, {name}", content, 255 - levels if photometric == 0 else levels)
        deep = numbers(H, W, bits=16).astype(np.uint16)
        levels = scaled(deep.astype(int), 65_535)
        yield one(
            f"tiff grey 16, {name}", tiff([page(deep, photometric)]), 255 - levels if photometric == 0 else levels
        )
        unit = np.linspace(0, 1, H * W, dtype=np.float32).reshape(H, W)
        levels = np.rint(unit * 255)
        yield one(f"tiff floats, {name}", tiff([page(unit, photometric)]), 255 - levels if photometric == 0 else levels)
    deep = numbers(H, W, bits=16).astype(np.uint16)
    yield one("tiff grey 16, big-endian", tiff([page(deep, 1, ">")], ">"), scaled(deep.astype(int), 65_535))
    yield one("tiff grey 16, deflated with a predictor", tiff([page(deep, 1, compression=enc.DEFLATE, predictor=True)]), scaled(deep.astype(int), 65_535))  # fmt: skip
    twelve = numbers(H, 18, bits=12)
    tags = {
        enc.WIDTH: 18,
        enc.LENGTH: H,
        enc.BITS: 12,
        enc.COMPRESSION: 1,
        enc.PHOTOMETRIC: 1,
        enc.SAMPLES: 1,
        enc.ROWS: H,
    }
    yield one("tiff grey 12", tiff([(tags, [enc.packed_bits(twelve, 12)])]), scaled(twelve, 4095))
    signed = (numbers(H, W, bits=15)).astype(np.int16)
    yield one("tiff signed 16", tiff([page(signed, 1)]), scaled(signed.astype(int), 32_767))
    yield one("tiff signed 16 below zero, ranged", tiff([page(signed - 1000, 1)]), scaled(signed.astype(int), 32_767), value_range=(-1000, 31_767))  # fmt: skip
    for kind, name in ((np.uint32, "32"), (np.int32, "signed 32")):
        counts = numbers(H, W, bits=20).astype(kind)
        yield one(f"tiff grey {name}", tiff([page(counts, 1)]), scaled(counts.astype(float), 2**20 - 1), 1)
    unit = np.linspace(-1, 1, H * W, dtype=np.float32).reshape(H, W)
    yield one("tiff floats from -1, big-endian", tiff([page(unit, 1, ">")], ">"), np.rint((unit + 1) * 127.5))
    rgb = numbers(H, W, 3).astype(np.uint8)
    for name, content in {
        "rgb in strips of 5 rows": tiff([page(rgb, 2, rows=5)]),
        "rgb in planes": tiff([page(rgb, 2, planar=True)]),
        "rgb in planes, deflated": tiff([page(rgb, 2, planar=True, compression=enc.DEFLATE, rows=4)]),
        "rgb in tiles": tiff([page(rgb, 2, tile=16)]),
        "rgb in tiles, deflated": tiff([page(rgb, 2, tile=16, compression=enc.DEFLATE)]),
        "rgb, deflated with a predictor": tiff([page(rgb, 2, compression=enc.DEFLATE, predictor=True)]),
        "rgb, big-endian": tiff([page(rgb, 2, ">")], ">"),
        "rgb, BigTIFF": tiff([page(rgb, 2)], big=True),
        "rgb, LZW": saved(rgb, "TIFF", compression="tiff_lzw"),
        "rgb, PackBits": saved(rgb, "TIFF", compression="packbits"),
        "rgb and a channel without a meaning": tiff([page(np.dstack([rgb, rgb[..., :1]]), 2, tags={enc.EXTRA: 0})]),
    }.items():
        yield one(f"tiff {name}", content, rgb)
    deep = numbers(H, W, 3, bits=16).astype(np.uint16)
    yield one("tiff rgb 16", tiff([page(deep, 2)]), deep >> 8)
    yield one("tiff rgb 16, big-endian", tiff([page(deep, 2, ">")], ">"), deep >> 8)
    rgba = numbers(H, W, 4)
    yield one("tiff rgba", tiff([page(rgba.astype(np.uint8), 2, tags={enc.EXTRA: 2})]), rgba)
    rgba[..., 3] = np.where(rgba[..., 3] < 64, 255, rgba[..., 3])
    laid = np.rint(rgba[..., :3] * rgba[..., 3:] / 255)
    content = tiff([page(np.dstack([laid, rgba[..., 3]]).astype(np.uint8), 2, tags={enc.EXTRA: 1})])
    yield one("tiff rgba, premultiplied", content, rgba, 4)  # 255 / 64: what the premultiplication has lost
    colours = numbers(256, 3, seed=5)
    for bits in (4, 8):
        index = numbers(H, W, bits=bits)
        tags = {enc.WIDTH: W, enc.LENGTH: H, enc.BITS: bits, enc.COMPRESSION: 1, enc.PHOTOMETRIC: 3, enc.SAMPLES: 1, enc.ROWS: H}  # fmt: skip
        tags[enc.COLOR_MAP] = (colours[: 2**bits].T.ravel() * 257).tolist()  # type: ignore[assignment]
        yield one(f"tiff palette {bits}", tiff([(tags, [enc.packed_bits(index, bits)])]), colours[index])
    cmyk = numbers(H, W, 4).astype(np.uint8)
    light = 255 - cmyk.astype(float)
    yield one("tiff cmyk", tiff([page(cmyk, 5)]), np.rint(light[..., :3] * light[..., 3:] / 255), 1)
    ycc = smooth()
    yield one("tiff ycbcr", tiff([page(ycc, 6, tags={530: (1, 1)})]), _rgb_of_ycc(ycc), 2)
    lab = _lab(H, W)
    stored = np.stack([np.rint(lab[..., 0] * 2.55), *(np.rint(lab[..., c]) % 256 for c in (1, 2))], -1).astype(np.uint8)
    yield one("tiff lab", tiff([page(stored, 8)]), _rgb_of_lab(lab), 3)
    mask = numbers(H, W, bits=1).astype(bool)
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield one(f"tiff fax, {compression}", saved(mask, "TIFF", compression=compression), mask * 255)
    soft = smooth()
    yield one("tiff jpeg inside", saved(soft, "TIFF", compression="jpeg", quality=95), soft, 12)
    pages = [numbers(H, W, 3, seed=seed).astype(np.uint8) for seed in range(3)]
    stack = tiff([page(pages[0], 2), page(pages[1], 2, compression=enc.DEFLATE), page(pages[2], 2, planar=True)])
    yield Case("tiff of three pages, each", {"set/a.tif": stack}, np.stack(pages), how={"frames": "all"})
    yield Case("tiff of three pages, the first", {"set/a.tif": stack}, pages[0][None])
    yield Case("tiff of three pages, alone", {"a.tif": stack}, np.stack(pages), 0, {"frames": "all"}, "a.tif")


def _rgb_of_ycc(ycc: Array) -> Array:
    """JFIF 1.02, section 7."""
    y, cb, cr = (ycc[..., c].astype(float) - 128 * (c > 0) for c in range(3))
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1)
    return np.rint(rgb.clip(0, 255))


def _lab(height: int, width: int) -> Array:
    """Colours that a screen can show, as L in 0..100, a and b."""
    y, x = np.mgrid[0:height, 0:width]
    return np.rint(np.stack([25 + 50 * y / height, 20 * np.sin(x / 3), 20 * np.cos(x / 4 + y)], -1))


def _rgb_of_lab(lab: Array) -> Array:
    """CIE 15 with D50, adapted to D65 by Bradford's matrix, and IEC 61966-2-1."""
    light, a, b = np.rint(lab[..., 0] * 2.55) / 2.55, lab[..., 1], lab[..., 2]
    fy = (light + 16) / 116
    f = np.stack([fy + a / 500, fy, fy - b / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.96422, 1.0, 0.82521)
    matrix = np.array([[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]])  # fmt: skip
    linear = (xyz @ matrix.T).clip(0, 1)
    return np.rint(255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


# -- BMP, PNM, TGA -----------------------------------------------------------------------------------------------------


def _bmp() -> Iterator[Case]:
    colours = numbers(256, 3, seed=5)
    for bits in (1, 4, 8):
        index = numbers(H, W, bits=bits)
        rows = [enc.packed_bits(row[None], bits) for row in index]
        yield one(f"bmp palette {bits}", enc.bmp(rows, W, bits, palette=colours[: 2**bits]), colours[index])
    rgb = numbers(H, W, 3).astype(np.uint8)
    bgr = [row[:, ::-1].tobytes() for row in rgb]
    yield one("bmp rgb", enc.bmp(bgr, W, 24), rgb)
    yield one("bmp rgb, from the top", enc.bmp(bgr, W, 24, top_down=True), rgb)
    yield one("bmp rgb, OS/2", enc.bmp(bgr, W, 24, os2=True), rgb)
    index = numbers(H, W, bits=4)
    rows = [enc.packed_bits(row[None], 4) for row in index]
    yield one("bmp palette 4, OS/2", enc.bmp(rows, W, 4, palette=colours[:16], os2=True), colours[index])
    rgba = numbers(H, W, 4).astype(np.uint8)
    bgra = [row[:, [2, 1, 0, 3]].tobytes() for row in rgba]
    yield one("bmp 32 without alpha", enc.bmp(bgra, W, 32), rgba[..., :3])
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    yield one("bmp 32 with alpha", enc.bmp(bgra, W, 32, compression=3, masks=masks), rgba)
    for name, widths in (("555", (5, 5, 5)), ("565", (5, 6, 5))):
        parts = np.stack([numbers(H, W, bits=bits, seed=c) for c, bits in enumerate(widths)], -1)
        shifts = (widths[1] + widths[2], widths[2], 0)
        words = sum(parts[..., c] << shifts[c] for c in range(3)).astype("<u2")  # type: ignore[union-attr]
        rows = [row.tobytes() for row in words]
        masks = tuple((2**bits - 1) << shift for bits, shift in zip(widths, shifts, strict=True))
        content = enc.bmp(rows, W, 16) if name == "555" else enc.bmp(rows, W, 16, compression=3, masks=(*masks, 0))
        expected = np.stack([scaled(parts[..., c], 2 ** widths[c] - 1) for c in range(3)], -1)
        yield one(f"bmp 16, {name}", content, expected, 1)
    index = np.repeat(numbers(H, W // 3, bits=8), 3, axis=1)
    runs = (
        b"".join(b"".join(bytes([3, value]) for value in row[::3]) + b"\0\0" for row in index[::-1].tolist()) + b"\0\1"
    )
    yield one(
        "bmp palette 8, in runs", enc.bmp([b""] * H, W, 8, palette=colours, compression=1, data=runs), colours[index]
    )
    index = np.repeat(numbers(H, W // 6, bits=4), 6, axis=1)
    runs = (
        b"".join(b"".join(bytes([6, value * 17]) for value in row[::6]) + b"\0\0" for row in index[::-1].tolist())
        + b"\0\1"
    )
    content = enc.bmp([b""] * H, W, 4, palette=colours[:16], compression=2, data=runs)
    yield one("bmp palette 4, in runs", content, colours[index])


def _pnm() -> Iterator[Case]:
    mask = numbers(H, W, bits=1)
    for kind in (1, 4):
        yield one(f"pbm P{kind}", enc.pnm(kind, mask, comment=True), (1 - mask) * 255)
    for largest, name in ((15, "15"), (255, "255"), (1000, "1000"), (65_535, "65535")):
        grey, rgb = (np.random.default_rng(1).integers(0, largest + 1, shape) for shape in ((H, W), (H, W, 3)))
        grey[0, :2] = rgb[0, :2, 0] = 0, largest
        for kind, values in ((2, grey), (5, grey), (3, rgb), (6, rgb)):
            suffix = "pgm" if kind in (2, 5) else "ppm"
            content = enc.pnm(kind, values, largest, comment=kind == 2)
            yield one(f"{suffix} P{kind} to {name}", content, scaled(values, largest), int(largest not in (15, 255)))


def _tga() -> Iterator[Case]:
    grey, rgb, rgba = (
        numbers(H, W).astype(np.uint8),
        numbers(H, W, 3).astype(np.uint8),
        numbers(H, W, 4).astype(np.uint8),
    )
    bgr, bgra = rgb[..., ::-1], rgba[..., [2, 1, 0, 3]]
    yield one("tga grey", enc.tga(3, W, H, 8, grey.tobytes()), grey)
    yield one("tga grey, in runs", enc.tga(11, W, H, 8, enc.tga_runs(np.repeat(grey[:, ::3], 3, 1).reshape(-1, 1))), np.repeat(grey[:, ::3], 3, 1))  # fmt: skip
    yield one("tga rgb", enc.tga(2, W, H, 24, bgr.tobytes()), rgb)
    yield one("tga rgb, from the bottom", enc.tga(2, W, H, 24, bgr[::-1].tobytes(), descriptor=0), rgb)
    yield one("tga rgb, from the right", enc.tga(2, W, H, 24, bgr[:, ::-1].tobytes(), descriptor=0x30), rgb)
    yield one("tga rgb, in runs", enc.tga(10, W, H, 24, enc.tga_runs(bgr.reshape(-1, 3))), rgb)
    yield one("tga rgba", enc.tga(2, W, H, 32, bgra.tobytes(), descriptor=0x28), rgba)
    yield one("tga rgba, in runs", enc.tga(10, W, H, 32, enc.tga_runs(bgra.reshape(-1, 4)), descriptor=0x28), rgba)
    colours = numbers(256, 3, seed=5).astype(np.uint8)
    content = enc.tga(1, W, H, 8, grey.tobytes(), palette=colours[:, ::-1].tobytes(), palette_bits=24)
    yield one("tga palette", content, colours[grey])


# -- GIF, ICO, QOI -----------------------------------------------------------------------------------------------------


def _gif() -> Iterator[Case]:
    colours = numbers(64, 3, seed=5)
    index = numbers(H, W, bits=6)
    yield one("gif", enc.gif((H, W), colours, [{"pixels": index}]), colours[index])
    clear = np.where(index == 5, 0, 255)[..., None]
    expected = np.concatenate([np.where(clear, colours[index], colours[index]), clear], -1)
    yield one("gif with transparency", enc.gif((H, W), colours, [{"pixels": index, "clear": 5}]), expected)
    inner = numbers(4, 5, bits=6, seed=2)
    frames = [{"pixels": index}, {"pixels": inner, "at": (3, 2), "disposal": 1}, {"pixels": inner[::-1], "at": (8, 12)}]
    second, third = index.copy(), index.copy()
    second[3:7, 2:7] = third[3:7, 2:7] = inner
    third[8:12, 12:17] = inner[::-1]
    shown = np.stack([colours[frame] for frame in (index, second, third)]).astype(np.uint8)
    content = enc.gif((H, W), colours, frames)
    yield Case("gif of frames that cover a part, each", {"set/a.gif": content}, shown, how={"frames": "all"})
    yield Case("gif of frames that cover a part, the first", {"set/a.gif": content}, shown[:1])
    frames = [{"pixels": index}, {"pixels": inner, "at": (3, 2), "disposal": 3}, {"pixels": inner[::-1], "at": (8, 12)}]
    third = index.copy()
    third[8:12, 12:17] = inner[::-1]
    shown = np.stack([colours[frame] for frame in (index, second, third)]).astype(np.uint8)
    content = enc.gif((H, W), colours, frames)
    yield Case("gif of a frame that is taken back, each", {"set/a.gif": content}, shown, how={"frames": "all"})


def _icons() -> Iterator[Case]:
    small, large = numbers(8, 8, 4), numbers(16, 16, 4, seed=1)
    pictures = [(16, 16, enc.png(large, 8, 6)), (8, 8, enc.png(small, 8, 6))]
    yield one("ico of two sizes, of which the larger counts", enc.ico(pictures[::-1]), large)
    bgra = large[::-1][..., [2, 1, 0, 3]].astype(np.uint8).tobytes()
    body = struct.pack("<IiiHHIIiiII", 40, 16, 32, 1, 32, 0, len(bgra), 0, 0, 0, 0) + bgra + bytes(64)
    yield one("ico of a bitmap", enc.ico([(16, 16, body)]), large)


def _qoi() -> Iterator[Case]:
    rgb, rgba = numbers(H, W, 3), numbers(H, W, 4)
    rgb[4:6], rgba[7] = rgb[3, 2], rgba[6, 2]
    rgb[6, 1:] = rgb[6, :1] + np.arange(1, W)[:, None] % 3
    yield one("qoi rgb", enc.qoi(rgb % 256), rgb % 256)
    yield one("qoi rgba", enc.qoi(rgba), rgba)
    soft = smooth()
    yield one("qoi of a soft picture", enc.qoi(soft), soft)


# -- lossy kinds and those that only libraries write -------------------------------------------------------------------


def _jpeg() -> Iterator[Case]:
    soft = smooth()
    options: dict[str, dict[str, Any]] = {
        "baseline": {}, "progressive": {"progressive": True}, "optimised": {"optimize": True},
        "with restarts": {"restart_marker_rows": 1}, "with a quarter of the colours": {"subsampling": "4:2:0"},
        "with half of the colours": {"subsampling": "4:2:2"},
        "stored as RGB": {"keep_rgb": True},
    }  # fmt: skip
    for name, option in options.items():
        yield one(f"jpg {name}", saved(soft, "JPEG", quality=95, **{"subsampling": "4:4:4", **option}), soft, 14)
    yield one("jpg grey", saved(soft[..., 0], "JPEG", quality=95), soft[..., 0], 6)
    ink = smooth(4)
    light = 255 - ink.astype(float)
    stream = io.BytesIO()
    Image.frombytes("CMYK", (64, 48), ink.tobytes()).save(stream, "JPEG", quality=98)
    yield one("jpg cmyk", stream.getvalue(), np.rint(light[..., :3] * light[..., 3:] / 255), 8)
    stream = io.BytesIO()
    image = Image.fromarray(soft)
    image.save(stream, "MPO", save_all=True, append_images=[Image.fromarray(255 - soft)], quality=95)
    yield one("jpg of two pictures, of which the first counts", stream.getvalue(), soft, 14, frames="all")
    noisy = Image.fromarray(soft).resize((640, 480), Image.Resampling.BICUBIC)
    reference = np.asarray(noisy).astype(float)[:, 80:560].reshape(24, 20, 24, 20, 3).mean((1, 3))
    yield one("jpg ten times too large", saved(np.asarray(noisy), "JPEG", quality=95), reference, 6, size=(24, 24))


def _jpeg2000() -> Iterator[Case]:
    if not features.check("jpg_2000"):
        return
    rgb = numbers(H, W, 3).astype(np.uint8)
    yield one("jp2 rgb", saved(rgb, "JPEG2000"), rgb)
    yield one("j2k rgb, without its container", saved(rgb, "JPEG2000", no_jp2=True), rgb)
    rgba = numbers(H, W, 4).astype(np.uint8)
    yield one("jp2 rgba", saved(rgba, "JPEG2000"), rgba)
    yield one("jp2 grey", saved(rgb[..., 0], "JPEG2000"), rgb[..., 0])
    deep = numbers(H, W, bits=16).astype(np.uint16)
    yield one("jp2 grey 16", saved(deep, "JPEG2000"), scaled(deep.astype(int), 65_535))
    soft = smooth()
    lossy = saved(soft, "JPEG2000", quality_mode="dB", quality_layers=[48], irreversible=True)
    yield one("jp2 lossy", lossy, soft, 12)


def _webp() -> Iterator[Case]:
    if not features.check("webp"):
        return
    rgb, rgba = numbers(H, W, 3).astype(np.uint8), numbers(H, W, 4).astype(np.uint8)
    yield one("webp rgb", saved(rgb, "WEBP", lossless=True), rgb)
    yield one("webp rgba", saved(rgba, "WEBP", lossless=True, exact=True), rgba)
    soft = smooth()
    yield one("webp lossy", saved(soft, "WEBP", quality=95), soft, 20)
    frames = [numbers(H, W, 3, seed=seed).astype(np.uint8) for seed in range(3)]
    more = [Image.fromarray(frame) for frame in frames[1:]]
    content = saved(frames[0], "WEBP", save_all=True, append_images=more, lossless=True)
    yield Case("webp of three frames, each", {"set/a.webp": content}, np.stack(frames), how={"frames": "all"})
    content = saved(frames[0], "PNG", save_all=True, append_images=more)
    yield Case("apng of three frames, each", {"set/a.png": content}, np.stack(frames), how={"frames": "all"})


def _avif() -> Iterator[Case]:
    if not features.check("avif"):
        return
    soft, clear = smooth(), smooth(4)
    yield one("avif", saved(soft, "AVIF", quality=95, subsampling="4:4:4"), soft, 10)
    yield one("avif with alpha", saved(clear, "AVIF", quality=100, subsampling="4:4:4"), clear, 6)
    frames = [soft, soft[::-1], soft[:, ::-1]]
    more = [Image.fromarray(frame) for frame in frames[1:]]
    content = saved(soft, "AVIF", quality=95, subsampling="4:4:4", save_all=True, append_images=more)
    yield Case("avif of three frames, each", {"set/a.avif": content}, np.stack(frames), 12, {"frames": "all"})


def _heic() -> Iterator[Case]:
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()
    soft = smooth()
    yield one("heic", saved(soft, "HEIF", quality=95, chroma=444), soft, 12)


def _turned() -> Iterator[Case]:
    """Every kind that can say how it is to be turned, each way."""
    turns = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2), 8: lambda a: a.transpose(1, 0, 2)[::-1],
    }  # fmt: skip
    rgb, soft = numbers(H, W, 3).astype(np.uint8), smooth()
    for number, turn in turns.items():
        exif = Image.Exif()
        exif[enc.ORIENTATION] = number
        yield one(f"tiff turned {number}", enc.tiff([enc.tiff_page(rgb, 2, tags={enc.ORIENTATION: number})]), turn(rgb))
        packed = enc.tiff([enc.tiff_page(rgb, 2, compression=enc.DEFLATE, tags={enc.ORIENTATION: number})])
        yield one(f"tiff turned {number}, deflated", packed, turn(rgb))
        yield one(f"png turned {number}", saved(rgb, "PNG", exif=exif), turn(rgb))
        yield one(
            f"jpg turned {number}", saved(soft, "JPEG", quality=95, subsampling="4:4:4", exif=exif), turn(soft), 14
        )
        if features.check("webp"):
            yield one(f"webp turned {number}", saved(rgb, "WEBP", lossless=True, exif=exif), turn(rgb))
        if features.check("avif"):
            content = saved(soft, "AVIF", quality=95, subsampling="4:4:4", exif=exif)
            yield one(f"avif turned {number}", content, turn(soft), 10)


class _Pipe(io.RawIOBase):
    """A stream that can only be written forward, as to another program."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.written += data
        return len(data)


def _packed() -> Iterator[Case]:
    """Two pictures of two classes in zips and tars of several dialects."""
    pixels = [numbers(H, W, 3, seed=seed).astype(np.uint8) for seed in range(2)]
    deep = "/".join(["a folder with a long name"] * 12)
    members = {f"Æsir/{deep}/1.png": saved(pixels[0], "PNG"), "Ørsted/2.bmp": saved(pixels[1], "BMP")}
    expected = np.stack(pixels)
    for name, dialect in (("ustar", tarfile.USTAR_FORMAT), ("GNU", tarfile.GNU_FORMAT), ("PAX", tarfile.PAX_FORMAT)):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=dialect) as tar:
            for member, data in members.items():
                info = tarfile.TarInfo(member if name != "ustar" else member.replace(deep, "short"))
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        yield Case(f"tar {name}", {"x.tar": stream.getvalue()}, expected, data="x.tar")
    for name, options in {
        "stored": {}, "deflated": {"compression": zipfile.ZIP_DEFLATED},
    }.items():  # fmt: skip
        pipe = _Pipe()
        with zipfile.ZipFile(pipe, "w", **options) as archive:  # type: ignore[call-overload]
            for member, data in members.items():
                archive.writestr(member, data)
        yield Case(f"zip written forward, {name}", {"x.zip": bytes(pipe.written)}, expected, data="x.zip")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for member, data in members.items():
            with archive.open(member, "w", force_zip64=True) as file:
                file.write(data)
    yield Case("zip of 64 bits", {"x.zip": stream.getvalue()}, expected, data="x.zip")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.comment = b"made by hand" * 20
        for member, data in members.items():
            archive.writestr(member.replace("/", "\\"), data)
    yield Case("zip with backslashes and a comment", {"x.zip": stream.getvalue()}, expected, data="x.zip")
