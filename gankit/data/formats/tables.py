"""Files of labels as tables: CSV, TSV, columns of text, JSON and JSON Lines give a row for each file that they name."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gankit.base.text import printable
from gankit.data.formats.limits import check_memory
from gankit.errors import InputError

FILE_COLUMNS = ("file_name", "filename", "file", "image", "image_id", "path", "name", "id")
UNNAMED = "label"  # the column of a file that gives a label to each name and no more
MAX_COLUMNS = 10_000
_SHORT = 8  # characters of a cell that is kept once
_PART = 10_000  # rows that are turned into columns at a time


@dataclass(frozen=True)
class Table:
    """The rows of a file of labels: the image that each is about, and a value in each column, None or '' for none."""

    source: str
    """The name of the file, as shown to people."""
    files: Sequence[str]
    """The images as the file names them."""
    columns: Mapping[str, Sequence[Any]]
    """Texts of a CSV; of JSON any values, such as lists of tags."""


def read_table(source: str, data: bytes, where: str, is_image: Callable[[str], bool]) -> Table | None:
    """The table in a file of labels; None where it says that there are no labels.

    `is_image` tells whether a text names one of the images: a column of them needs no known name. InputError says what
    is wrong with the file.
    """
    try:
        text = data.decode("utf-8-sig")
        if source.endswith((".json", ".jsonl")):
            return _of_json(source, text, where)
        return _of_cells(source, _cells(source, text), where, is_image)
    except (ValueError, RecursionError, csv.Error) as error:
        raise InputError(f"{where} cannot be read: {printable(str(error))}", hint="write it again") from error


def _cells(source: str, text: str) -> Iterable[list[str]]:
    """The rows of a text file; cells stand between commas, semicolons, tabs or, in a .txt, blanks."""
    head = text[:10_000].splitlines()
    first = head[0] if head else ""
    if source.endswith(".txt") and first.strip().isdecimal():  # CelebA begins with the number of its images
        text = text.partition("\n")[2]
        first = head[1] if len(head) > 1 else ""
    if source.endswith(".txt") and not any(mark in first for mark in ",;\t"):
        return (line.split() for line in text.splitlines())
    tabs = source.endswith(".tsv") or (source.endswith(".txt") and "\t" in first)
    delimiter = "\t" if tabs else ";" if ";" in first and "," not in first else ","
    return ([cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter))


def _of_cells(source: str, cells: Iterable[list[str]], where: str, is_image: Callable[[str], bool]) -> Table:
    rows = (row for row in cells if any(row))
    header, second = next(rows, []), next(rows, None)
    width = max(len(header), len(second or ()))
    if width < 2:
        raise InputError(f"{where}: no table of files and labels", hint="two columns: file_name,label")
    if width > MAX_COLUMNS:
        raise InputError(f"{where}: {width:,} columns, the limit is {MAX_COLUMNS:,}", hint="keep those that matter")
    named = any(cell.lower() in FILE_COLUMNS for cell in header)
    if not named and second is not None and len(second) == len(header) + 1:  # CelebA has no name above its files
        header, named = [FILE_COLUMNS[0], *header], True
    body = [] if second is None else [second]
    if not named and width == 2:
        body, header = [header, *body], [FILE_COLUMNS[0], UNNAMED]
        pairs = [row for row in (*body, *rows) if len(row) == 2]
        return Table(source, [row[0] for row in pairs], {UNNAMED: [row[1] for row in pairs]})
    if not named and any(is_image(cell) for cell in header):
        raise InputError(f"{where}: no header line above its files", hint="name its columns: file_name,smiling,age")
    _check_names(header, where)
    columns: list[list[str]] = [[] for _ in header]
    kept: dict[str, str] = {}  # 8 million cells of -1 and 1 are two texts
    everything, number = itertools.chain(body, rows), 1
    while part := list(itertools.islice(everything, _PART)):
        for place, row in enumerate(part):
            number += 1
            if any(row[len(header) :]):
                raise InputError(
                    f"{where}: row {number:,} has {len(row)} cells, the header {len(header)}",
                    hint="put texts that hold the separator into quotes",
                )
            texts = [kept.setdefault(cell, cell) if len(cell) <= _SHORT else cell for cell in row[: len(header)]]
            part[place] = texts + [""] * (len(header) - len(texts))
        for column, values in zip(columns, zip(*part, strict=True), strict=True):
            column += values
    return _with_files(source, dict(zip(header, columns, strict=True)), where, is_image)


def _check_names(header: Sequence[str], where: str) -> None:
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{where}: two columns are called '{printable(twice)}'", hint="rename one of them")


def _of_json(source: str, text: str, where: str) -> Table | None:
    if source.endswith(".jsonl"):
        return _of_records(source, [json.loads(line) for line in text.splitlines() if line.strip()], where)
    value = json.loads(text)
    labels = value.get("labels", value) if isinstance(value, dict) else value
    if labels is None:
        return None
    if isinstance(labels, list) and labels and all(isinstance(item, dict) for item in labels):
        return _of_records(source, labels, where)
    pairs = list(labels.items()) if isinstance(labels, dict) else labels
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise InputError(f"{where}: no list of [file, label]", hint='for example {"labels": [["a.png", 0]]}')
    files, values = [str(file) for file, _ in pairs], [value for _, value in pairs]
    if not values or not any(isinstance(value, dict) for value in values):
        return Table(source, files, {UNNAMED: values})
    if not all(isinstance(value, dict) for value in values):
        raise InputError(
            f"{where}: some files have fields and some do not", hint='{"a.png": {"smiling": 1, "age": 30}}'
        )
    return Table(source, files, _fields(values, where))


def _of_records(source: str, records: Sequence[Any], where: str) -> Table:
    if not records or not all(isinstance(record, dict) for record in records):
        raise InputError(
            f"{where}: no records of files and labels", hint='a line each: {"file_name": "a.png", "label": 0}'
        )
    return _with_files(source, _fields(records, where), where, lambda _: False)


def _fields(records: Sequence[dict[str, Any]], where: str) -> dict[str, list[Any]]:
    """The columns of records, each with a value or None for every record."""
    names = dict.fromkeys(name for record in records for name in record)
    if len(names) > MAX_COLUMNS:
        raise InputError(f"{where}: {len(names):,} fields, the limit is {MAX_COLUMNS:,}", hint="keep those that matter")
    check_memory(8 * len(names) * len(records), where)
    return {name: [record.get(name) for record in records] for name in names}


def _with_files(source: str, columns: dict[str, list[Any]], where: str, is_image: Callable[[str], bool]) -> Table:
    """The table, once the column that names the files is found: by its name, the first of FILE_COLUMNS, or values."""
    known = (name for name in columns if name.lower() in FILE_COLUMNS)
    by_name = sorted(known, key=lambda name: FILE_COLUMNS.index(name.lower()))
    by_value = (name for name, cells in columns.items() if any(cell and is_image(cell) for cell in cells))
    file = next(itertools.chain(by_name, by_value), None)
    if file is None:
        raise InputError(
            f"{where}: of its columns ({printable(', '.join(list(columns)[:8]))}) none is known to hold the files",
            hint="name that column file_name, or move the file away to train without labels",
        )
    rest = {name: cells for name, cells in columns.items() if name != file}
    if not rest:
        raise InputError(f"{where}: no column of labels beside the files", hint="two columns: file_name,label")
    return Table(source, [str(value) for value in columns[file]], rest)
