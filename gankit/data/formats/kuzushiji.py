"""Kuzushiji-49 and KMNIST as arrays, in two files: `k49-train-imgs.npz` and `k49-train-labels.npz`."""

from __future__ import annotations

import re
from pathlib import Path

from gankit.base.text import printable
from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.arrays import read_npz
from gankit.data.formats.format import Format, Request, decoded
from gankit.errors import InputError

_IMAGES = re.compile(r"(?P<set>[\w-]+)-(?P<part>train|test)-imgs\.npz")


def _image_files(path: Path) -> list[Path]:
    """The file itself, or the files of images in a folder."""
    found = [path] if not path.is_dir() else sorted(entry for entry in path.iterdir() if entry.is_file())
    return [file for file in found if _IMAGES.fullmatch(file.name)]


def _load(request: Request) -> Dataset:
    files = _image_files(request.path)
    sets = sorted({name.rsplit("-", 2)[0] for name in (file.name for file in files)})
    if len(sets) > 1:
        raise InputError(
            f"{printable(request.path)} holds {len(sets)} sets: {', '.join(map(printable, sets))}",
            hint=f"give the file of one: --data {printable(files[0])}",
        )
    named = files[0].with_name(f"{sets[0]}-{request.split}-imgs.npz")
    images = files[0] if request.split == "train" and not request.path.is_dir() else named
    if not images.is_file() or request.split not in ("train", "test"):
        raise InputError(
            f"{printable(request.path)} has no split '{printable(request.split)}'",
            hint="its splits are …-train-imgs.npz and …-test-imgs.npz",
        )
    beside = images.with_name(images.name.replace("-imgs", "-labels"))
    labels = _only_array(beside) if beside.is_file() else None
    notes = (printable(images.name), "no label file beside it") if labels is None else (printable(images.name),)
    return Dataset.from_arrays(
        request.name,
        _only_array(images),
        labels,
        notes=notes,
        value_range=request.how.value_range,
        copy=False,
    )


def _only_array(path: Path) -> Array:
    arrays, _ = read_npz(path, lambda headers: list(headers)[:1])
    if not arrays:
        raise InputError(f"{printable(path)} holds no array", hint="download it again")
    return next(iter(arrays.values()))


KUZUSHIJI = Format(
    "Kuzushiji",
    "`k49-train-imgs.npz` and `k49-train-labels.npz` or a folder of them; also `kmnist-…`",
    "grey images and their classes; `…-test-imgs.npz` is the split `test`",
    claims=lambda request: bool(_image_files(request.path)),
    open=decoded(_load),
)
