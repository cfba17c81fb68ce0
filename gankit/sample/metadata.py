"""The attributes of samples as data: `metadata.csv` beside the pictures, the file of labels of a folder or zip."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import IO

from torch import Tensor

from gankit.contracts import Attribute

FILE = "metadata.csv"


def write_metadata(
    stream: IO[str],
    attributes: Sequence[Attribute],
    samples: Iterable[tuple[str, Tensor]],
    kept: Iterable[Sequence[str]],
) -> None:
    """The table: a header, rows that are kept, and a row for each sample, (file, y [K]), in the units of the data."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["file_name", *(attribute.name for attribute in attributes)])
    writer.writerows(kept)
    for name, y in samples:
        writer.writerow([name, *(_cell(a, value) for a, value in zip(attributes, y.tolist(), strict=True))])


def other_rows(stream: IO[str], names: Iterable[str]) -> Iterator[list[str]]:
    """The rows of an earlier table but for those of the samples `names`, which are made again."""
    again = set(map(_identity, names))
    rows = csv.reader(stream)
    next(rows, None)
    for row in rows:
        if row and _identity(row[0]) not in again:
            yield row


def _identity(name: str) -> tuple[str, str, int]:
    """'cats/seed000012.png' -> ('cats', 'seed', 12): the same sample, whatever its format and its number of zeros."""
    path = PurePosixPath(name)
    match = re.fullmatch(r"(\D*)([0-9]+)", path.stem)
    return str(path.parent), match[1] if match else path.stem, int(match[2]) if match else -1


def _cell(attribute: Attribute, value: float) -> str:
    value = attribute.mean + attribute.std * value
    return str(int(value)) if attribute.kind == "binary" and value in (0, 1) else f"{value:.7g}"
