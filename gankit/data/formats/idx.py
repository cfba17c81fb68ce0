"""IDX, the format of MNIST and its relatives: original and torchvision layouts, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from gankit.base.text import printable
from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.format import Format, Request, decoded
from gankit.data.formats.limits import allocate, read_into
from gankit.errors import InputError

_ROOTS = ("", "raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw")
_DEFLATE_LIMIT = 1032  # largest expansion by deflate
_GZIP_MAGIC = b"\x1f\x8b"


def find_idx(folder: Path, split: str = "train") -> tuple[Path, Path | None, tuple[str, ...]] | None:
    """The image file, its label file and notes on the choice; None when the folder holds no such IDX images.

    If the folder holds only test images, they are also the split 'train'.
    """
    for root in _ROOTS:
        for prefix in {"train": ("train", "t10k"), "test": ("t10k",)}.get(split, ()):
            images = _existing(folder / root, f"{prefix}-images", 3)
            if images is not None:
                labels = _existing(folder / root, f"{prefix}-labels", 1)
                notes = [f"{printable(images.name)}: the {'training' if prefix == 'train' else 'test'} images"]
                if labels is None:
                    notes.append("no label file beside it")
                return images, labels, tuple(notes)
    return None


def _existing(folder: Path, stem: str, rank: int) -> Path | None:
    for separator in "-.":
        for suffix in ("", ".gz"):
            path = folder / f"{stem}{separator}idx{rank}-ubyte{suffix}"
            if path.is_file():
                return path
    return None


def _folder(request: Request) -> Dataset:
    found = find_idx(request.path, request.split)
    if found is None:
        raise InputError(
            f"{printable(request.path)} has no split '{printable(request.split)}'",
            hint="its splits are train-images-… and t10k-images-…, which is 'test'",
        )
    images, labels, notes = found
    return load_idx_pair(images, labels, request.name, notes=notes, value_range=request.how.value_range)


def _file(request: Request) -> Dataset:
    return load_idx(request.path, request.name, request.how.value_range)


def load_idx(path: Path, name: str, value_range: tuple[float, float] | None = None) -> Dataset:
    """One IDX image file, with the labels of the file of the corresponding name beside it."""
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    labels = beside if beside != path and beside.is_file() else None
    return load_idx_pair(path, labels, name, value_range=value_range)


def load_idx_pair(
    images: Path,
    labels: Path | None,
    name: str,
    classes: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    value_range: tuple[float, float] | None = None,
) -> Dataset:
    """An image file [N, H, W] and its label file [N]."""
    pixels = read_idx(images)
    if pixels.ndim != 3:
        raise InputError(
            f"{printable(images)}: holds an array of {pixels.ndim} dimensions, not images [N, H, W]",
            hint="give the file of images, for instance train-images-idx3-ubyte",
        )
    numbers = None if labels is None else read_idx(labels)
    if labels is not None and numbers is not None and numbers.shape != pixels.shape[:1]:
        raise InputError(
            f"{printable(labels)}: labels of shape {numbers.shape} for {len(pixels):,} images",
            hint="the two files do not belong together: there must be one label per image",
        )
    return Dataset.from_arrays(
        name, pixels, numbers, classes, notes, value_range=value_range, kind="images", copy=False
    )


def read_idx(path: Path) -> Array:
    """The uint8 array in an IDX file, gzipped or not; the header is checked before anything is allocated."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == _GZIP_MAGIC
            file_size = raw.seek(0, 2)
            raw.seek(0)
            if not zipped:
                return _read(cast(BinaryIO, raw), path, file_size, zipped)
            with gzip.GzipFile(fileobj=raw) as stream:
                return _read(cast(BinaryIO, stream), path, file_size, zipped)
    except (OSError, EOFError, zlib.error) as error:  # BadGzipFile is an OSError
        raise _broken(path, str(error)) from error


def _read(stream: BinaryIO, path: Path, file_size: int, zipped: bool) -> Array:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != 8 or magic[3] not in (1, 2, 3, 4):
        raise _broken(path, f"starts with {magic.hex(' ') or 'nothing'}, not with the mark of IDX bytes (00 00 08 0x)")
    header = stream.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise _broken(path, "ends within its header")
    shape = struct.unpack(f">{magic[3]}I", header)
    size = math.prod(shape)  # Python's integers do not overflow
    held = file_size - 4 - len(header)
    if min(shape) == 0:
        raise _broken(path, f"declares the empty shape {shape}")
    if (size != held) if not zipped else (size > file_size * _DEFLATE_LIMIT):
        raise _broken(path, f"declares {size:,} bytes of shape {shape}, but holds {'at most ' * zipped}{held:,}")
    array = allocate(size, printable(path))
    done = read_into(stream, array)
    if done < size:
        raise _broken(path, f"ends after {done:,} of {size:,} bytes")
    if stream.read(1):  # for gzip this read also checks the CRC
        raise _broken(path, f"holds more than the {size:,} bytes it declares")
    return array.reshape(shape)


def _broken(path: Path, reason: str) -> InputError:
    return InputError(
        f"{printable(path)}: not a sound IDX file: {printable(reason)}", hint="copy or download the file again"
    )


IDX_FOLDER = Format(
    "IDX folder",
    "`train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, `t10k-…`, gzipped or not, also in `raw/` or `MNIST/raw/`",
    "grey images and their classes: MNIST and its relatives; `t10k` is the split `test`",
    claims=lambda request: request.path.is_dir() and find_idx(request.path) is not None,
    open=decoded(_folder),
)
IDX = Format(
    "IDX",
    "`NAME-images-idx3-ubyte`, gzipped or not",
    "grey images; their classes from the file `NAME-labels-idx1-ubyte` beside it",
    claims=lambda request: request.start.startswith((_GZIP_MAGIC, b"\0\0")),
    open=decoded(_file),
    splits=False,
)
