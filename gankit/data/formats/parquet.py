"""Parquet files with a column of encoded images, such as Hugging Face's: splits and shards by their names.

A column of images is binary, or a struct of `bytes` and `path`. The other columns are labels, like those of a file of
labels; the names of a `ClassLabel` are in the metadata of the schema, under the key `huggingface`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gankit.base.text import plural, printable
from gankit.data.formats.archive import MAX_ENTRIES
from gankit.data.formats.arrangement import SPLITS, TRAIN
from gankit.data.formats.labels import Columns, listed
from gankit.data.formats.pictures import kind_by_suffix
from gankit.data.formats.shards import WRITE_AGAIN, ImageColumn, Shard, reading
from gankit.data.formats.sources import ImageFiles
from gankit.errors import InputError

SUFFIX = ".parquet"
PARQUET_MAGIC = b"PAR1"
_DEPTH = 3  # folders below the one that is given
_COLUMN_BYTES = 256 << 20  # of a column of labels
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})")
_NAMED = re.compile(rf"({'|'.join(SPLITS)})[-_.]?\d*", re.IGNORECASE)
_LABELS = 1 << 16  # rows of a column of labels that are read at a time


def find_shards(folder: Path) -> list[Path]:
    """The Parquet files in a folder and some levels below it; none where there are images, to which they belong."""
    found: list[Path] = []
    level = [folder]
    try:
        for _ in range(_DEPTH):
            entries = sorted(path for parent in level for path in parent.iterdir() if not path.name.startswith("."))
            if any(kind_by_suffix(path.suffix.lower()) is not None for path in entries):
                return []
            found += [path for path in entries if path.suffix.lower() == SUFFIX and path.is_file()]
            level = [path for path in entries if path.is_dir() and not path.is_symlink()]
    except OSError:  # whoever lists the images will say it
        return []
    return found


@contextmanager
def parquet_files(
    paths: Sequence[Path],
    folder: Path | None,
    split: str,
    chosen: Sequence[str] | None = None,
    image_column: str | None = None,
) -> Iterator[ImageFiles]:
    """The images of one split in Parquet files below a folder, or in a single file, with their labels.

    `chosen` are the columns that count as labels, `image_column` is the one of the images. ResourceError without
    pyarrow; InputError for a file that is damaged, and for a column that is missing or ambiguous.
    """
    where = printable(folder or paths[0])
    notes: tuple[str, ...] = ()
    if folder is not None:
        paths, notes = _of_split(paths, folder, split)
    elif split != TRAIN:
        raise InputError(f"{where} has no split '{printable(split)}'", hint="give the path of the other images")
    elif (part := _SHARD.fullmatch(paths[0].stem)) is not None and int(part[3]) > 1:
        notes = (f"shard {int(part[2]) + 1:,} of {int(part[3]):,}",)
    shards = [Shard.read(path) for path in paths]
    rows = sum(shard.rows for shard in shards)
    if not 0 < rows <= MAX_ENTRIES:
        raise InputError(f"{where}: {rows:,} rows of images", hint=f"1 to {MAX_ENTRIES:,}")
    column = _image_column(shards[0], where, image_column)
    for shard in shards[1:]:
        if column not in shard.columns:
            raise InputError(f"{shard.where} has no column '{printable(column)}' as the others do", hint=WRITE_AGAIN)
    names = [f"{shard.name}, row {row}" for shard in shards for row in range(shard.rows)]
    reader = ImageColumn(shards, column)
    values = _Values(shards, column)
    labels = Columns(where, f"*{SUFFIX}", names, values, values.orders).labels(chosen)
    places = {name: place for place, name in enumerate(names)}
    dates = [shard.stamp for shard in shards for _ in range(shard.rows)]
    notes = (f"images from column {printable(column)}", *notes)
    yield ImageFiles(
        where, names, lambda name: reader.open(places[name]), lambda name: dates[places[name]], notes, labels=labels
    )


def _of_split(paths: Sequence[Path], folder: Path, split: str) -> tuple[Sequence[Path], tuple[str, ...]]:
    """The files of a split, by the names of files and folders; all of them where none names a split."""
    splits: dict[str, list[Path]] = {}
    for path in paths:
        splits.setdefault(_split_name(path.relative_to(folder)), []).append(path)
    where = printable(folder)
    if list(splits) == [""] or (split == TRAIN and len(splits) == 1):
        if split != TRAIN:
            raise InputError(f"{where} has no split '{printable(split)}'", hint="its files name no splits")
        found = list(paths)
    elif split not in splits:
        known = ", ".join(sorted(name or "files that name no split" for name in splits))
        raise InputError(f"{where} has no split '{printable(split)}'", hint=f"its splits: {known}")
    else:
        found = splits[split]
    _check_complete(found)
    others = sorted(path.name for path in paths if path not in set(found))
    files = f"{plural(len(found), 'Parquet file')}"
    return found, (f"{files} of split '{split}'; not used: {listed(others)}" if others else files,)


def _split_name(path: Path) -> str:
    """'train' of data/train-00000-of-00002.parquet and of train/0000.parquet; '' of a file that names no split."""
    shard = _SHARD.fullmatch(path.stem)
    if shard is not None:
        return SPLITS.get(shard[1].lower(), shard[1])
    named = _NAMED.fullmatch(path.stem)
    folders = [SPLITS[part.lower()] for part in path.parts[:-1] if part.lower() in SPLITS]
    return SPLITS[named[1].lower()] if named is not None else folders[-1] if folders else ""


def _check_complete(paths: Sequence[Path]) -> None:
    """InputError where one of several shards is missing: a part of the data is not the data."""
    sets: dict[tuple[str, str], set[int]] = {}
    for path in paths:
        shard = _SHARD.fullmatch(path.stem)
        if shard is not None:
            sets.setdefault((str(path.parent / shard[1]), shard[3]), set()).add(int(shard[2]))
    for (stem, count), numbers in sets.items():
        missing = next((number for number in range(int(count)) if number not in numbers), None)
        if missing is not None:
            raise InputError(
                f"{printable(f'{stem}-{missing:05d}-of-{count}{SUFFIX}')} is missing",
                hint="put it beside the others, or give the path of one file",
            )


def _image_column(shard: Shard, where: str, chosen: str | None) -> str:
    """The column of the images: the user's, or the only one; Hugging Face's metadata say which columns are images."""
    possible = [name for name in shard.columns if _holds_images(shard.schema.field(name).type)]
    if chosen is not None:
        if chosen not in possible:
            what = f"column '{printable(chosen)}' holds no images" if chosen in shard.columns else "no such column"
            raise InputError(f"{where}: {what} for --image-column", hint=f"its columns: {listed(shard.columns)}")
        return chosen
    called = [name for name in possible if _kind(shard.features.get(name)) == "Image"]
    structs = [name for name in possible if str(shard.schema.field(name).type).startswith("struct")]
    found = called or structs or possible
    if not found:
        raise InputError(
            f"{where}: none of its columns holds images: {listed(shard.columns)}",
            hint="a column of encoded images: binary, or a struct of bytes and path",
        )
    if len(found) > 1:
        raise InputError(f"{where}: columns {listed(found)} hold images", hint=f"choose one: --image-column {found[0]}")
    return found[0]


def _holds_images(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        return "bytes" in names and _holds_images(kind.field(names.index("bytes")).type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _kind(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


class _Values(Mapping[str, Sequence[Any]]):
    """The columns of labels, each read when it is asked for; a text says why one has no values that could be used."""

    def __init__(self, shards: Sequence[Shard], images: str) -> None:
        self.shards = shards
        self.names = [name for name in shards[0].columns if name != images]
        orders = {name: _class_names(shards[0].features.get(name)) for name in self.names}
        self.orders = {name: order for name, order in orders.items() if order}

    def __getitem__(self, name: str) -> Sequence[Any]:
        kind = self.shards[0].schema.field(name).type
        if not _may_be_label(kind):
            return f"of type {printable(str(kind))[:50]}"
        kept: dict[Any, Any] = {}  # a text that comes often is held once
        values: list[Any] = []
        for shard in self.shards:
            if name not in shard.columns:
                raise InputError(f"{shard.where} has no column '{printable(name)}' as the others do", hint=WRITE_AGAIN)
            before = len(values)
            with reading(shard.path):
                for array in shard.arrays(shard.leaves(name), _LABELS):
                    found = array.to_pylist()
                    values += [kept.setdefault(value, value) if isinstance(value, str) else value for value in found]
                    if sum(map(len, kept)) > _COLUMN_BYTES:
                        return f"more than {_COLUMN_BYTES >> 20} MB of texts"
                if len(values) - before != shard.rows:
                    raise ValueError(f"column '{name}' has {len(values) - before:,} of {shard.rows:,} rows")
        if name in self.orders:
            values = [self._named(name, self.orders[name], value) for value in values]
        return "no value" if all(value is None for value in values) else values

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def _named(self, name: str, order: Sequence[str], value: Any) -> Any:
        """The class of a number, or the classes of several; -1 stands for no label."""
        if isinstance(value, list):
            return [self._named(name, order, item) for item in value]
        if value is None or value == -1:
            return None
        if not isinstance(value, int) or not 0 <= value < len(order):
            raise InputError(
                f"{self.shards[0].where}: column '{printable(name)}' has {len(order):,} classes "
                f"and holds {value!r:.50}",
                hint="classes are numbered from 0",
            )
        return order[value]


def _may_be_label(kind: Any) -> bool:
    """Whether a column has texts, numbers, or lists of them."""
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind):
        return not types.is_nested(kind.value_type) and _may_be_label(kind.value_type)
    if types.is_dictionary(kind):
        return _may_be_label(kind.value_type)
    tests = (types.is_boolean, types.is_integer, types.is_floating, types.is_string, types.is_large_string)
    return any(test(kind) for test in tests)


def _class_names(feature: Any) -> tuple[str, ...]:
    """The names of the classes of a `ClassLabel`, or of a list of them."""
    if isinstance(feature, list) and len(feature) == 1:
        return _class_names(feature[0])
    if _kind(feature) in ("Sequence", "List", "LargeList"):
        return _class_names(feature.get("feature"))
    names = feature.get("names") if _kind(feature) == "ClassLabel" else None
    different = (
        isinstance(names, list) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    )
    return tuple(names) if different and isinstance(names, list) else ()
