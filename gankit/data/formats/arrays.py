"""NumPy files, read without NumPy's reader, in which a header can cost gigabytes and objects are unpickled."""

from __future__ import annotations

import math
import re
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from gankit.base.text import printable
from gankit.contracts import Attribute
from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.archive import check_archive
from gankit.data.formats.limits import allocate, read_into
from gankit.errors import InputError

NPY_MAGIC = b"\x93NUMPY"
_HEADER_LIMIT = 10_000
_TYPES = {"b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"}
_IMAGES = ("images", "x", "X", "data", "arr_0")
_LABELS = ("labels", "y", "targets")
_SPLIT = re.compile(r"x_(\w+)|(\w+)_images")
_CONDITIONS = "conditions"
_CLASSES, _NAMES, _SCALES = "classes", "names", "scales"  # of labels; of the numbers of conditions; their mean and std
_TEXTS = re.compile(r"U[1-9]\d{0,3}")
MAX_TEXT_BYTES = 64 << 20  # of an array of names
_HINT = "store plain numbers, for instance np.savez('data.npz', images=uint8_array, labels=int_array)"


class Header(NamedTuple):
    """The declared content of a .npy stream."""

    dtype: np.dtype[np.generic]
    fortran: bool
    shape: tuple[int, ...]
    data_bytes: int


def load_npy(path: Path, name: str, value_range: tuple[float, float] | None = None) -> Dataset:
    """Images or points in one .npy file."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            array = _read_array(stream, _read_header(stream, size, printable(path)), printable(path))
    except OSError as error:
        raise InputError(f"{printable(path)}: cannot be read: {error.strerror}", hint="check the file") from error
    return Dataset.from_arrays(name, array, value_range=value_range, copy=False)


def load_npz(path: Path, name: str, value_range: tuple[float, float] | None = None, split: str = "train") -> Dataset:
    """Images (or points), labels and condition vectors in an .npz file, found by their usual names.

    Arrays of texts `classes` (of labels 0, 1, …) and `names` (of the numbers of the conditions) say what they mean, and
    `scales` [2, K] the means and standard deviations by which these numbers were standardised.

    Arrays `x_train`, `y_train`, `x_test`, … (Keras) and `train_images`, `train_labels`, … (MedMNIST) are splits.
    """
    where = printable(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in check_archive(archive, where)}
            headers = {}
            for key, info in members.items():
                with archive.open(info) as stream:
                    headers[key] = _read_header(stream, info.file_size, f"{where}, '{printable(key)}'")
            images, candidates = _choose_images(headers, split, where)
            labels = next((key for key in candidates if key in headers), None)
            conditions = _CONDITIONS if _CONDITIONS in headers else None
            arrays = {}
            texts = {key for key, header in headers.items() if header.dtype.kind == "U"}
            extra = [_CLASSES] if labels and _CLASSES in texts else []
            extra += [_NAMES] if conditions and _NAMES in texts else []
            extra += [_SCALES] if _NAMES in extra and _SCALES in headers else []
            for key in filter(None, (images, labels, conditions, *extra)):
                what = f"{where}, '{printable(key)}'"
                with archive.open(members[key]) as stream:
                    arrays[key] = _read_array(stream, _read_header(stream, members[key].file_size, what), what)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: not a sound .npz file: {printable(str(error))}", hint=_HINT) from error
    notes = [f"'{printable(images)}'" + (f" with labels '{printable(labels)}'" if labels else ", no labels")]
    notes += [f"condition vectors in '{_CONDITIONS}'"] if conditions else []
    unused = sorted(set(headers) - {images, labels, conditions, *extra})
    if unused:
        notes.append("not used: " + ", ".join(printable(key) for key in unused[:5]))
    return Dataset.from_arrays(
        name,
        arrays[images],
        arrays[labels] if labels else None,
        _texts(arrays.get(_CLASSES), f"{where}, '{_CLASSES}'"),
        notes=tuple(notes),
        conditions=arrays[conditions] if conditions else None,
        attributes=_attributes(arrays.get(_NAMES), arrays.get(_SCALES), where),
        value_range=value_range,
        copy=False,
    )


def _texts(array: Array | None, what: str) -> tuple[str, ...]:
    if array is None:
        return ()
    if array.ndim != 1 or len(set(array.tolist())) < len(array):
        raise InputError(f"{what}: no list of different names", hint="for instance classes=['cat', 'dog']")
    return tuple(array.tolist())


def _attributes(names: Array | None, scales: Array | None, where: str) -> tuple[Attribute, ...]:
    """The numbers of the conditions by name; those with a scale are measured, the others hold or not."""
    found = _texts(names, f"{where}, '{_NAMES}'")
    if scales is None:
        return tuple(Attribute(name) for name in found)
    if not found or scales.shape != (2, len(found)) or scales.dtype.kind != "f" or not (scales[1] > 0).all():
        raise InputError(
            f"{where}, '{_SCALES}': not a mean and a standard deviation for each of {len(found)} names",
            hint="an array of floats [2, K]",
        )
    if not np.isfinite(scales).all():
        raise InputError(f"{where}, '{_SCALES}': some values are NaN or infinite", hint="write it again")
    pairs = zip(found, *scales.astype(float).tolist(), strict=True)
    return tuple(Attribute(n, "binary" if (m, s) == (0, 1) else "number", m, s) for n, m, s in pairs)


def _choose_images(headers: dict[str, Header], split: str, where: str) -> tuple[str, tuple[str, ...]]:
    """The array of images, and the names that their labels may have."""
    splits = sorted({match[1] or match[2] for key in headers if (match := _SPLIT.fullmatch(key))})
    if split in splits:
        key = f"x_{split}" if f"x_{split}" in headers else f"{split}_images"
        return key, (f"y_{split}", f"{split}_labels")
    if split != "train":
        hint = f"its splits: {', '.join(splits)}" if splits else "splits are arrays such as x_test or test_images"
        raise InputError(f"{where} has no split '{printable(split)}'", hint=hint)
    for key in _IMAGES:
        if key in headers:
            return key, (*_LABELS, "arr_1") if key == "arr_0" else _LABELS
    for ranks in ((3, 4), (2,)):
        candidates = [key for key, header in headers.items() if len(header.shape) in ranks]
        if len(candidates) == 1:
            return candidates[0], _LABELS
    content = ", ".join(f"{printable(key)} {header.shape}" for key, header in list(headers.items())[:5]) or "nothing"
    raise InputError(f"{where}: no array is known to hold the images; it holds {content}", hint=_HINT)


def _read_header(stream: IO[bytes], size: int, what: str) -> Header:
    """Read only the header; `size` is the length of the whole stream in bytes."""
    start = stream.read(8)
    if len(start) < 8 or start[:6] != NPY_MAGIC or start[6] not in (1, 2, 3):
        raise InputError(f"{what}: not a .npy array", hint=_HINT)
    length_format = "<H" if start[6] == 1 else "<I"
    length_bytes = stream.read(struct.calcsize(length_format))
    if len(length_bytes) < struct.calcsize(length_format):
        raise InputError(f"{what}: ends within its header", hint="copy or write the file again")
    (length,) = struct.unpack(length_format, length_bytes)
    if length > _HEADER_LIMIT:
        raise InputError(f"{what}: its header of {length:,} bytes is over the limit of {_HEADER_LIMIT:,}", hint=_HINT)
    text = stream.read(length).decode("latin-1")
    # Three patterns replace a parser: only the plain headers that all writers write alike are accepted.
    dtype = re.search(r"'descr'\s*:\s*'([<>|=]?)([A-Za-z]\d*)'", text)
    order = re.search(r"'fortran_order'\s*:\s*(True|False)", text)
    dims = re.search(r"'shape'\s*:\s*\(([\d\s,]{0,200})\)", text)
    named = dtype is not None and _TEXTS.fullmatch(dtype[2]) is not None
    if dtype is None or not (named or dtype[2] in _TYPES):
        kind = "Python objects (a pickle)" if dtype and dtype[2].startswith("O") else "no plain numbers"
        raise InputError(f"{what}: the array holds {kind}: {printable(text[:60])}", hint=_HINT)
    if len(text) < length or order is None or dims is None:
        raise InputError(f"{what}: its header is broken: {printable(text[:60])}", hint=_HINT)
    shape = tuple(int(part) for part in map(str.strip, dims[1].split(",")) if part.isdigit())
    item = np.dtype((dtype[1] or "=") + dtype[2])
    declared, held = math.prod(shape) * item.itemsize, size - 8 - len(length_bytes) - length
    if named and declared > MAX_TEXT_BYTES:
        raise InputError(f"{what}: {declared:,} bytes of texts, the limit is {MAX_TEXT_BYTES:,}", hint=_HINT)
    if declared != held:
        raise InputError(
            f"{what}: declares {declared:,} bytes of shape {shape}, but holds {held:,}",
            hint="the file is cut short or was tampered with: write it again",
        )
    return Header(item, order[1] == "True", shape, declared)


def _read_array(stream: IO[bytes], header: Header, what: str) -> Array:
    buffer = allocate(header.data_bytes, what)
    done = read_into(stream, buffer)
    if done < header.data_bytes:
        raise InputError(f"{what}: ends after {done:,} of {header.data_bytes:,} bytes", hint="write the file again")
    if stream.read(1):  # in a zip this read also checks the CRC
        raise InputError(f"{what}: holds more than it declares", hint="write the file again")
    if header.dtype.kind == "U" and len(buffer) and buffer.view(f"{header.dtype.byteorder}u4").max() > sys.maxunicode:
        raise InputError(f"{what}: some of its characters are none", hint="write the file again")
    array = buffer.view(header.dtype).astype(header.dtype.newbyteorder("="), copy=False)
    return array.reshape(header.shape, order="F" if header.fortran else "C")
