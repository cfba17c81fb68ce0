"""IDX, the format of MNIST and its relatives: original and torchvision layouts, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from gankit.base.text import printable
from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.format import Format, Request, decoded
from gankit.data.formats.limits import allocate, read_into
from gankit.errors import InputError

_ROOTS = ("", "raw", "gzip", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw", "EMNIST/raw", "QMNIST/raw")
_IMAGES = re.compile(r"(?:(?P<set>[\w-]+)-)?(?P<part>train|test|t10k)-images(?P<dot>[-.])idx3-ubyte(?P<gz>\.gz)?")
_PARTS = {"train": ("train", "test", "t10k"), "test": ("test", "t10k")}
_DEFLATE_LIMIT = 1032  # largest expansion by deflate
_GZIP_MAGIC = b"\x1f\x8b"


def find_idx(folder: Path, split: str = "train") -> tuple[Path, Path | None, tuple[str, ...]] | None:
    """The image file, its label file and notes on the choice; None when the folder holds no such IDX images.

    If the folder holds only test images, they are also the split 'train'. InputError if it holds those of several sets.
    """
    for root in _ROOTS:
        found = _image_files(folder / root)
        sets = sorted({match["set"] or "" for match in found})
        if len(sets) > 1:
            names = ", ".join(printable(name) or "one without a name" for name in sets)
            raise InputError(
                f"{printable(folder / root)} holds {len(sets)} sets: {names}",
                hint=f"give the file of one: --data {printable(folder / root / found[0].string)}",
            )
        for part in _PARTS.get(split, ()):
            images = next((folder / root / match.string for match in found if match["part"] == part), None)
            if images is not None:
                labels = _labels_beside(images)
                notes = [f"{printable(images.name)}: the {'training' if part == 'train' else 'test'} images"]
                notes += [] if labels else ["no label file beside it"]
                return images, labels, tuple(notes)
    return None


def _image_files(folder: Path) -> list[re.Match[str]]:
    """The names of image files, '-idx3' before '.idx3' and plain ones before gzipped ones."""
    names = [entry.name for entry in folder.iterdir() if entry.is_file()] if folder.is_dir() else []
    found = [match for match in map(_IMAGES.fullmatch, names) if match]
    return sorted(found, key=lambda match: (match["dot"] == ".", bool(match["gz"]), match.string))


def _labels_beside(images: Path) -> Path | None:
    """The file of labels that belongs to a file of images: 'x-labels-idx1-ubyte' beside 'x-images-idx3-ubyte'."""
    plain = images.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    names = [
        name + suffix
        for name in (plain, plain.replace("-idx1", ".idx1"), plain.replace(".idx1", "-idx1"))
        for suffix in ("", ".gz")
    ]
    beside = (images.with_name(name) for name in names if name != images.name)
    return next((path for path in beside if path.is_file()), None)


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
    images = request.path
    if request.split != "train":
        others = [images.with_name(images.name.replace("train", part)) for part in _PARTS.get(request.split, ())]
        images = next((other for other in others if other != request.path and other.is_file()), images)
        if images == request.path:
            raise InputError(
                f"{printable(images)} has no split '{printable(request.split)}' beside it",
                hint="give the path of the other images instead",
            )
    return load_idx_pair(images, _labels_beside(images), request.name, value_range=request.how.value_range)


def load_idx_pair(
    images: Path,
    labels: Path | None,
    name: str,
    classes: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    value_range: tuple[float, float] | None = None,
) -> Dataset:
    """An image file [N, H, W] and its label file [N]; images of EMNIST, which are stored transposed, become upright."""
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
    if images.name.startswith("emnist-"):
        pixels = np.ascontiguousarray(pixels.transpose(0, 2, 1))
        notes = (*notes, "stored transposed, as all of EMNIST is; shown upright")
    data = Dataset.from_arrays(
        name, pixels, numbers, classes, notes, value_range=value_range, kind="images", copy=False
    )
    mapping = _mapping(images)
    if mapping and numbers is not None and not classes:
        named = tuple(mapping.get(value, value) for value in data.spec.classes)
        data = replace(data, spec=replace(data.spec, classes=named))
    return data


def _mapping(images: Path) -> dict[str, str]:
    """Label -> character, from 'emnist-letters-mapping.txt' beside the images: a label and its codes on each line."""
    match = _IMAGES.fullmatch(images.name)
    path = images.with_name(f"{match['set']}-mapping.txt") if match and match["set"] else None
    if path is None or not path.is_file():
        return {}
    try:
        rows = [line.split() for line in path.read_text("ascii").splitlines() if line.strip()]
        return {row[0]: chr(int(row[1])) for row in rows}
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise InputError(
            f"{printable(path)}: no table of labels and characters: {printable(str(error))}", hint="remove it"
        ) from error


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
    "`train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, `t10k-…`, gzipped or not; also in `raw/`, `gzip/`, "
    "`MNIST/raw/`, …",
    "grey images and their classes: MNIST and its relatives; `t10k` is the split `test`; EMNIST is shown upright, with "
    "the names of `emnist-…-mapping.txt`",
    claims=lambda request: request.path.is_dir() and find_idx(request.path) is not None,
    open=decoded(_folder),
)
IDX = Format(
    "IDX",
    "`NAME-images-idx3-ubyte`, gzipped or not",
    "as an IDX folder, from one file; labels from `NAME-labels-idx1-ubyte` beside it, `test` from `…-test-images-…`",
    claims=lambda request: request.start.startswith((_GZIP_MAGIC, b"\0\0")),
    open=decoded(_file),
)
