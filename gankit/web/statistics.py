"""The statistics of a run in memory: columns of numbers, and curves of them that fit a chart."""

from __future__ import annotations

import math
from array import array
from collections.abc import KeysView, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gankit.base.text import printable

MOST_COLUMNS = 200  # statistics of a run
LONGEST_NAME = 80  # characters
APART = {"step", "images_seen", "wall_s"}  # keys of a line that are no statistics
LARGEST = 3e38  # of a float of 32 bits
KEPT = 1_000  # of the first and of the last lines, which the signs of trouble are looked for in


@dataclass(frozen=True)
class Curve:
    """Points of a chart: the mean over each span of images, its lowest and its highest value. All have one length."""

    x: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


class Statistics:
    """The lines of stats.jsonl as columns; what is missing or not finite is NaN."""

    def __init__(self) -> None:
        self.images = array("d")
        self.columns: dict[str, array[float]] = {}
        self._keys: KeysView[str] = {}.keys()  # of the line before

    def __len__(self) -> int:
        return len(self.images)

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a line; one without a number of images is left out."""
        images = number(line.get("images_seen"))
        if images is None:
            return
        if line.keys() != self._keys:
            for name in statistics_in(line):
                if name not in self.columns and len(self.columns) < MOST_COLUMNS:
                    self.columns[name] = array("f", [math.nan]) * len(self.images)
            if line.keys() <= self.columns.keys() | APART:
                self._keys = line.keys()
        self.images.append(images)
        for name, column in self.columns.items():
            value = line.get(name)
            if type(value) is float and -LARGEST < value < LARGEST:  # nearly always
                column.append(value)
            else:
                known = number(value)
                column.append(math.nan if known is None else min(max(known, -LARGEST), LARGEST))

    def curve(self, name: str, points: int, smoothing: float = 0.0) -> Curve:
        """A statistic in at most so many points, empty for an unknown one.

        `smoothing` in [0, 1) is the weight of the past in an exponential mean, whose start is corrected.
        """
        if name not in self.columns:
            return Curve([], [], [], [])
        y, x = np.array(self.columns[name], np.float64), np.array(self.images)
        known = np.isfinite(y)
        x, y = x[known], y[known]
        if not len(y):
            return Curve([], [], [], [])
        starts = np.unique(np.linspace(0, len(y), min(points, len(y)), endpoint=False).astype(int))
        sizes = np.diff([*starts, len(y)])
        mean = np.add.reduceat(y, starts) / sizes
        return Curve(
            (np.add.reduceat(x, starts) / sizes).tolist(),
            smoothed(mean.tolist(), smoothing),
            np.minimum.reduceat(y, starts).tolist(),
            np.maximum.reduceat(y, starts).tolist(),
        )

    def lines(self) -> list[dict[str, Any]]:
        """The first and the last lines as they were written, for `health.findings`."""
        n = len(self)
        rows = range(n) if n <= 2 * KEPT else [*range(KEPT), *range(n - KEPT, n)]
        return [
            {"images_seen": int(self.images[i])}
            | {name: column[i] for name, column in self.columns.items() if not math.isnan(column[i])}
            for i in rows
        ]

    def groups(self) -> dict[str, list[str]]:
        """The statistics that share a chart: those with one word before the slash."""
        found: dict[str, list[str]] = {}
        for name in self.columns:
            found.setdefault(name.partition("/")[0], []).append(name)
        return {group: sorted(names) for group, names in found.items()}


def statistics_in(line: Mapping[str, Any]) -> list[str]:
    """The names of the statistics in a line."""
    return [name for name in line if name not in APART and len(name) <= LONGEST_NAME and number(line[name]) is not None]


def number(value: object) -> float | None:
    """A finite number of JSON; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def smoothed(values: list[float], weight: float) -> list[float]:
    """The exponential mean of values, in which the past has this weight."""
    if not weight:
        return values
    result, total, seen = [], 0.0, 0.0
    for value in values:
        total, seen = weight * total + (1 - weight) * value, weight * seen + 1 - weight
        result.append(total / seen)
    return result


_TITLES = {
    "d": "loss terms of D",
    "g": "loss terms of G",
    "score": "D's mean scores",
    "probability": "D's mean probability of being real",
    "grad": "gradient norms",
    "diversity": "diversity (1: as the data)",
    "images_per_s": "images per second",
    "skipped": "skipped steps (fp16)",
    "lr": "learning rates",
}


def title_of_group(group: str) -> str:
    """'d' -> 'loss terms of D'."""
    return _TITLES.get(group) or printable(group)
