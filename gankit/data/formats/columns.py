"""What a column of labels is: yes or no, a number, a class, tags, a vector; or why it is none of these."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gankit.base.text import plural, printable
from gankit.contracts import Attribute
from gankit.data.formats import Array
from gankit.data.formats.limits import check_memory
from gankit.game.conditions import MAX_CONDITION

FEW = 64  # values that a column of texts may have however few images there are
MAX_NAME = 200  # characters of a column, tag or value
_BINARY = ({0.0, 1.0}, {-1.0, 1.0})
_WORDS = ({"false", "true"}, {"no", "yes"})

MAX_NUMBER = 1e30
_NOUNS = {"class": "value", "tags": "tag", "vector": "number"}

Kind = Literal["binary", "number", "class", "tags", "vector"]


@dataclass(frozen=True, eq=False)
class Column:
    """One column of labels, with a value for each of N images."""

    name: str
    kind: Kind
    count: int
    """N."""
    names: tuple[str, ...] = ()
    """The tags; of other columns their different values as texts, in order: the classes that they would make."""
    places: Array = field(default_factory=lambda: np.empty(0, np.int64))
    """The class of each image, int64 [N]; of tags the images and the tags that go together, int64 [M, 2]."""
    numbers: Array = field(default_factory=lambda: np.empty((0, 0)))
    """0 or 1 of a binary column, or numbers: float64 [N, 1]; of vectors [N, K]."""
    whole: bool = False
    """Whether all numbers are whole."""

    @property
    def width(self) -> int:
        """The numbers that it adds to a condition vector."""
        return len(self.names) if self.kind in ("class", "tags") else int(self.numbers.shape[1])

    def describe(self) -> str:
        """'age (a number, mean 31.5, std 12)', for people."""
        if self.kind == "number":
            (attribute,), _ = self.attributes()
            return f"{self.name} (a number, mean {attribute.mean:.4g}, std {attribute.std:.4g})"
        return self.name if self.kind == "binary" else f"{self.name} ({plural(self.width, _NOUNS[self.kind])})"

    def attributes(self, taken: frozenset[str] = frozenset()) -> tuple[tuple[Attribute, ...], Array]:
        """Names of its numbers and the numbers, float32 [N, width]. Tags bear their column's name if one is `taken`."""
        check_memory(4 * self.count * self.width, f"column '{printable(self.name)}'")
        if self.kind == "number":
            mean, std = float(self.numbers.mean()), float(self.numbers.std()) or 1.0
            return (Attribute(self.name, "number", mean, std),), ((self.numbers - mean) / std).astype(np.float32)
        if self.kind == "vector":
            names = tuple(Attribute(f"{self.name}{i}", "number") for i in range(self.width))
            return names, self.numbers.astype(np.float32)
        if self.kind == "binary":
            return (Attribute(self.name),), self.numbers.astype(np.float32)
        hot = np.zeros((self.count, self.width), np.float32)
        rows, places = (np.arange(self.count), self.places) if self.kind == "class" else self.places.T
        hot[rows, places] = 1
        prefix = "" if self.kind == "tags" and not taken & set(self.names) else f"{self.name}="
        return tuple(Attribute(f"{prefix}{name}") for name in self.names), hot


def read_column(
    name: str, values: Sequence[Any], order: Sequence[str] = (), wanted: Kind | None = None
) -> Column | str:
    """The column that these values make, one for each image; or the reason why they make none.

    `values` may be such a reason already. `order` are the classes in their order, if that is known; `wanted` is the
    kind that the user names.
    """
    if isinstance(values, str):
        return values
    try:
        distinct = list(dict.fromkeys(values))
    except TypeError:  # lists and tables, which have no hash
        missing = sum(map(is_missing, values))
        if missing:
            return f"no value for {missing:,} of {plural(len(values), 'image')}"
        return _of_lists(name, values, order)
    index = {value: place for place, value in enumerate(distinct)}
    codes = np.fromiter(map(index.__getitem__, values), np.int64, len(values))
    missing = int(np.array([is_missing(value) for value in distinct], bool)[codes].sum())
    if missing:
        return f"no value for {missing:,} of {plural(len(values), 'image')}"
    if not all(isinstance(value, str | int | float) for value in distinct):
        return "neither texts nor numbers"
    return _of_scalars(name, [_text(value) for value in distinct], codes, order, wanted)


def is_missing(value: Any) -> bool:
    """Whether a cell holds no value."""
    return value is None or (isinstance(value, str) and not value) or (isinstance(value, float) and math.isnan(value))


def names_each(column: Column) -> str:
    """Why a column tells the images apart and does not sort them, or '': captions, web addresses, numbers of rows."""
    if column.kind == "class" and len(column.names) > max(FEW, column.count // 2):
        return f"{len(column.names):,} different texts for {plural(column.count, 'image')}"
    if column.kind == "number" and column.whole and column.count > FEW and len(column.names) == column.count:
        return "another number for each image"
    return ""


def unusable(column: Column) -> str:
    """Why a column adds nothing to a condition vector, or cannot; else ''."""
    if column.kind in ("class", "number") and len(column.names) == 1:
        return "the same for all images"
    named = column.names if column.kind in ("class", "tags") else ()
    longest = max(map(len, (column.name, *named)))
    if longest > MAX_NAME:
        return f"a name of {longest:,} characters"
    return names_each(column) or (
        f"{plural(column.width, f'different {_NOUNS[column.kind]}')}, more than {MAX_CONDITION:,}"
        if column.width > MAX_CONDITION
        else ""
    )


def class_order(texts: Iterable[str]) -> tuple[str, ...]:
    """Classes in the order of their names; numbers in the order of their values."""
    names = set(texts)
    whole = all(name.isdecimal() and len(name) < FEW for name in names)
    return tuple(sorted(names, key=int) if whole else sorted(names))


def _of_scalars(
    name: str, texts: Sequence[str], codes: Array, order: Sequence[str], wanted: Kind | None
) -> Column | str:
    """A column of different `texts`, of which `codes` [N] are those of the images."""
    found, words = set(texts), {text.lower() for text in texts}
    names = tuple(text for text in order if text in found) if found <= set(order) else class_order(found)
    place_of = {text: place for place, text in enumerate(names)}
    places = np.array([place_of[text] for text in texts], np.int64)[codes]

    def column(kind: Kind, numbers: Sequence[float], whole: bool = False) -> Column:
        return Column(name, kind, len(codes), names, places, np.array(numbers, np.float64)[codes][:, None], whole)

    numbers = [number for text in texts if (number := _number(text)) is not None]
    if len(numbers) == len(texts) and not order and wanted != "class":
        if wanted is None and any(set(numbers) <= pair for pair in _BINARY):
            return column("binary", [number == 1 for number in numbers])
        if not all(math.isfinite(number) and abs(number) <= MAX_NUMBER for number in numbers):
            return f"numbers that are not finite, or beyond {MAX_NUMBER:g}"
        return column("number", numbers, all(number.is_integer() for number in numbers))
    if wanted == "number":
        odd = next(text for text in texts if _number(text) is None)
        return f"'{printable(odd)[:50]}' is not a number"
    if wanted is None and not order and any(words <= pair for pair in _WORDS):
        return column("binary", [text.lower() in ("true", "yes") for text in texts])
    return Column(name, "class", len(codes), names, places)


def _of_lists(name: str, values: Sequence[Any], order: Sequence[str]) -> Column | str:
    """Lists of texts are tags; lists of numbers, all of one length, are vectors."""
    if any(isinstance(value, dict) for value in values):
        return "neither texts nor numbers"
    if not all(isinstance(value, list) for value in values):
        return "some values are lists and some are not"
    items = [item for value in values for item in value]
    if all(isinstance(item, str) for item in items):
        tags = set(items)
        names = tuple(tag for tag in order if tag in tags) if tags <= set(order) else tuple(sorted(tags))
        place_of = {tag: place for place, tag in enumerate(names)}
        pairs = [(row, place_of[tag]) for row, value in enumerate(values) for tag in value]
        return Column(name, "tags", len(values), names, np.array(pairs, np.int64)) if tags else "no tags at all"
    lengths = {len(value) for value in values}
    if len(lengths) > 1 or not all(isinstance(item, int | float) and not isinstance(item, bool) for item in items):
        return "lists that are neither tags nor numbers, as many for each image"
    try:
        numbers = np.array(values, np.float64)
    except (OverflowError, ValueError):  # a whole number beyond all floats
        numbers = np.array([math.inf])
    if not (np.abs(numbers) <= MAX_NUMBER).all():
        return f"numbers that are not finite, or beyond {MAX_NUMBER:g}"
    return Column(name, "vector", len(values), numbers=numbers)


def _text(value: str | int | float) -> str:
    """A value as a class: 'cat', '3' for 3 and 3.0, 'true'."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(text: str) -> float | None:
    """The number that a text spells; None for anything else."""
    try:
        return float(text) if not any(mark in text for mark in "_ ") else None
    except ValueError:
        return None
