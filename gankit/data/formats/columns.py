"""What a column of labels is: yes or no, a number, a class, tags, a vector; or why it is none of these."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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

Kind = Literal["binary", "number", "class", "tags", "vector"]


@dataclass(frozen=True)
class Column:
    """One column of labels, with a value for every image."""

    name: str
    kind: Kind
    values: Sequence[Any]
    """binary: 0 or 1; number: floats; class: texts; tags: lists of texts; vector: lists of floats."""
    names: tuple[str, ...] = ()
    """The classes or the tags, in order."""
    whole: bool = False
    """Whether all numbers are whole."""
    texts: Sequence[str] = ()
    """The values as they are written, for a column that is the class; empty for tags and vectors."""

    @property
    def width(self) -> int:
        """The numbers that it adds to a condition vector."""
        if self.kind == "vector":
            return len(self.values[0])
        return len(self.names) if self.kind in ("class", "tags") else 1

    def describe(self) -> str:
        """'age (a number, mean 31.5, std 12)', for people."""
        if self.kind == "number":
            (attribute,), _ = self.attributes()
            return f"{self.name} (a number, mean {attribute.mean:.4g}, std {attribute.std:.4g})"
        return self.name if self.kind == "binary" else f"{self.name} ({plural(self.width, _NOUNS[self.kind])})"

    def attributes(self, taken: frozenset[str] = frozenset()) -> tuple[tuple[Attribute, ...], Array]:
        """Names of its numbers and the numbers, float32 [N, width]. Tags bear their column's name if one is `taken`."""
        check_memory(4 * len(self.values) * self.width, f"column '{printable(self.name)}'")
        if self.kind == "number":
            numbers = np.array(self.values, np.float64)
            mean, std = float(numbers.mean()), float(numbers.std()) or 1.0
            return (Attribute(self.name, "number", mean, std),), ((numbers - mean) / std).astype(np.float32)[:, None]
        if self.kind == "vector":
            numbers = np.array(self.values, np.float32)
            return tuple(Attribute(f"{self.name}{i}", "number") for i in range(self.width)), numbers
        if self.kind == "binary":
            return (Attribute(self.name),), np.array(self.values, np.float32)[:, None]
        places = {name: place for place, name in enumerate(self.names)}
        hot = np.zeros((len(self.values), self.width), np.float32)
        for row, value in enumerate(self.values):
            for name in value if self.kind == "tags" else (value,):
                hot[row, places[name]] = 1
        prefix = "" if self.kind == "tags" and not taken & set(self.names) else f"{self.name}="
        return tuple(Attribute(f"{prefix}{name}") for name in self.names), hot


_NOUNS = {"class": "value", "tags": "tag", "vector": "number"}


def read_column(
    name: str, values: Sequence[Any], order: Sequence[str] = (), wanted: Kind | None = None
) -> Column | str:
    """The column that these values make, one for each image; or the reason why they make none.

    `values` may be such a reason already. `order` are the classes in their order, if that is known; `wanted` is the
    kind that the user names.
    """
    if isinstance(values, str):
        return values
    missing = sum(map(is_missing, values))
    if missing:
        return f"no value for {missing:,} of {plural(len(values), 'image')}"
    if any(isinstance(value, list) for value in values):
        return _of_lists(name, values, order)
    if not all(isinstance(value, str | int | float) for value in values):
        return "neither texts nor numbers"
    return _of_scalars(name, values, order, wanted)


def is_missing(value: Any) -> bool:
    """Whether a cell holds no value."""
    return value is None or (isinstance(value, str) and not value) or (isinstance(value, float) and math.isnan(value))


def names_each(column: Column) -> str:
    """Why a column tells the images apart and does not sort them, or '': captions, web addresses, numbers of rows."""
    count = len(column.values)
    if column.kind == "class" and len(column.names) > max(FEW, count // 2):
        return f"{len(column.names):,} different texts for {plural(count, 'image')}"
    if column.kind == "number" and column.whole and count > FEW and len(set(column.values)) == count:
        return "another number for each image"
    return ""


def unusable(column: Column) -> str:
    """Why a column adds nothing to a condition vector, or cannot; else ''."""
    if column.kind in ("class", "number") and len(set(column.values)) == 1:
        return "the same for all images"
    longest = max(map(len, (column.name, *column.names)))
    if longest > MAX_NAME:
        return f"a name of {longest:,} characters"
    if column.width > MAX_CONDITION:
        return f"{plural(column.width, f'different {_NOUNS[column.kind]}')}, more than {MAX_CONDITION:,}"
    return names_each(column)


def class_order(texts: Sequence[str]) -> tuple[str, ...]:
    """Classes in the order of their names; numbers in the order of their values."""
    names = set(texts)
    whole = all(name.isdecimal() and len(name) < FEW for name in names)
    return tuple(sorted(names, key=int) if whole else sorted(names))


def _of_scalars(name: str, values: Sequence[Any], order: Sequence[str], wanted: Kind | None) -> Column | str:
    texts = {value: _text(value) for value in set(values)}
    written = [texts[value] for value in values]
    words, distinct = {text.lower() for text in texts.values()}, set(texts.values())
    numbers = {text: _number(text) for text in distinct}
    if all(number is not None for number in numbers.values()) and not order and wanted != "class":
        found = {number for number in numbers.values() if number is not None}
        if wanted is None and any(found <= pair for pair in _BINARY):
            return Column(name, "binary", [numbers[text] == 1 for text in written], texts=written)
        if not all(map(math.isfinite, found)) or max(map(abs, found)) > 1e30:
            return "numbers that are not finite, or beyond 1e30"
        whole = all(number.is_integer() for number in found)
        return Column(name, "number", [numbers[text] for text in written], whole=whole, texts=written)
    if wanted == "number":
        odd = next(text for text in written if numbers[text] is None)
        return f"'{printable(odd)[:50]}' is not a number"
    if wanted is None and not order and any(words <= pair for pair in _WORDS):
        return Column(name, "binary", [text.lower() in ("true", "yes") for text in written], texts=written)
    present = tuple(text for text in order if text in distinct) if distinct <= set(order) else class_order(written)
    return Column(name, "class", written, present, texts=written)


def _of_lists(name: str, values: Sequence[Any], order: Sequence[str]) -> Column | str:
    """Lists of texts are tags; lists of numbers, all of one length, are vectors."""
    if not all(isinstance(value, list) for value in values):
        return "some values are lists and some are not"
    items = [item for value in values for item in value]
    if all(isinstance(item, str) for item in items):
        counts = Counter(items)
        if not counts:
            return "no tags at all"
        names = tuple(tag for tag in order if tag in counts) if set(counts) <= set(order) else tuple(sorted(counts))
        return Column(name, "tags", values, names)
    lengths = {len(value) for value in values}
    numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in items)
    if not numbers or len(lengths) > 1:
        return "lists that are neither tags nor numbers, as many for each image"
    try:
        large = any(not abs(float(item)) <= 1e30 for item in items)
    except OverflowError:  # a whole number beyond all floats
        large = True
    return "numbers that are not finite, or beyond 1e30" if large else Column(name, "vector", values)


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
