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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from gankit.base.text import plural, printable
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
        return _with_labels(files, found, _read(files, found))
    if any(name.endswith(CLASS_SUFFIX) for name in files.others):
        return _with_labels(files, f"*{CLASS_SUFFIX}", dict(_class_files(files)))
    return files


def _of_split(files: ImageFiles, split: str) -> ImageFiles:
    tops = {name.split("/", 1)[0] for name in files.names}
    splits: dict[str, list[str]] = {}
    for top in tops:
        splits.setdefault(SPLITS.get(top.lower(), ""), []).append(top)
    inside = all("/" in name for name in files.names)
    if "" in splits or TRAIN not in splits or len(tops) < 2 or not inside:
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
    rest = plural(len(files.names) - len(kept), "image")
    note = f"{prefix} is the split '{split}'; {rest} of {', '.join(sorted(tops - {chosen}))} not used"
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


def _read(files: ImageFiles, name: str) -> Mapping[str, Any] | None:
    """File name -> label; None where the file says that there are no labels."""
    where = f"{files.where}, {name}"
    with files.open(name) as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise InputError(f"{where}: larger than {_MAX_BYTES >> 20} MB", hint="give a smaller file of labels")
    try:
        text = data.decode("utf-8-sig")
        if name.endswith((".csv", ".tsv")):
            return _of_table(
                list(csv.reader(io.StringIO(text), delimiter="\t" if name.endswith(".tsv") else ",")), where
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
    return {str(file): label for file, label in pairs}


def _of_table(rows: Sequence[Sequence[str]], where: str) -> Mapping[str, Any]:
    rows = [row for row in rows if row]
    if not rows or len(rows[0]) < 2:
        raise InputError(f"{where}: no table of files and labels", hint="two columns: file_name,label")
    header = [cell.strip().lower() for cell in rows[0]]
    named = any(cell in _FILE_COLUMNS for cell in header)
    if not named and len(rows[0]) == 2:
        return {row[0]: row[1] for row in rows if len(row) == 2}
    records = [dict(zip(header, row, strict=False)) for row in rows[1:]]
    return _of_records(records, where)


def _of_records(records: Sequence[Any], where: str) -> Mapping[str, Any]:
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
    return {str(record.get(file)): record.get(label) for record in records}


def _class_files(files: ImageFiles) -> Iterator[tuple[str, str]]:
    """(name without suffixes, label) of the files *.cls."""
    for name in files.others:
        if name.endswith(CLASS_SUFFIX):
            with files.open(name) as stream:
                yield _stem(name), stream.read(1024).decode("utf-8", "replace").strip()


def _with_labels(files: ImageFiles, source: str, labels: Mapping[str, Any] | None) -> ImageFiles:
    if labels is None:
        return replace(files, labels=(), notes=(*files.notes, f"{source} says that there are no labels"))
    by_stem = {_stem(name): label for name, label in labels.items()}
    found = [
        labels.get(name, by_stem.get(_stem(name), by_stem.get(PurePosixPath(_stem(name)).name))) for name in files.names
    ]
    missing = [name for name, label in zip(files.names, found, strict=True) if label is None]
    if missing:
        raise InputError(
            f"{files.where}: {source} has no label for {len(missing):,} of {plural(len(found), 'image')}, for instance "
            f"'{printable(missing[0])}'",
            hint="add them, or move the file away to train without labels",
        )
    if not all(isinstance(label, str | int) and not isinstance(label, bool) for label in found):
        raise InputError(
            f"{files.where}: {source} has labels that are neither names nor numbers",
            hint="vectors are read from an .npz with an array 'conditions'",
        )
    return replace(files, labels=tuple(map(str, found)), notes=(*files.notes, f"labels from {source}"))


def _stem(name: str) -> str:
    """'a/b.c.png' -> 'a/b': WebDataset counts everything from the first dot of the file as its suffix."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.split('.', 1)[0]}"
