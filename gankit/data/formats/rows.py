"""A set of images that are not decoded yet: rows are decoded into memory at once, or part by part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.levels import Levels, levels_of_bytes
from gankit.data.formats.limits import allocate


class Rows(Protocol):
    """Images that can be decoded in any order; some may turn out to be unreadable."""

    @property
    def where(self) -> str:
        """The source, as shown to people."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        ...

    @property
    def infers_levels(self) -> bool:
        """Whether levels are inferred from the decoded images (see `stretch`)."""
        ...

    def __len__(self) -> int: ...

    def identity(self) -> str:
        """sha256 (hex) of everything that determines the pixels: equal identities decode to equal rows."""
        ...

    def decode(self, rows: range, into: Array) -> dict[int, str]:
        """Decode some rows into uint8 [len(rows), *shape], from its start and without gaps.

        Returns the rows that could not be decoded, each with the reason.
        """
        ...

    def check(self, broken: Mapping[int, str]) -> None:
        """InputError for rows that could not be decoded, unless such rows are skipped."""
        ...

    def dataset(self, samples: Tensor, broken: Mapping[int, str]) -> Dataset:
        """The data set of all decoded rows `samples`, uint8 [len(self) - len(broken), *shape]."""
        ...


def load_rows(rows: Rows) -> Dataset:
    """All rows decoded into memory; ResourceError before decoding if they do not fit."""
    shape = (len(rows), *rows.shape)
    samples = allocate(math.prod(shape), rows.where).reshape(shape)
    broken = rows.decode(range(len(rows)), samples)
    rows.check(broken)
    samples = samples[: len(rows) - len(broken)]
    dataset = rows.dataset(torch.from_numpy(samples), broken)
    return with_levels(dataset, stretch(samples)) if rows.infers_levels else dataset


def stretch(images: Array) -> Levels:
    """Stretch decoded images, uint8 [N, C, H, W], in place if they use a small part of the range -> how it was done."""
    levels = levels_of_bytes(images)
    if not levels.unchanged:
        table = levels.table
        for image in images:
            image[:3] = table[image[:3]]
    return levels


def with_levels(dataset: Dataset, levels: Levels) -> Dataset:
    """The data set, whose decoded images have been stretched."""
    if levels.unchanged:
        return dataset
    ends = levels.ends if dataset.levels == (0, 255) else None
    return replace(dataset, notes=(*dataset.notes, levels.note), levels=ends)
