"""Schedules: a number of a run as a function of the images shown so far.

One spelling everywhere (command line, TOML, Python):

    2e-4                                   constant
    linear(2e-4, 0, 20M)                   from the first value to the second while 20 million images are shown
    linear(2e-4, 0, 50%-100%)              constant until half of the budget, then down to 0 at its end
    cosine(2e-4, 5e-5, 20M)                the same along half a cosine, flat at both ends
    steps(2e-4, 1e-4@100k, 5e-5@200k)      a new value from each of these numbers of images on
    cosine(2e-4, 5e-5, 20M, warmup=500k)   the value times images / 500k during the first 500,000 images

Points in time are images (`50k`, `20M`) or shares of the budget (`25%`, stored with 12 decimal places). The values may
be written like images too: `cosine(0, 500k, 20M)` is a half-life.
A schedule with shares follows the budget of the run: if a resumed run has a larger budget, its shares are those of the
new budget from there on.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Kind = Literal["constant", "linear", "cosine", "steps"]

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the budget for which the value of a schedule is printed."""

_CALL = re.compile(r"\s*(constant|linear|cosine|steps)\s*\((.*)\)\s*", re.DOTALL)
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True)
class Point:
    """A point in time: a number of images, or a share of the budget."""

    amount: float
    """Images, or the share in [0, 1]."""
    is_share: bool = False
    """Whether `amount` is a share of the budget."""

    @classmethod
    def parse(cls, text: str) -> Point:
        """'50000', '50k', '20M' or '25%'; ValueError for anything else."""
        match = re.fullmatch(r"\s*(\d[\d_]{0,20}(?:\.\d{1,20})?)\s*([kKmM%]?)\s*", text)
        if match is None:
            raise ValueError(f"'{text.strip()}' is neither a number of images (50k) nor a share of the budget (25%)")
        number, unit = float(match[1].replace("_", "")), match[2].lower()
        if unit == "%":
            if number > 100:
                raise ValueError(f"'{text.strip()}' is more than the whole budget")
            return cls(round(number / 100, 12), is_share=True)
        return cls(round(number * _UNITS[unit]))

    def images(self, total: int | None) -> float:
        """The number of images, given the budget of the run; ValueError for a share without a budget."""
        if not self.is_share:
            return self.amount
        if total is None:
            raise ValueError("a share of the budget needs a budget in images or steps")
        return self.amount * total

    def __str__(self) -> str:
        if not self.is_share:
            return f"{int(self.amount)}"
        return f"{100 * self.amount:.10f}".rstrip("0").rstrip(".") + "%"


@dataclass(frozen=True)
class Schedule:
    """A number as a function of the images shown; `Schedule.parse` reads its spelling and `str` writes it."""

    kind: Kind
    """The shape of the curve."""
    values: tuple[float, ...]
    """One value (constant), the first and the last (linear, cosine), or one for each step."""
    points: tuple[Point, ...] = ()
    """Start and end of the change (linear, cosine), or the start of each later step."""
    warmup: Point | None = None
    """The end of a linear warm-up from 0."""

    @classmethod
    def parse(cls, value: object) -> Schedule:
        """A number, a spelling or a schedule as a schedule; ValueError says what is wrong with it."""
        if isinstance(value, Schedule):
            value = str(value)  # parsed again, which checks a schedule that was built by hand
        if isinstance(value, int | float) and not isinstance(value, bool):
            return cls("constant", (_number(str(value)),))
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is neither a number nor a schedule")
        call = _CALL.fullmatch(value)
        if call is None:
            return cls("constant", (_number(value),))
        arguments = [part.strip() for part in call[2].split(",")]
        warmup = None
        if arguments[-1].replace(" ", "").startswith("warmup="):
            warmup = Point.parse(arguments.pop().partition("=")[2])
        return _KINDS[call[1]](arguments, warmup)

    @property
    def is_constant(self) -> bool:
        """Whether it is one number for the whole run."""
        return self.kind == "constant" and self.warmup is None

    @property
    def has_shares(self) -> bool:
        """Whether any of its points is a share of the budget."""
        return any(point.is_share for point in (*self.points, *([self.warmup] if self.warmup else [])))

    def check_budget(self, total: int | None) -> None:
        """Raise ValueError for shares without a budget, and for a change that would end before it begins."""
        if self.has_shares and total is None:
            raise ValueError("a share of the budget (50%) needs a budget in images or steps")
        if self.kind in ("linear", "cosine"):
            begin, end = (point.images(total) for point in self.points)
            if begin > end:
                raise ValueError(f"with a budget of {total:,} images it ends before it begins")

    def at(self, images: float, total: int | None = None) -> float:
        """The value after some images; `total` is the budget of the run in images, which only shares need."""
        value = self._without_warmup(images, total)
        if self.warmup is not None:
            length = self.warmup.images(total)
            value *= min(1.0, images / length) if length else 1.0
        return value

    def _without_warmup(self, images: float, total: int | None) -> float:
        if self.kind == "constant":
            return self.values[0]
        if self.kind == "steps":
            begun = [point.images(total) <= images for point in self.points]
            return self.values[begun.index(False) if False in begun else len(begun)]
        (first, last), (begin, end) = self.values, (point.images(total) for point in self.points)
        done = 1.0 if images >= end else 0.0 if images <= begin else (images - begin) / (end - begin)
        if self.kind == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return first + (last - first) * done

    def __str__(self) -> str:
        if self.is_constant:
            return f"{self.values[0]:g}" if float(f"{self.values[0]:g}") == self.values[0] else repr(self.values[0])
        values = [repr(value) for value in self.values]
        if self.kind == "steps":
            arguments = [values[0], *(f"{v}@{p}" for v, p in zip(values[1:], self.points, strict=True))]
        elif self.kind == "constant":
            arguments = values
        else:
            begin, end = self.points
            arguments = [*values, str(end) if begin.amount == 0 else f"{begin}-{end}"]
        arguments += [f"warmup={self.warmup}"] if self.warmup is not None else []
        return f"{self.kind}({', '.join(arguments)})"


Number = float | Schedule
"""A number of a run, which may follow a schedule. A constant is a plain float."""


def is_spelling(text: str) -> bool:
    """Whether a text has the form of a schedule that is not a plain number: 'cosine(…)'."""
    return _CALL.fullmatch(text) is not None


def split_spellings(text: str) -> list[str]:
    """'0.5,cosine(0.9, 0.99, 20M)' -> ['0.5', 'cosine(0.9, 0.99, 20M)']: commas within brackets do not count."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"'{text.strip()}' is neither a number nor a schedule") from None
    if not math.isfinite(number):
        raise ValueError(f"'{text.strip()}' is not finite")
    return number


def _value(text: str) -> float:
    """A value within a schedule: a number, or one of images as in '500k'."""
    images = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)([kKmM])\s*", text)
    return _number(text) if images is None else round(float(images[1]) * _UNITS[images[2].lower()], 9)


def _constant(arguments: list[str], warmup: Point | None) -> Schedule:
    if len(arguments) != 1:
        raise ValueError("constant takes one value: constant(2e-4, warmup=10k)")
    return Schedule("constant", (_value(arguments[0]),), warmup=warmup)


def _between(kind: Literal["linear", "cosine"], arguments: list[str], warmup: Point | None) -> Schedule:
    if len(arguments) != 3:
        raise ValueError(f"{kind} takes two values and a length: {kind}(2e-4, 5e-5, 20M) or {kind}(2e-4, 0, 50%-100%)")
    first, last = _value(arguments[0]), _value(arguments[1])
    begin, dash, end = arguments[2].rpartition("-")
    points = (Point.parse(begin) if dash else Point(0), Point.parse(end))
    if points[0].is_share == points[1].is_share and points[0].amount > points[1].amount:
        raise ValueError(f"'{arguments[2]}' ends before it begins")
    return Schedule(kind, (first, last), points, warmup)


def _steps(arguments: list[str], warmup: Point | None) -> Schedule:
    first, *later = arguments
    values, points = [_value(first)], []
    for argument in later:
        value, at, point = argument.partition("@")
        if not at:
            raise ValueError(f"'{argument}' does not say when: 1e-4@100k")
        values.append(_value(value))
        points.append(Point.parse(point))
    if len({point.is_share for point in points}) > 1:
        raise ValueError("steps are all in images or all in shares of the budget")
    if any(later.amount <= earlier.amount for earlier, later in pairwise(points)):
        raise ValueError("each step begins later than the one before")
    return Schedule("steps", tuple(values), tuple(points), warmup)


_KINDS = {
    "constant": _constant,
    "linear": lambda arguments, warmup: _between("linear", arguments, warmup),
    "cosine": lambda arguments, warmup: _between("cosine", arguments, warmup),
    "steps": _steps,
}
