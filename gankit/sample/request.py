"""The samples that are asked for: which seeds or latents, under which conditions, how edited, and their names."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from torch import Tensor

from gankit.base import progress
from gankit.sample.attributes import describe
from gankit.sample.directions import AS_THEY_ARE, Edit
from gankit.sample.generator import TrainedGenerator
from gankit.sample.latents import Latents

MAX_NAME = 120  # bytes of the name of a folder
_PART = 4096  # samples whose conditions are made at a time
SAMPLE = re.compile(r"(seed|latent)\d{6,}\.(png|wav)")  # names of single files, see `Item.name`


@dataclass(frozen=True)
class Asked:
    """Attributes that the user fixes."""

    label: str
    """As they are spelt."""
    values: dict[str, float]
    """Attribute -> its value, in the units of the data."""
    share: float
    """The share of the training data for which they hold; of numbers it knows nothing."""


class Item(NamedTuple):
    """One sample: where it lies in a folder or zip, its seed or number, and its class if it has one."""

    folder: str
    kind: Literal["seed", "latent"]
    number: int
    label: int | None
    suffix: str

    @property
    def name(self) -> str:
        """Its file in a folder or zip."""
        return f"{self.folder}{self.kind}{self.number:06d}{self.suffix}"


@dataclass(frozen=True)
class Request:
    """The samples to write: one per seed, or one per label and seed if there are labels."""

    generator: TrainedGenerator
    seeds: Sequence[int]  # or the rows of `given`
    labels: Sequence[str] = ()  # classes, or attributes; (): those of each sample depend on its seed
    condition: Tensor | None = None  # y [K] of all samples, instead of labels
    batch: int = 64
    captions: bool = False  # the seed or name below each picture of a contact sheet
    given: Latents | None = None  # latents of a file, in place of seeds
    edit: Edit = AS_THEY_ARE

    def __len__(self) -> int:
        return len(self.seeds) * max(1, len(self.labels))

    @cached_property
    def rows(self) -> list[Tensor | None]:
        """y [K] of each label, NaN where it is as in the data; one row, if there are no labels."""
        return [self.generator.condition(label) for label in self.labels] or [self.condition]

    @property
    def items(self) -> Iterator[Item]:
        """The samples, label by label."""
        generator, conditions = self.generator, self.generator.space.conditions
        suffix = ".wav" if generator.data.kind == "signals" else ".png"
        folders = class_folders(generator.data.classes if conditions and conditions.counts else self.labels)
        for place, row in enumerate(self.rows):
            for number in self.seeds:
                folder = folders[place] if self.labels else ""
                label = self._label(number, row)
                if label is not None:
                    folder = folders[label]
                kind: Literal["seed", "latent"] = "seed" if self.given is None else "latent"
                yield Item(f"{folder}/" if folder else "", kind, number, label, suffix)

    def _label(self, number: int, row: Tensor | None) -> int | None:
        """The class of a sample, where it is one of the data's."""
        conditions = self.generator.space.conditions
        if conditions is None or not conditions.counts or self.condition is not None:
            return None
        if row is not None:
            return int(row.argmax())
        if self.given is None:
            return conditions.label(number)
        return None if self.given.y is None else int(self.given.y[number].argmax())

    @property
    def captions_of_cells(self) -> list[str]:
        """What stands below each cell of a sheet."""
        names = self.given.names if self.given else ()
        return [names[item.number] if names else str(item.number) for item in self.items] if self.captions else []

    @property
    def asked(self) -> list[Asked]:
        """What the labels fix, where they are attributes."""
        conditions, attributes = self.generator.space.conditions, self.generator.data.attributes
        if conditions is None or not attributes:
            return []
        rows = zip(self.labels, self.rows, strict=False)
        return [Asked(label, describe(y, attributes), conditions.share(y)) for label, y in rows if y is not None]

    def conditions(self) -> Iterator[Tensor]:
        """y [n, K] of the samples in their order, in parts; nothing for an unconditional generator and for classes."""
        if self.generator.space.conditions is None or self.generator.space.conditions.counts:
            return
        for row in self.rows:
            for start in range(0, len(self.seeds), _PART):
                y = self._conditions(self.seeds[start : start + _PART], row)
                if y is not None:
                    yield y

    def _conditions(self, numbers: Sequence[int], row: Tensor | None) -> Tensor | None:
        """y [n, K] of some samples under a label: that of the latents where they have one and no label is asked for."""
        if self.given is None:
            return self.generator.conditions(numbers, row)
        part = self.given[list(numbers)]
        if row is None and (part.ws is not None or part.y is not None):
            return part.y
        y = self.generator.conditions(numbers, row)
        return None if y is None else part.given(y).y

    @property
    def origin(self) -> dict[str, object]:
        """The generator, for whoever finds its samples."""
        header = self.generator.header
        return {
            "variant": header.variant.name,
            "images_seen": header.images_seen,
            "weights": header.tensors_sha256,
            **self.edit.facts,
            **({} if self.given is None else {"latents": _digest(self.given)}),
        }

    @property
    def contents(self) -> dict[str, object]:
        """What all samples of a folder have in common; another generator, or another condition, gives another set."""
        return {**self.origin, "condition": None if self.condition is None else self.condition.tolist()}

    def _latents(self, size: int) -> Iterator[Latents]:
        """The latents of the samples in the order of `items`, before they are edited, in parts of one label."""
        for row in self.rows:
            if self.given is None:
                yield from self.generator.latents(self.seeds, row, batch=size)
                continue
            for start in range(0, len(self.seeds), size):
                numbers = self.seeds[start : start + size]
                part = self.given[list(numbers)]
                y = self._conditions(numbers, row)
                yield part if y is None else part.given(y)

    def samples(self) -> Iterator[Tensor]:
        """The samples in the order of `items`, in batches, as data sets store them."""
        done = 0
        for latents in self._latents(self.batch):
            yield self.generator.render(self.edit(latents, self.generator), batch=self.batch)
            done += len(latents)
            progress.tell("sampling", done, len(self))

    def provenance(self, item: Item | None = None) -> str:
        """The text chunk of a picture: the generator, the seeds and the labels of its samples."""
        seeds = self.seeds
        one = item.number if item is not None else seeds[0] if len(seeds) == 1 else None
        key = "seed" if self.given is None else "latent"
        shown: dict[str, object] = {key: one if one is not None else [seeds[0], seeds[-1], len(seeds)]}
        if item is not None and item.label is not None:
            shown["label"] = item.label
        elif self.labels and self.generator.data.attributes:
            shown["label"] = list(self.labels) if item is None else item.folder.removesuffix("/")
        elif self.labels:
            shown["label"] = [self.generator.label_of(label) for label in self.labels]
        return json.dumps({**self.origin, **shown})


def _digest(latents: Latents) -> str:
    """sha256 of the numbers, in hex."""
    tensors = (tensor for tensor in (latents.z, latents.y, latents.ws) if tensor is not None)
    return hashlib.sha256(b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)).hexdigest()


def class_folders(classes: Sequence[str]) -> list[str]:
    """Names of folders for classes: their own names where all of them can name folders, else class0, class1, …"""
    plain = all(
        re.fullmatch(r"[^./\\\0][^/\\\0]*", name) and len(os.fsencode(name)) <= MAX_NAME and name.isprintable()
        for name in classes
    )
    distinct = len({name.casefold() for name in classes}) == len(classes)  # some file systems have one case
    return list(classes) if plain and distinct else [f"class{number}" for number in range(len(classes))]
