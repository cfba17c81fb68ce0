"""How other tools arrange images: splits as folders, and labels in a file beside the images.

* `train/`, `val/` or `test/` at the top are splits and not classes.
* `dataset.json` of StyleGAN's tool: `{"labels": [["00000/img00000000.png", 6], …]}`; the folders are shards.
* `metadata.jsonl` and `metadata.csv` of image folders, `labels.csv`, `labels.tsv`, `labels.json`: a file and its label.
* `0001.cls` beside `0001.jpg`, as in the shards of WebDataset.

Where labels come from such a file, sub-folders are no classes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from gankit.base.text import plural, printable
from gankit.data.formats.pixels import BROKEN
from gankit.data.formats.sources import CLASS_SUFFIX, LABEL_FILES, ImageFiles
from gankit.errors import InputError

TRAIN = "train"
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLITS |= dict.fromkeys(("val", "valid", "validation", "dev"), "val")
_FILE_COLUMNS = ("file_name", "filename", "file", "image", "image_id", "path", "name", "id")
_LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "y")
_MAX_BYTES = 256 << 20


def arranged(files: ImageFiles, split: str = TRAIN) -> ImageFiles:
    """The images of one split with the labels that a file beside them gives; InputError for a split that is missing."""
    files = _of_split(files, split)
    found = _label_file(files)
    if found is not None:
        return _of_label_file(files, found)
    if any(name.endswith(CLASS_SUFFIX) for name in files.others):
        return _of_class_files(files)
    return files


def _of_split(files: ImageFiles, split: str) -> ImageFiles:
    tops = {name.split("/", 1)[0] for name in files.names}
    splits: dict[str, list[str]] = {}
    for top in tops:
        splits.setdefault(SPLITS.get(top.lower(), ""), []).append(top)
    inside = all("/" in name for name in files.names)
    if "" in splits or TRAIN not in splits or not inside:
        if split != TRAIN:
            raise InputError(
                f"{files.where} has no split '{printable(split)}'",
                hint="splits are folders train/ and test/ or val/; or give the path of the other images",
            )
        return files
    if split not in splits:
        known = ", ".join(sorted(splits))
        raise InputError(f"{files.where} has no split '{printable(split)}'", hint=f"its splits: {known}")
    (chosen, *more) = splits[split]
    if more:
        raise InputError(f"{files.where}: {chosen}/ and {more[0]}/ are one split", hint="rename one of them")
    prefix = f"{chosen}/"
    kept = [name.removeprefix(prefix) for name in files.names if name.startswith(prefix)]
    others = tuple(name.removeprefix(prefix) for name in files.others if name.startswith(prefix))
    rest, unused = plural(len(files.names) - len(kept), "image"), sorted(tops - {chosen})
    note = f"{prefix} is the split '{split}'" + (f"; {rest} of {', '.join(unused)} not used" if unused else "")
    return replace(
        files,
        names=kept,
        others=others,
        open=lambda name: files.open(prefix + name),
        stamp=lambda name: files.stamp(prefix + name),
        notes=(*files.notes, note),
    )


def _label_file(files: ImageFiles) -> str | None:
    found = [name for name in LABEL_FILES if name in files.others]
    if len(found) > 1:
        raise InputError(f"{files.where} holds {found[0]} and {found[1]}", hint="keep the file of labels that counts")
    return found[0] if found else None


def _bytes(files: ImageFiles, name: str) -> bytes:
    try:
        with files.open(name) as stream:
            data = stream.read(_MAX_BYTES + 1)
    except BROKEN as error:
        raise InputError(
            f"{files.where}, {printable(name)} cannot be read: {printable(str(error))}", hint="check the file"
        ) from error
    if len(data) > _MAX_BYTES:
        raise InputError(
            f"{files.where}, {printable(name)}: larger than {_MAX_BYTES >> 20} MB", hint="give a smaller file"
        )
    return data


def _pairs(files: ImageFiles, name: str) -> list[tuple[str, Any]] | None:
    """(file, label) as often as they are named; None where the file says that there are no labels."""
    where, data = f"{files.where}, {name}", _bytes(files, name)
    try:
        text = data.decode("utf-8-sig")
        if name.endswith((".csv", ".tsv")):
            return _of_table(
                list(csv.reader(io.StringIO(text), "excel-tab" if name.endswith(".tsv") else "excel")), where
            )
        if name.endswith(".jsonl"):
            return _of_records([json.loads(line) for line in text.splitlines() if line.strip()], where)
        value = json.loads(text)
    except (ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"{where} cannot be read: {printable(str(error))}", hint="write it again") from error
    labels = value.get("labels", value) if isinstance(value, dict) else value
    if labels is None:
        return None
    pairs = list(labels.items()) if isinstance(labels, dict) else labels
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise InputError(f"{where}: no list of [file, label]", hint='for example {"labels": [["a.png", 0]]}')
    return [(str(file), label) for file, label in pairs]


def _of_table(rows: Sequence[Sequence[str]], where: str) -> list[tuple[str, Any]]:
    rows = [row for row in rows if row]
    if not rows or len(rows[0]) < 2:
        raise InputError(f"{where}: no table of files and labels", hint="two columns: file_name,label")
    header = [cell.strip().lower() for cell in rows[0]]
    named = any(cell in _FILE_COLUMNS for cell in header)
    if not named and len(rows[0]) == 2:
        return [(row[0], row[1]) for row in rows if len(row) == 2]
    records = [dict(zip(header, row, strict=False)) for row in rows[1:]]
    return _of_records(records, where)


def _of_records(records: Sequence[Any], where: str) -> list[tuple[str, Any]]:
    if not records or not all(isinstance(record, dict) for record in records):
        raise InputError(
            f"{where}: no records of files and labels", hint='a line each: {"file_name": "a.png", "label": 0}'
        )
    keys = list(records[0])
    file = next((key for key in keys if str(key).lower() in _FILE_COLUMNS), None)
    label = next((key for key in keys if str(key).lower() in _LABEL_COLUMNS), None)
    rest = [key for key in keys if key != file]
    label = label if label is not None or len(rest) != 1 else rest[0]
    if file is None or label is None:
        raise InputError(
            f"{where}: of its columns ({printable(', '.join(map(str, keys[:8])))}) none is known to hold the "
            + ("files" if file is None else "labels"),
            hint="name the columns file_name and label, or move the file away to train without labels",
        )
    return [(str(record.get(file)), record.get(label)) for record in records]


def _of_class_files(files: ImageFiles) -> ImageFiles:
    """Labels from the files *.cls; WebDataset counts everything from the first dot of a name as its suffix."""

    def sample(name: str) -> str:
        folder, slash, file = name.rpartition("/")
        return f"{folder}{slash}{file.split('.', 1)[0]}"

    texts = {sample(name): _bytes(files, name) for name in files.others if name.endswith(CLASS_SUFFIX)}
    labels = [texts.get(sample(name)) for name in files.names]
    found = [None if text is None else text.decode("utf-8", "replace").strip() for text in labels]
    return _labelled(files, f"*{CLASS_SUFFIX}", found)


def _of_label_file(files: ImageFiles, source: str) -> ImageFiles:
    pairs = _pairs(files, source)
    if pairs is None:
        return replace(files, labels=(), notes=(*files.notes, f"{source} says that there are no labels"))
    # A label belongs to the file of its name; else to the one of that name with another suffix, or in some folder.
    given: dict[str, list[Any]] = {}
    for name, label in pairs:
        for form in {name, _without_suffix(name)}:
            given.setdefault(form, []).append(label)
    found: list[Any] = []
    for name in files.names:
        base = PurePosixPath(name).name
        forms = (name, _without_suffix(name), base, _without_suffix(base))
        labels = next((given[form] for form in forms if form in given), [None])
        if any(label != labels[0] for label in labels):
            raise InputError(
                f"{files.where}: {source} has two labels for '{printable(name)}'", hint="keep the one that is right"
            )
        found.append(labels[0])
    return _labelled(files, source, found)


def _labelled(files: ImageFiles, source: str, labels: Sequence[Any]) -> ImageFiles:
    """The files with their labels; InputError for a label that is missing, or neither a name nor a number."""
    missing = [name for name, label in zip(files.names, labels, strict=True) if label is None]
    if missing:
        raise InputError(
            f"{files.where}: {source} has no label for {len(missing):,} of {plural(len(labels), 'image')}, "
            f"for instance '{printable(missing[0])}'",
            hint="add them, or move the file away to train without labels",
        )
    if not all(isinstance(label, str | int) and not isinstance(label, bool) for label in labels):
        raise InputError(
            f"{files.where}: {source} has labels that are neither names nor numbers",
            hint="vectors are read from an .npz with an array 'conditions'",
        )
    return replace(files, labels=tuple(map(str, labels)), notes=(*files.notes, f"labels from {source}"))


def _without_suffix(name: str) -> str:
    return name.removesuffix(PurePosixPath(name).suffix)
