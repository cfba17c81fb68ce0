"""NumPy files, read without NumPy's reader, in which a header can cost gigabytes and objects are unpickled."""

from __future__ import annotations

import math
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from gankit.base.text import printable
from gankit.contracts import Attribute, Kind
from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.archive import ZIP_MAGIC, check_archive
from gankit.data.formats.format import Format, decoded
from gankit.data.formats.limits import allocate, read_into
from gankit.errors import InputError

_NPY_MAGIC = b"\x93NUMPY"
_HEADER_LIMIT = 10_000
_TYPES = {"b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"}
_IMAGES = ("images", "signals", "volumes", "points", "samples", "x", "X", "data", "arr_0")
_LABELS = ("labels", "y", "targets")
_SPLIT = re.compile(r"x_(\w+)|(\w+)_images")
_CONDITIONS, _RATE = "conditions", "rate"
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


def load_npy(
    path: Path, name: str, value_range: tuple[float, float] | None = None, kind: Kind | None = None
) -> Dataset:
    """Samples of any kind in one .npy file."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            array = _read_array(stream, _read_header(stream, size, printable(path)), printable(path))
    except OSError as error:
        raise InputError(f"{printable(path)}: cannot be read: {error.strerror}", hint="check the file") from error
    return Dataset.from_arrays(name, array, value_range=value_range, kind=kind, copy=False)


def read_npz(path: Path, choose: Callable[[dict[str, Header]], Sequence[str]]) -> tuple[dict[str, Array], list[str]]:
    """Some arrays of an .npz file, chosen by their headers, and the names of the others."""
    where = printable(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in check_archive(archive, where)}
            headers = {}
            for key, info in members.items():
                with archive.open(info) as stream:
                    headers[key] = _read_header(stream, info.file_size, f"{where}, '{printable(key)}'")
            arrays = {}
            for key in choose(headers):
                what = f"{where}, '{printable(key)}'"
                with archive.open(members[key]) as stream:
                    arrays[key] = _read_array(stream, _read_header(stream, members[key].file_size, what), what)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: not a sound .npz file: {printable(str(error))}", hint=_HINT) from error
    return arrays, sorted(headers.keys() - arrays.keys())


def load_npz(
    path: Path,
    name: str,
    value_range: tuple[float, float] | None = None,
    split: str = "train",
    kind: Kind | None = None,
) -> Dataset:
    """Samples, labels and condition vectors in an .npz file, found by their usual names.

    An array that is named as a kind of data (`signals`, `volumes`, `points`) holds it. `rate` is the number of steps of
    a signal in a second. Arrays `x_train`, `y_train`, `x_test`, … (Keras) and `train_images`, `train_labels`, …
    (MedMNIST) are splits. One-hot labels [N, K] are classes; labels [N, K] of several classes at once are condition
    vectors.

    Arrays of texts `classes` (of labels 0, 1, …) and `names` (of the numbers of the conditions) say what they mean, and
    `scales` [2, K] the means and standard deviations by which these numbers were standardised.
    """
    where = printable(path)
    keys: dict[str, str] = {}

    def choose(headers: dict[str, Header]) -> Sequence[str]:
        keys["images"], candidates = _choose_images(headers, split, where)
        labels = next((key for key in candidates if key in headers), None)
        if labels is not None:
            keys["labels"] = labels
        if _CONDITIONS in headers:
            keys["conditions"] = _CONDITIONS
        if _RATE in headers and headers[_RATE].shape == ():
            keys["rate"] = _RATE
        texts = {key for key, header in headers.items() if header.dtype.kind == "U"}
        if "labels" in keys and _CLASSES in texts:
            keys["classes"] = _CLASSES
        if "conditions" in keys and _NAMES in texts:
            keys["names"] = _NAMES
            if _SCALES in headers:
                keys["scales"] = _SCALES
        return list(keys.values())

    arrays, unused = read_npz(path, choose)
    labels, conditions = (arrays[keys[key]] if key in keys else None for key in ("labels", "conditions"))
    meaning = ""
    if labels is not None and labels.ndim == 2 and labels.shape[1] > 1:
        one_hot = np.isin(labels, (0, 1)).all() and (np.count_nonzero(labels, axis=1) == 1).all()
        if one_hot:
            labels, meaning = labels.argmax(axis=1), "one-hot labels became classes"
        elif conditions is None:
            labels, conditions, meaning = None, labels, "labels of several classes at once became condition vectors"
    with_labels = f" with labels '{printable(keys['labels'])}'" if "labels" in keys else ", no labels"
    notes = [f"'{printable(keys['images'])}'{with_labels}"]
    notes += [f"condition vectors in '{_CONDITIONS}'"] if "conditions" in keys else []
    notes += [meaning] if meaning else []
    if unused:
        notes.append("not used: " + ", ".join(printable(key) for key in unused[:5]))
    return Dataset.from_arrays(
        name,
        arrays[keys["images"]],
        labels,
        _texts(arrays.get(_CLASSES) if "classes" in keys else None, f"{where}, '{_CLASSES}'"),
        notes=tuple(notes),
        conditions=conditions,
        attributes=_attributes(
            arrays[_NAMES] if "names" in keys else None, arrays[_SCALES] if "scales" in keys else None, where
        ),
        value_range=value_range,
        kind=kind or _kind_named(keys["images"]),
        rate=_rate(arrays[_RATE], where) if "rate" in keys else 0,
        copy=False,
    )


def _rate(value: Array, where: str) -> int:
    rate = float(value)
    if not (0 < rate < 1e9) or rate != round(rate):
        raise InputError(f"{where}: a rate of {rate:g}", hint="steps in a second: a whole number above 0")
    return int(rate)


def _kind_named(array: str) -> Kind | None:
    """The kind of data that an array is named as; 'images' has always been the name of any samples."""
    return next((kind for kind in ("points", "signals", "volumes") if kind == array), None)


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
    for ranks in ((3, 4), (5,), (2,)):
        candidates = [key for key, header in headers.items() if len(header.shape) in ranks]
        if len(candidates) == 1:
            return candidates[0], _LABELS
    content = ", ".join(f"{printable(key)} {header.shape}" for key, header in list(headers.items())[:5]) or "nothing"
    raise InputError(f"{where}: no array is known to hold the images; it holds {content}", hint=_HINT)


def _read_header(stream: IO[bytes], size: int, what: str) -> Header:
    """Read only the header; `size` is the length of the whole stream in bytes."""
    start = stream.read(8)
    if len(start) < 8 or start[:6] != _NPY_MAGIC or start[6] not in (1, 2, 3):
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


NPY = Format(
    "npy",
    "`x.npy`",
    "uint8 images `[N, H, W]` or `[N, H, W, C]`, other numbers by their levels, or float points `[N, D]`",
    claims=lambda request: request.start.startswith(_NPY_MAGIC),
    open=decoded(lambda request: load_npy(request.path, request.name, request.how.value_range, request.how.kind)),
    splits=False,
)
NPZ = Format(
    "npz",
    "`x.npz`",
    "an array `images` (or `x`, `data`, the only one) as in an `.npy`, `labels` `[N]` or one-hot, `conditions` "
    "`[N, K]`; `x_train`, `y_train`, `x_test`, … (Keras) and `train_images`, `train_labels`, `val_images`, … "
    "(MedMNIST) are splits",
    claims=lambda request: request.suffix == ".npz" and request.start.startswith(ZIP_MAGIC),
    open=decoded(
        lambda request: load_npz(request.path, request.name, request.how.value_range, request.split, request.how.kind)
    ),
)
