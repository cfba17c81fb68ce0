"""CIFAR-10 and CIFAR-100 as their authors publish them: batches for Python (pickles) or of plain bytes.

The pickles are not unpickled (see `plain_pickle`).
"""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
import torch

from gankit.base.text import printable
from gankit.contracts import DataSpec
from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.archive import MAX_MEMBER_BYTES, ZIP_MAGIC, check_archive
from gankit.data.formats.format import Format, Request, decoded
from gankit.data.formats.layout import as_labels
from gankit.data.formats.limits import check_memory
from gankit.data.formats.pictures import kind_by_suffix
from gankit.data.formats.plain_pickle import read_plain_pickle
from gankit.errors import InputError

_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SHAPE, _PIXELS = (3, 32, 32), 3 * 32 * 32
_TARS = (".tar", ".tar.gz", ".tgz")
_LOOKED_AT = 12  # members of a tar by which it is recognised
_Part = TypeVar("_Part")
_HINT = "download it again: cifar-10-python.tar.gz, cifar-100-python.tar.gz, or the binary version of one"


@dataclass(frozen=True)
class _Edition:
    """One of the four forms in which the two sets are published."""

    title: str
    folder: str
    train: str
    """A regular expression for the names of the files of training images."""
    test: str
    names: str
    """The file of the names of the classes."""
    labels: str | int
    """The key of the labels in a pickle, or the bytes of labels before each image, of which the last counts."""
    names_key: str = ""
    batches: int = 1
    """Files of training images."""


_EDITIONS = (
    _Edition(
        "CIFAR-10", "cifar-10-batches-py", r"data_batch_\d", "test_batch", "batches.meta", "labels", "label_names", 5
    ),
    _Edition(
        "CIFAR-10", "cifar-10-batches-bin", r"data_batch_\d\.bin", r"test_batch\.bin", "batches.meta.txt", 1, "", 5
    ),
    _Edition("CIFAR-100", "cifar-100-python", "train", "test", "meta", "fine_labels", "fine_label_names"),
    _Edition("CIFAR-100", "cifar-100-binary", r"train\.bin", r"test\.bin", "fine_label_names.txt", 2),
)


def read_cifar(path: Path, name: str, split: str = "train") -> Dataset:
    """The images [3, 32, 32] of one edition and their classes; InputError for anything else."""
    where = printable(path)
    try:
        edition = _edition_of(path)
        if edition is None:
            raise InputError(f"{where}: holds no batches of CIFAR", hint=_HINT)
        if split not in ("train", "test"):
            raise InputError(f"{where} has no split '{printable(split)}'", hint="its splits: train, test")
        wanted = edition.train if split == "train" else edition.test
        files = dict(_contents(path, f"{wanted}|{re.escape(edition.names)}"))
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, ValueError, zlib.error, RuntimeError) as error:
        raise InputError(f"{where}: not a sound archive: {printable(str(error))}", hint=_HINT) from error
    names = files.pop(edition.names, None)
    if not files:
        raise InputError(f"{where}: the {split} images of {edition.title} are missing", hint=_HINT)
    batches = [_of(_batch, edition, files[batch], f"{where}, {printable(batch)}") for batch in sorted(files)]
    classes: tuple[str, ...] = _CIFAR10 if edition.title == "CIFAR-10" else ()
    if names is not None:
        classes = _of(_names, edition, names, f"{where}, {edition.names}")
    pixels = np.concatenate([pixels for pixels, _ in batches])
    labels, classes = as_labels(np.concatenate([labels for _, labels in batches]), len(pixels), classes, where)
    notes = [f"the {'training' if split == 'train' else 'test'} images of {edition.title}"]
    if split == "train" and len(files) < edition.batches:
        notes.append(f"of {edition.batches} batches only {', '.join(map(printable, sorted(files)))}")
    return Dataset(
        name=name,
        spec=DataSpec(shape=_SHAPE, classes=classes),
        samples=torch.from_numpy(pixels.reshape(-1, *_SHAPE)),
        labels=torch.from_numpy(labels),
        notes=tuple(notes),
    )


def _is_cifar(request: Request) -> bool:
    try:
        return _edition_of(request.path) is not None
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, ValueError, zlib.error, RuntimeError):
        return False  # the format that its suffix tells will say what is wrong


def _edition_of(path: Path) -> _Edition | None:
    """The edition of which a folder, a tar or a zip holds files."""
    names = set(_file_names(path))
    for edition in _EDITIONS:
        batches = any(re.fullmatch(f"{edition.train}|{edition.test}", name) for name in names)
        if batches and (edition.batches > 1 or edition.names in names):  # 'train' alone may be anything
            return edition
    return None


def _file_names(path: Path) -> Iterator[str]:
    """The names of files without their folders; of a tar only the first."""
    if path.is_dir():
        yield from (file.name for file in _home(path).iterdir() if file.is_file())
    elif path.name.lower().endswith(_TARS):
        with tarfile.open(path, "r:*") as tar:
            for _, member in zip(range(_LOOKED_AT), tar, strict=False):
                yield PurePosixPath(member.name).name
    else:
        with zipfile.ZipFile(path) as archive:
            yield from (PurePosixPath(name).name for name in archive.namelist())


def _home(path: Path) -> Path:
    """The folder itself, or the one of an edition in it if that is the only one."""
    folders = [entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    alone = len(folders) == 1 and folders[0].name in [edition.folder for edition in _EDITIONS]
    return folders[0] if alone and not any(kind_by_suffix(file.suffix.lower()) for file in path.iterdir()) else path


def _contents(path: Path, wanted: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files whose whole name matches."""
    total = 0

    def fits(name: str, size: int) -> bool:
        nonlocal total
        if not re.fullmatch(wanted, name):
            return False
        if size > MAX_MEMBER_BYTES:
            raise ValueError(f"{name} has {size:,} bytes, the limit is {MAX_MEMBER_BYTES:,}")
        total += size
        check_memory(2 * total, printable(path))
        return True

    if path.is_dir():
        for file in _home(path).iterdir():
            if file.is_file() and fits(file.name, file.stat().st_size):
                yield file.name, file.read_bytes()
    elif path.name.lower().endswith(_TARS):
        with tarfile.open(path, "r:*") as tar:  # read once from front to back, without extracting files
            for member in tar:
                name = PurePosixPath(member.name).name
                if member.isreg() and fits(name, member.size):
                    stream = tar.extractfile(member)
                    yield name, b"" if stream is None else stream.read()
    else:
        with zipfile.ZipFile(path) as archive:
            for info in check_archive(archive, printable(path)):
                name = PurePosixPath(info.filename).name
                if fits(name, info.file_size):
                    yield name, archive.read(info)


def _of(read: Callable[[_Edition, bytes], _Part], edition: _Edition, data: bytes, where: str) -> _Part:
    try:
        return read(edition, data)
    except (ValueError, KeyError) as error:
        raise InputError(f"{where}: not a file of {edition.title}: {printable(str(error))}", hint=_HINT) from error


def _batch(edition: _Edition, data: bytes) -> tuple[Array, Array]:
    """Pixels uint8 [N, 3072] and labels int64 [N]."""
    if isinstance(edition.labels, int):
        size = edition.labels + _PIXELS
        if not data or len(data) % size:
            raise ValueError(f"{len(data):,} bytes are no whole records of {size:,}")
        records = np.frombuffer(data, np.uint8).reshape(-1, size)
        return records[:, edition.labels :], records[:, edition.labels - 1].astype(np.int64)
    batch = _dict(data)
    pixels, labels = batch.get("data"), batch.get(edition.labels)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (_PIXELS,):
        raise ValueError(f"'data' is no array of bytes [N, {_PIXELS:,}]")
    if not isinstance(labels, list) or len(labels) != len(pixels) or not all(type(label) is int for label in labels):
        raise ValueError(f"'{edition.labels}' is no list of {len(pixels):,} numbers")
    return pixels, np.array([label if 0 <= label < 256 else -1 for label in labels], np.int64)


def _names(edition: _Edition, data: bytes) -> tuple[str, ...]:
    if not edition.names_key:
        return tuple(data.decode("latin1").split())
    names = _dict(data).get(edition.names_key)
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        raise ValueError(f"'{edition.names_key}' is no list of names")
    return tuple(name if isinstance(name, str) else name.decode("latin1") for name in names)


def _dict(data: bytes) -> dict[str, Any]:
    value = read_plain_pickle(data)
    if not isinstance(value, dict):
        raise ValueError("its pickle holds no dict")
    return value


CIFAR = Format(
    "CIFAR",
    "`cifar-10-batches-py/`, `cifar-100-python/`, those of the binary version, or the `.tar.gz` or a `.zip` of one",
    "images 3x32x32 with the names of their classes (the 100 fine ones); pickles are read without running them; splits "
    "`train` and `test`",
    claims=lambda request: (
        (
            request.path.is_dir()
            or request.path.name.lower().endswith(_TARS)
            or (request.suffix == ".zip" and request.start.startswith(ZIP_MAGIC))
        )
        and _is_cifar(request)
    ),
    open=decoded(lambda request: read_cifar(request.path, request.name, request.split), applies_range=False),
)
