"""The labels of images: a class each, or a vector of named numbers; from folders, or from columns of a table."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

import numpy as np

from gankit.base.text import did_you_mean, plural, printable
from gankit.contracts import Attribute
from gankit.data.formats import Array
from gankit.data.formats.columns import Column, Kind, is_missing, names_each, read_column, unusable
from gankit.errors import InputError
from gankit.game.conditions import MAX_CONDITION

LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "y")
SPLIT_COLUMNS = ("split", "partition", "subset", "fold")
_NAMED = 8  # columns that a note names


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of each of N images: its class, or a vector; neither where there are no labels."""

    classes: tuple[str, ...] = ()
    """Names of the classes."""
    numbers: Array | None = None
    """The class of each image, int64 [N]."""
    attributes: tuple[Attribute, ...] = ()
    """Names of the numbers of the vectors."""
    vectors: Array | None = None
    """The condition vector of each image, float32 [N, K]."""
    columns: tuple[str, ...] = ()
    """The columns that they come from, if they come from a file."""
    notes: tuple[str, ...] = ()
    """What was inferred, or left out."""

    @classmethod
    def named(cls, column: Column, note: str) -> Labels:
        """The values of a column as classes."""
        return cls(column.names, column.places, columns=(column.name,), notes=(note, *_alike(column.names)))

    def of(self, rows: Sequence[int]) -> Labels:
        """The labels of some of the images; classes that have none of them are dropped."""
        vectors = None if self.vectors is None else self.vectors[rows]
        if self.numbers is None:
            return replace(self, vectors=vectors)
        present, numbers = np.unique(self.numbers[rows], return_inverse=True)
        classes = tuple(self.classes[number] for number in present)
        return replace(self, classes=classes, numbers=numbers.astype(np.int64), vectors=vectors)

    def digest(self) -> str:
        """sha256 (hex) of everything that training uses of them."""
        digest = hashlib.sha256(repr((self.classes, [asdict(a) for a in self.attributes])).encode("utf-8", "replace"))
        for array in (self.numbers, self.vectors):
            digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def of_folders(names: Sequence[str], where: str) -> Labels:
    """The first folders of image files are their classes; InputError where some files are in none."""
    inside = [name.split("/", 1)[0] for name in names if "/" in name]
    if not inside:
        return Labels()
    if len(inside) < len(names):
        loose = next(name for name in names if "/" not in name)
        raise InputError(
            f"{where}: holds images both directly ('{printable(loose)}' and "
            f"{len(names) - len(inside) - 1:,} more) and in sub-folders ({len(inside):,})",
            hint="sub-folders are classes: move the loose images into one, or give a folder without sub-folders",
        )
    folders = sorted(set(inside), key=os.fsencode)
    numbers = {folder: number for number, folder in enumerate(folders)}
    # Class names are stored as JSON: bytes that are not UTF-8 are written as \\xff.
    classes = tuple(os.fsencode(folder).decode("utf-8", "backslashreplace") for folder in folders)
    return Labels(classes, np.array([numbers[folder] for folder in inside], np.int64), notes=_alike(classes))


@dataclass(frozen=True)
class Columns:
    """The columns of a file of labels, with a value for each image; None for no value."""

    where: str
    """The data set, as shown to people."""
    source: str
    """The file, as shown to people."""
    images: Sequence[str]
    """The names of the images."""
    values: Mapping[str, Sequence[Any]]
    """Column -> its values; or a text, the reason why it has none that could be used."""
    orders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Column -> its classes in their order, where that is known."""

    def labels(self, chosen: Sequence[str] | None = None) -> Labels:
        """The labels in them.

        One column is the class of each image; of several, the one whose name says so. Otherwise all that are yes or no,
        numbers, tags, or choices between a few values make a vector, and notes name the rest. `chosen` are columns as
        the user names them: 'age', or 'age:number' and 'digit:class' where that is not what they would be taken for.
        InputError for a label that is missing, and for a chosen column that cannot be used.
        """
        if chosen is not None:
            found = [self._chosen(name) for name in chosen]
            twice = next((column.name for column in found if sum(column.name == c.name for c in found) > 1), None)
            if twice is not None:
                raise InputError(f"--labels names '{printable(twice)}' twice", hint="name each column once")
            return self._single(found[0]) if len(found) == 1 else self._vector(found)
        called = (name for name in self.values if name.lower() in LABEL_COLUMNS)
        label = next((name for name in called if not isinstance(self.values[name], str)), None)
        if label is not None:
            others = [name for name in self.values if name != label]
            unused = (f"not used of {self.source}: {listed(others)} (--labels chooses)",) if others else ()
            return _noted(self._single(self._read(label)), unused)
        if len(self.values) == 1 and not isinstance(next(iter(self.values.values())), str):
            column = self._read(next(iter(self.values)))
            reason = names_each(column)
            return self._left_out([f"{column.name} ({reason})"]) if reason else self._single(column)
        return self._several()

    def _several(self) -> Labels:
        usable: list[Column] = []
        reasons = []
        for name, values in self.values.items():
            reason = "no name" if not name else "a split" if name.lower() in SPLIT_COLUMNS else ""
            found = reason or read_column(name, values, self.orders.get(name, ()))
            found = found if isinstance(found, str) else unusable(found) or found
            if not isinstance(found, str) and sum(column.width for column in usable) + found.width > MAX_CONDITION:
                found = f"more than {MAX_CONDITION:,} numbers in all"
            if isinstance(found, str):
                reasons.append(f"{name} ({found})")
            else:
                usable.append(found)
        left_out = self._left_out(reasons)
        if not usable:
            return left_out
        alone = len(usable) == 1 and usable[0].kind in ("class", "binary")
        return _noted(self._single(usable[0]) if alone else self._vector(usable), left_out.notes)

    def _left_out(self, reasons: Sequence[str]) -> Labels:
        return Labels(notes=(f"left out of {self.source}: {listed(reasons)}",) if reasons else ())

    def _chosen(self, spelt: str) -> Column:
        """A column that the user names, with its kind behind a colon if they say it."""
        name, _, kind = spelt.rpartition(":")
        if spelt in self.values or kind not in ("number", "class"):
            name, kind = spelt, ""
        same = [column for column in self.values if column.casefold() == name.casefold()]
        name = name if name in self.values else same[0] if len(same) == 1 else name
        if name not in self.values:
            known = [printable(column) for column in self.values]
            raise InputError(
                f"{self.where}: {self.source} has no column '{printable(name)}' for --labels",
                hint=f"{did_you_mean(name, known)}its columns: {listed(known)}",
            )
        column = self._read(name, cast(Kind, kind) if kind else None)
        if kind and column.kind != kind:
            raise InputError(
                f"{self.where}: column '{printable(name)}' of {self.source} holds {column.describe()}, no {kind}",
                hint=f"leave out :{kind}",
            )
        return replace(column, whole=column.whole and not kind)

    def _read(self, name: str, kind: Kind | None = None) -> Column:
        """A column that has to be usable."""
        values = self.values[name]
        found = read_column(name, values, self.orders.get(name, ()), kind)
        if isinstance(found, str):
            cells = () if isinstance(values, str) else zip(self.images, values, strict=True)
            missing = [image for image, value in cells if is_missing(value)]
            if missing:
                column = self.source if len(self.values) == 1 else f"column '{printable(name)}' of {self.source}"
                raise no_label(self.where, column, missing, len(values))
            raise InputError(
                f"{self.where}: column '{printable(name)}' of {self.source} cannot be a label: {found}",
                hint="--labels chooses other columns; or move the file away to train without labels",
            )
        return found

    def _single(self, column: Column) -> Labels:
        """One column alone: classes, unless it holds tags, vectors or numbers that are not whole."""
        if column.kind in ("tags", "vector") or (column.kind == "number" and not column.whole):
            return self._vector([column])
        of = f"{column.name} of " if len(self.values) > 1 else ""
        return Labels.named(column, f"labels from {of}{self.source}")

    def _vector(self, columns: Sequence[Column]) -> Labels:
        """Several columns together: a vector of all their numbers."""
        width = sum(column.width for column in columns)
        if width > MAX_CONDITION:
            raise InputError(
                f"{self.where}: condition vectors of {width:,} numbers: the limit is {MAX_CONDITION:,}",
                hint="choose fewer columns with --labels",
            )
        taken = frozenset(column.name for column in columns)
        named = [column.attributes(taken) for column in columns]
        attributes = tuple(attribute for names, _ in named for attribute in names)
        twice = Counter(attribute.name for attribute in attributes).most_common(1)[0]
        if twice[1] > 1:
            raise InputError(
                f"{self.where}: {self.source} gives two numbers the name '{printable(twice[0])}'",
                hint="rename a column, or choose some with --labels",
            )
        note = f"attributes from {self.source}: {listed([column.describe() for column in columns])}"
        vectors = np.concatenate([numbers for _, numbers in named], axis=1)
        return Labels(
            attributes=attributes, vectors=vectors, columns=tuple(column.name for column in columns), notes=(note,)
        )


def no_label(where: str, source: str, missing: Sequence[str], count: int) -> InputError:
    """The error for images of `count` that a file of labels does not name."""
    return InputError(
        f"{where}: {source} has no label for {len(missing):,} of {plural(count, 'image')}, "
        f"for instance '{printable(missing[0])}'",
        hint="add them, or move the file away to train without labels",
    )


def listed(names: Sequence[str]) -> str:
    """'a, b, … and 12 more', for people."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return printable(", ".join(name[:80] for name in names[:_NAMED])) + more


def _noted(labels: Labels, notes: tuple[str, ...]) -> Labels:
    return replace(labels, notes=(*labels.notes, *notes))


def _alike(classes: tuple[str, ...]) -> tuple[str, ...]:
    """A note on the first two names that look the same."""
    by_form: dict[str, str] = {}
    for name in classes:
        form = unicodedata.normalize("NFC", name).casefold()
        if form in by_form:
            return (f"classes '{by_form[form]}' and '{name}' differ only by case or Unicode form",)
        by_form[form] = name
    return ()
