"""Lossy kinds, pictures that are turned, and zips and tars of several dialects."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, features

from reliability import encoders as enc
from reliability.unusual.case import Case, H, W, numbers, one, saved, scaled, smooth


def jpeg_cases() -> Iterator[Case]:
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


def jpeg2000_cases() -> Iterator[Case]:
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


def webp_cases() -> Iterator[Case]:
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


def avif_cases() -> Iterator[Case]:
    if not features.check("avif"):
        return
    soft, clear = smooth(), smooth(4)
    yield one("avif", saved(soft, "AVIF", quality=95, subsampling="4:4:4"), soft, 10)
    yield one("avif with alpha", saved(clear, "AVIF", quality=100, subsampling="4:4:4"), clear, 6)
    frames = [soft, soft[::-1], soft[:, ::-1]]
    more = [Image.fromarray(frame) for frame in frames[1:]]
    content = saved(soft, "AVIF", quality=95, subsampling="4:4:4", save_all=True, append_images=more)
    yield Case("avif of three frames, each", {"set/a.avif": content}, np.stack(frames), 12, {"frames": "all"})


def heic_cases() -> Iterator[Case]:
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()
    soft = smooth()
    yield one("heic", saved(soft, "HEIF", quality=95, chroma=444), soft, 12)


def turned_cases() -> Iterator[Case]:
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


def packed_cases() -> Iterator[Case]:
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
