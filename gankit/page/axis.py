"""Numbers on pixels: linear and logarithmic axes, and the round numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDE_RANGE = 15.0  # largest by smallest number from which on an axis is logarithmic


@dataclass(frozen=True)
class Axis:
    """Numbers on pixels [start, end]."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float) -> Axis:
        """An axis with a margin around finite numbers, logarithmic where positive ones differ widely."""
        low, high = min(values), max(values)
        if low > 0 and high / low > WIDE_RANGE:
            return cls(low / 1.15, high * 1.15, start, end, logarithmic=True)
        margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(low - margin, high + margin, start, end)

    def __call__(self, value: float) -> float:
        """The place of a number, kept within the axis."""
        scale: Callable[[float], float] = math.log if self.logarithmic else float
        value = min(max(value, self.low), self.high)
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 8) -> Sequence[float]:
        """At most `most` round numbers within the axis."""
        values = log_ticks(self.low, self.high) if self.logarithmic else ticks(self.low, self.high)
        return values[:: math.ceil(len(values) / most) or 1]


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """At most about `count` round numbers within [low, high]."""
    span = high - low
    step = 10 ** math.floor(math.log10(span / count))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= count)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within [low, high]; powers alone where these are many."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    fine = [factor * power for power in powers for factor in (1, 2, 5) if low <= factor * power <= high]
    return fine if len(fine) <= 9 else [power for power in powers if low <= power <= high]
