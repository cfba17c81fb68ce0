"""The attributes of samples as data: `metadata.csv` beside the pictures, the file of labels of a folder or zip."""

from __future__ import annotations

import csv
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


def other_rows(stream: IO[str], folders: Iterable[str], seeds: Iterable[int]) -> Iterator[list[str]]:
    """The rows of an earlier table but for those of samples that are made again."""
    again, numbers = set(folders), set(seeds)
    rows = csv.reader(stream)
    next(rows, None)
    for row in rows:
        path = PurePosixPath(row[0] if row else "")
        folder = f"{path.parent}/" if path.parent.name else ""
        seed = path.stem.removeprefix("seed")
        if not (folder in again and seed.isdecimal() and int(seed) in numbers):
            yield row


def _cell(attribute: Attribute, value: float) -> str:
    value = attribute.mean + attribute.std * value
    return str(int(value)) if attribute.kind == "binary" and value in (0, 1) else f"{value:.7g}"
