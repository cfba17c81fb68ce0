"""PNG, BMP, PNM, TGA, GIF, ICO and QOI, by encoders of our own."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from reliability import encoders as enc
from reliability.unusual.case import Case, H, W, numbers, one, scaled, smooth


def png_cases() -> Iterator[Case]:
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


def bmp_cases() -> Iterator[Case]:
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


def pnm_cases() -> Iterator[Case]:
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


def tga_cases() -> Iterator[Case]:
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


def gif_cases() -> Iterator[Case]:
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


def icons_cases() -> Iterator[Case]:
    small, large = numbers(8, 8, 4), numbers(16, 16, 4, seed=1)
    pictures = [(16, 16, enc.png(large, 8, 6)), (8, 8, enc.png(small, 8, 6))]
    yield one("ico of two sizes, of which the larger counts", enc.ico(pictures[::-1]), large)
    bgra = large[::-1][..., [2, 1, 0, 3]].astype(np.uint8).tobytes()
    body = struct.pack("<IiiHHIIiiII", 40, 16, 32, 1, 32, 0, len(bgra), 0, 0, 0, 0) + bgra + bytes(64)
    yield one("ico of a bitmap", enc.ico([(16, 16, body)]), large)


def qoi_cases() -> Iterator[Case]:
    rgb, rgba = numbers(H, W, 3), numbers(H, W, 4)
    rgb[4:6], rgba[7] = rgb[3, 2], rgba[6, 2]
    rgb[6, 1:] = rgb[6, :1] + np.arange(1, W)[:, None] % 3
    yield one("qoi rgb", enc.qoi(rgb % 256), rgb % 256)
    yield one("qoi rgba", enc.qoi(rgba), rgba)
    soft = smooth()
    yield one("qoi of a soft picture", enc.qoi(soft), soft)
