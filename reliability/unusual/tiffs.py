"""TIFF of every depth, packing and order of bytes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reliability import encoders as enc
from reliability.encoders import Array
from reliability.unusual.case import Case, H, W, numbers, one, saved, scaled, smooth


def tiff_cases() -> Iterator[Case]:
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
