"""Hostile inputs: each ends in one InputError with a hint, quickly, and without a large allocation."""

from __future__ import annotations

import gzip
import io
import os
import random
import resource
import struct
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import PIXELS, idx

from gankit.data import load_dataset
from gankit.data.formats import archive
from gankit.errors import GankitError, InputError
from reliability import encoders


def png(width: int = 4, height: int = 4, bits: int = 8, data: bytes | None = None, extra: bytes = b"") -> bytes:
    """A PNG that declares any size; `data` is what is compressed in it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * (height * (width + 1)) if data is None else data)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def npy(header: str, data: bytes = b"", length: int | None = None) -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) if length is None else length) + text + data


def npy2(header: bytes) -> bytes:
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def encrypted() -> bytes:
    content = bytearray(zipped({"a.png": png()}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def twice() -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as file:
            file.writestr("a.png", png())
            file.writestr("a.png", png())
    return stream.getvalue()


def overlapping() -> bytes:
    """Ten names for one stored member, as in a quoted zip bomb."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("0.bmp", bytes(5000))
        first = file.infolist()[0]
        for number in range(1, 10):
            info = zipfile.ZipInfo(f"{number}.bmp")
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.file_size = info.compress_size = 5000
            file.filelist.append(info)
            file._didModify = True
    return stream.getvalue()


def gz_with_wrong_crc() -> bytes:
    content = bytearray(gzip.compress(idx(PIXELS)))
    content[-6] ^= 1
    return bytes(content)


def damaged_png() -> bytes:
    """One bit is wrong behind the last row that a decoder needs: only the checksum tells."""
    content = bytearray(png())
    content[content.index(b"IDAT") + 4 + 3] ^= 1
    return bytes(content)


def rgb_tiff(**tags: int) -> bytes:
    """A TIFF of 4x4 pixels with some tags set wrongly."""
    own = {getattr(encoders, name): value for name, value in tags.items()}
    return encoders.tiff([encoders.tiff_page(np.zeros((4, 4, 3), np.uint8), 2, tags=own)])


def icon(width: int, height: int) -> bytes:
    """An icon whose PNG is larger than an icon can be."""
    return encoders.ico([(16, 16, png(width, height, data=zlib.compress(bytes(1000))))])


def gif_screen(width: int, height: int) -> bytes:
    small = encoders.gif((4, 4), np.zeros((64, 3)), [{"pixels": np.zeros((4, 4), int)}])
    return small[:6] + struct.pack("<HH", width, height) + small[10:]


def qoi_of(width: int, height: int) -> bytes:
    return struct.pack(">4sIIBB", b"qoif", width, height, 4, 0) + b"\xfd" * 100 + b"\0" * 7 + b"\1"


U1 = "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 2), }"
GOOD_GZ = gzip.compress(idx(PIXELS))
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "png side 2^31-1": ("a.png", lambda: png(2**31 - 1, 2**31 - 1, data=b"")),
    "png 14000x14000": ("a.png", lambda: png(14_000, 14_000, data=b"")),
    "png 13000x13000 of 1 bit": ("a.png", lambda: png(13_000, 13_000, 1, data=bytes(13_000 * 1_626))),
    "png 0x0": ("a.png", lambda: png(0, 0)),
    "png 1x100000": ("a.png", lambda: png(1, 100_000, data=b"")),
    "png cut": ("a.png", lambda: png(64, 64, data=os.urandom(64 * 65))[:2000]),
    "png with a damaged pixel": ("a.png", damaged_png),
    "tiff 60000x60000": ("a.tif", lambda: rgb_tiff(WIDTH=60_000, LENGTH=60_000)),
    "tiff of a huge tile": ("a.tif", lambda: rgb_tiff(TILE_WIDTH=65_520, TILE_LENGTH=65_520)),
    "tiff of 60000 samples": ("a.tif", lambda: rgb_tiff(SAMPLES=60_000)),
    "tiff without pixels": ("a.tif", lambda: encoders.tiff([({encoders.WIDTH: 4, encoders.LENGTH: 4}, [b""])])),
    "icon 30000x30000": ("a.ico", lambda: icon(30_000, 30_000)),
    "icon of 65535 pictures": ("a.ico", lambda: b"\0\0\1\0\xff\xff" + bytes(16 * 65_535)),
    "gif of a screen of 65535x65535": ("a.gif", lambda: gif_screen(65_535, 65_535)),
    "qoi 2^31": ("a.qoi", lambda: qoi_of(2**31, 2**31)),
    "qoi cut": ("a.qoi", lambda: qoi_of(5_000, 5_000)),
    "tga cut": ("a.tga", lambda: encoders.tga(2, 8_000, 8_000, 24, bytes(100))),
    "jp2 of nothing": ("a.jp2", lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60)),
    "avif of nothing": ("a.avif", lambda: b"\0\0\0\x20ftypavif" + bytes(60)),
    "gif named png": ("a.png", lambda: b"GIF89a" + bytes(40)),
    "tiff named png": ("a.png", lambda: b"II*\0" + bytes(40)),
    "idx wrong magic": ("train-images-idx3-ubyte", lambda: b"\x01\x02" + idx(PIXELS)[2:]),
    "idx of floats": ("train-images-idx3-ubyte", lambda: b"\0\0\x0d\x03" + idx(PIXELS)[4:]),
    "idx dimension 0": ("train-images-idx3-ubyte", lambda: b"\0\0\x08\x03" + struct.pack(">III", 0, 28, 28)),
    "idx dimensions overflow": ("train-images-idx3-ubyte", lambda: b"\0\0\x08\x03" + b"\xff" * 12 + bytes(100)),
    "idx product wraps to 0": ("train-images-idx3-ubyte", lambda: b"\0\0\x08\x03" + b"\x00\x01\x00\x00" * 3),
    "idx short": ("train-images-idx3-ubyte", lambda: idx(PIXELS)[:-1]),
    "idx long": ("train-images-idx3-ubyte", lambda: idx(PIXELS) + b"x"),
    "idx header cut": ("train-images-idx3-ubyte", lambda: idx(PIXELS)[:9]),
    "idx empty": ("train-images-idx3-ubyte", lambda: b""),
    "idx labels as images": ("train-images-idx3-ubyte", lambda: idx(np.arange(5))),
    "gz bomb": ("train-images-idx3-ubyte.gz", lambda: gzip.compress(idx(PIXELS) + bytes(50_000_000))),
    "gz claims 4 TB": ("train-images-idx3-ubyte.gz", lambda: gzip.compress(b"\0\0\x08\x03" + b"\0\0\x3f\xff" * 3)),
    "gz cut": ("train-images-idx3-ubyte.gz", lambda: GOOD_GZ[:-9]),
    "gz wrong crc": ("train-images-idx3-ubyte.gz", gz_with_wrong_crc),
    "gz trailing data": ("train-images-idx3-ubyte.gz", lambda: GOOD_GZ + b"trailing"),
    "gz of nothing": ("train-images-idx3-ubyte.gz", lambda: gzip.compress(b"")),
    "npy of objects": ("x.npy", lambda: saved(np.array([{}, []], dtype=object))),
    "npy structured": ("x.npy", lambda: saved(np.zeros(3, dtype=[("a", "u1"), ("b", "f4")]))),
    "npy complex": ("x.npy", lambda: saved(np.zeros((2, 2, 2), complex))),
    "npy text": ("x.npy", lambda: saved(np.array([["ab"]]))),
    "npy header bomb": ("x.npy", lambda: npy2(b"(" * 1_000_000)),
    "npy header longer than the file": ("x.npy", lambda: npy(U1, bytes(4), length=9_000)),
    "npy header is code": ("x.npy", lambda: npy("__import__('os').system('touch pwned')")),
    "npy 32 GiB without data": ("x.npy", lambda: npy(U1.replace("(1, 2, 2)", "(8, 65536, 65536)"))),
    "npy negative": ("x.npy", lambda: npy(U1.replace("(1, 2", "(-1, -2"), bytes(4))),
    "npy shape with a control character": ("x.npy", lambda: npy(U1.replace("(1, 2, 2)", "(\x1c1, 2, 3)"), bytes(4))),
    "npz a member without a name": ("x.npz", lambda: zipped({"x.npy": saved(PIXELS)}).replace(b"x.npy", b"\0.npy")),
    "npy no shape": ("x.npy", lambda: npy("{'descr': '|u1', 'fortran_order': False}", bytes(4))),
    "npy short": ("x.npy", lambda: saved(PIXELS)[:-1]),
    "npy long": ("x.npy", lambda: saved(PIXELS) + b"x"),
    "npy no rows": ("x.npy", lambda: saved(PIXELS[:0])),
    "npy scalar": ("x.npy", lambda: saved(np.array(1.0))),
    "npy wrong rank": ("x.npy", lambda: saved(np.zeros((1, 1, 1, 1, 1, 1)))),
    "npy one-dimensional": ("x.npy", lambda: saved(np.zeros(4))),
    "npy integer rows": ("x.npy", lambda: saved(np.zeros((4, 784), np.uint8))),
    "npy NaN image": ("x.npy", lambda: saved(np.full((1, 2, 2), np.nan))),
    "npy infinite point": ("x.npy", lambda: saved(np.array([[1.0, np.inf]]))),
    "npy point beyond float32": ("x.npy", lambda: saved(np.array([[1e300]]))),
    "npy ints below 0": ("x.npy", lambda: saved(np.full((1, 2, 2), -1))),
    "npy floats out of range": ("x.npy", lambda: saved(np.array([[[-3.0, 200.0]]]))),
    "npy two channels": ("x.npy", lambda: saved(np.zeros((2, 8, 8, 2), np.uint8))),
    "npz of pickles": ("x.npz", lambda: zipped({"images.npy": saved(np.array([{}], dtype=object))})),
    "npz labels differ": ("x.npz", lambda: zipped({"x.npy": saved(PIXELS), "y.npy": saved(np.arange(3))})),
    "npz float labels": ("x.npz", lambda: zipped({"x.npy": saved(PIXELS), "y.npy": saved(np.zeros(2))})),
    "npz labels of rank 3": (
        "x.npz",
        lambda: zipped({"x.npy": saved(PIXELS), "y.npy": saved(np.ones((2, 2, 1), int))}),
    ),
    "npz bomb": ("x.npz", lambda: zipped({"x.npy": saved(np.zeros((40_000, 28, 28), np.uint8))})),
    "npz empty": ("x.npz", lambda: zipped({})),
    "npz cut": ("x.npz", lambda: zipped({"x.npy": saved(PIXELS)})[:-30]),
    "npz no zip": ("x.npz", lambda: b"hello"),
    "zip encrypted": ("x.zip", encrypted),
    "zip names twice": ("x.zip", twice),
    "zip overlapping": ("x.zip", overlapping),
    "zip bomb": ("x.zip", lambda: zipped({"a.bmp": bytes(40_000_000)})),
    "zip bzip2": ("x.zip", lambda: zipped({"a.png": png()}, zipfile.ZIP_BZIP2)),
    "zip lzma": ("x.zip", lambda: zipped({"a.png": png()}, zipfile.ZIP_LZMA)),
    "zip cut": ("x.zip", lambda: zipped({"a.png": png()})[:-30]),
    "zip empty": ("x.zip", lambda: zipped({})),
    "zip no zip": ("x.zip", lambda: b"hello"),
    "zip with junk before it": ("x.zip", lambda: b"#!/bin/sh\n" + zipped({"a.png": png()})),
    "zip of zips": ("x.zip", lambda: zipped({"a.zip": zipped({"a.png": png()})})),
    "zip damaged member": ("x.zip", lambda: zipped({"a.png": png()}, 0).replace(b"IDAT", b"IDAX", 1)),
    "one image": ("solo.png", png),
    "plain pickle": ("x.pkl", lambda: b"\x80\x04\x95cos\nsystem\n"),
    "text": ("x.txt", lambda: b"hello"),
}


@pytest.mark.parametrize("case", FILES)
def test_hostile_files_are_refused(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, make = FILES[case]
    (tmp_path / name).write_bytes(make())
    path = tmp_path if name.startswith(("a.", "train-")) else tmp_path / name
    before, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as caught:
        load_dataset(str(path), {})
    assert time.process_time() - before < 5  # of this process: others on the machine do not count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 256 * 1024
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_fifo_is_refused_without_opening_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="neither a regular file nor a folder"):
        load_dataset(str(tmp_path / "pipe"), {})


@pytest.mark.parametrize("data", ["", " ", "a\0b", "x" * 5000, "~nobody-of-that-name/x", "\x1b[2J"])
def test_odd_names_are_refused_in_plain_text(data: str) -> None:
    with pytest.raises(InputError) as caught:
        load_dataset(data, {})
    assert caught.value.message.isprintable()


def test_labels_must_match_the_images_of_an_idx_folder(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    for labels in (np.arange(3), PIXELS):
        name = "train-labels-idx1-ubyte"
        (tmp_path / name).write_bytes(idx(labels))
        with pytest.raises(InputError, match="for 2 images"):
            load_dataset(str(tmp_path), {})


def test_zip_limits_on_entries_and_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zipped({"a.png": png(), "b.png": png()}))
    assert len(load_dataset(str(path), {})) == 2
    monkeypatch.setattr(archive, "MAX_ENTRIES", 1)
    with pytest.raises(InputError, match="2 entries"):
        load_dataset(str(path), {})
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    monkeypatch.setattr("gankit.data.formats.sources.MAX_MEMBER_BYTES", 10)
    with pytest.raises(InputError, match="the limit is 10"):
        load_dataset(str(path), {})


def test_a_text_chunk_bomb_in_a_png_costs_nothing(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(63_000_000))
    content = b"zTXt" + b"k\0\0" + bomb
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    (tmp_path / "a.png").write_bytes(png(extra=chunk))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"a\.png"):
        load_dataset(str(tmp_path), {})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 32 * 1024


def seeds() -> dict[str, bytes]:
    noise = np.random.RandomState(0).randint(0, 256, (12, 12, 3)).astype(np.uint8)
    made = {}
    for suffix in ("png", "jpeg", "webp", "bmp", "ppm"):
        stream = io.BytesIO()
        Image.fromarray(noise).save(stream, suffix)
        made[f"d/a.{suffix}"] = stream.getvalue()
    labels = saved(np.array([0, 1]))
    return made | {
        "x.npy": saved(PIXELS),
        "x.npz": zipped({"x.npy": saved(PIXELS), "y.npy": labels}),
        "x.zip": zipped({"a/1.png": png(), "b/1.png": png()}),
        "x-idx3-ubyte": idx(PIXELS),
        "x-idx3-ubyte.gz": GOOD_GZ,
    }


@pytest.mark.parametrize("name", seeds())
def test_mutated_files_load_or_are_refused_but_never_crash(tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    whole = seeds()[name]
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            where = rng.randrange(len(content))
            action = rng.randrange(4)
            if action == 0:
                content[where] ^= 1 << rng.randrange(8)
            elif action == 1:
                content[where : where + 4] = rng.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
            elif action == 2:
                content[where:where] = rng.randbytes(3)
            else:
                del content[where : where + rng.randint(1, 40)]
            content = content or bytearray(b"\0")
        path.write_bytes(bytes(content))
        refusal: GankitError | None = None
        try:
            assert len(load_dataset(str(path.parent if name.startswith("d/") else path), {})) >= 1
        except GankitError as error:
            refusal = error
        if refusal is not None:
            assert refusal.hint
            assert refusal.message.isprintable()
