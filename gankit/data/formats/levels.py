"""Levels: which number of the source is black and which is white.

They are inferred from all values, and what was inferred is said; `--range LOW,HIGH` decides otherwise. Nothing is
guessed that would train on other pictures than those that were given: what stays ambiguous is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gankit.data.formats import Array
from gankit.errors import InputError

OVERSHOOT = 0.01  # of the range: what resampling adds beyond its ends, which is clipped
SMALL = 64  # of 255: a set whose largest value is not above it uses a small part of its range
FEW = 1e-3  # of all values: what so few say does not count
FILLED = 0.75  # of [-1, 0]: images in [-1, 1] that never get so dark are in another range
_BLOCK = 1 << 18  # values looked at together: a copy of all might not fit into memory


@dataclass(frozen=True)
class Levels:
    """black, white: the values that become 0 and 255; `note` says what was inferred, '' where nothing was."""

    black: float
    white: float
    note: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """Black and white."""
        return self.black, self.white

    @property
    def unchanged(self) -> bool:
        """Whether bytes stay as they are."""
        return self.ends == (0, 255)

    def to_bytes(self, values: Array) -> Array:
        """Any numbers -> uint8 of the same shape; what lies beyond black and white is clipped."""
        exact = values.dtype.kind in "ui" and values.dtype.itemsize > 2
        wide: Array = values.astype(np.float64 if exact else np.float32)
        scaled = (wide - self.black) * (255 / (self.white - self.black))
        pixels: Array = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
        return pixels

    def to_unit(self, values: Array) -> Array:
        """Any numbers -> float32 of the same shape in [-1, 1]; what lies beyond is clipped."""
        scaled = (values.astype(np.float64) - self.black) * (2 / (self.white - self.black)) - 1
        return np.clip(scaled, -1, 1).astype(np.float32)

    @property
    def table(self) -> Array:
        """uint8 [256]: what becomes of each byte."""
        return self.to_bytes(np.arange(256, dtype=np.uint8))


def parse_range(text: str) -> tuple[float, float]:
    """'0,1' or '-0.5,0.5' -> (low, high), finite and in this order."""
    parts = text.split(",")
    try:
        low, high = (float(part) for part in parts)
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(
            f"--range {text}: not two numbers LOW,HIGH",
            hint="the values of black and white: --range 0,1, --range=-1,1 or --range 0,4095",
        )
    return low, high


def levels_of(values: Array, given: tuple[float, float] | None, what: str) -> Levels:
    """The levels of an array of pixels of any type; InputError for values that allow several answers."""
    floats = values.dtype.kind == "f"
    low, high = (float if floats else int)(values.min()), (float if floats else int)(values.max())
    if given is not None:
        return asked_for(given, low, high, what)
    return _of_floats(values, low, high, what) if floats else _of_integers(values, int(low), int(high), what)


QUIET = 0.25  # of [-1, 1]: sound that stays below it was hardly meant to have that range


def levels_of_signals(values: Array, given: tuple[float, float] | None, what: str) -> Levels:
    """The values that become -1 and 1: those of the type for 16-bit sound, [-1, 1] if filled, else -m and m.

    m is the largest magnitude: 0 stays 0, and signals come back from a generator in the units of the source.
    """
    low, high = float(values.min()), float(values.max())
    if given is not None:
        asked_for(given, low, high, what)
        over = "; what lies beyond was clipped" if low < given[0] or high > given[1] else ""
        said = f"values {low:g}..{high:g} became [-1, 1] (as --range says){over}"
        return Levels(*given, said if given != (-1, 1) or over else "")
    if values.dtype == np.int16:
        return Levels(-32_768, 32_767, "16-bit sound: -32768..32767 became [-1, 1]")
    most = max(-low, high)
    if QUIET <= most <= 1:
        return Levels(-1, 1)
    if most == 0:
        raise InputError(f"{what}: all values are 0", hint="look at the data")
    return Levels(
        -most, most, f"values {low:.4g}..{high:.4g} became [-1, 1] by the largest one (--range decides otherwise)"
    )


def asked_for(given: tuple[float, float], low: float, high: float, what: str) -> Levels:
    """The levels of `--range` for values from `low` to `high`; InputError where all pictures would be one colour."""
    black, white = given
    if high <= black or low >= white:
        raise InputError(
            f"{what}: pixel values run from {low:g} to {high:g}, all outside --range {black:g},{white:g}",
            hint="give the values of black and white in the units of the file",
        )
    return Levels(black, white, _note(low, high, black, white, "as --range says"))


def _of_integers(values: Array, low: int, high: int, what: str) -> Levels:
    if low < 0:
        raise InputError(
            f"{what}: pixel values run from {low} to {high}", hint="--range LOW,HIGH says what is black and white"
        )
    two = _two_values(values, low, high)
    if two is not None:
        return two
    if low == high <= 255:
        return Levels(0, 255)  # nothing can be told from one value
    if high <= SMALL:
        white = _white(high)
        return Levels(0, white, note=_note(low, high, 0, white))
    if high <= 255:
        return Levels(0, 255)
    white = 255
    while white < high and _share(values, white, np.inf) >= FEW:  # a dead pixel of a camera is no white
        white = 2 * white + 1
    clipped = f"; fewer than 1 in {1 / FEW:,.0f} values are larger and were clipped" if high > white else ""
    return Levels(0, white, note=_note(low, high, 0, white) + clipped)


def levels_of_bytes(pixels: Array) -> Levels:
    """The levels of decoded images, uint8 [N, C, H, W]; alpha, the fourth channel, is no colour."""
    colours = pixels[:, :3]
    high, seen = 0, np.zeros(256, bool)
    for part in _parts(colours):
        seen[np.unique(part)] = True
        high = int(np.flatnonzero(seen)[-1])
        if high > SMALL and seen.sum() > 2:
            return Levels(0, 255)
    return levels_of(np.flatnonzero(seen).astype(np.uint8), None, "")


def _parts(values: Array) -> Iterator[Array]:
    step = max(1, _BLOCK // max(1, values[0].size))
    return (values[start : start + step] for start in range(0, len(values), step))


def _of_floats(values: Array, low: float, high: float, what: str) -> Levels:
    whole = all(bool((part == np.rint(part)).all()) for part in _parts(values))
    if whole and low >= 0 and high <= 255:
        found = _of_integers(values, int(low), int(high), what)
        return Levels(found.black, found.white, found.note or "floats in [0, 255] became 8-bit pixels")
    for black, white in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        slack = OVERSHOOT * (white - black)
        if black - slack <= low and high <= white + slack and _plausible(values, low, high, black, white):
            over = max(black - low, high - white)
            clipped = f", what lies up to {over:.2g} beyond was clipped" if over > 0 else ""
            return Levels(black, white, f"floats in [{black:g}, {white:g}] became 8-bit pixels{clipped}")
    raise InputError(
        f"{what}: pixel values run from {low:.6g} to {high:.6g}, which is none of the usual ranges",
        hint="--range LOW,HIGH says what is black and white; usual are [0, 1], [-1, 1] and [0, 255]",
    )


def _plausible(values: Array, low: float, high: float, black: float, white: float) -> bool:
    """Whether values that fit into a range also fill it, and not by a few of them, so that it is the one meant."""
    if black < 0:
        return low < -FILLED and high > 0 and _share(values, -np.inf, -OVERSHOOT) >= FEW
    if white == 1:
        return high > 1 / 4
    return high > white / 2 and _share(values, 2, np.inf) >= FEW


def _share(values: Array, low: float, high: float) -> float:
    """The share of the values that lie between two numbers."""
    return sum(int(np.count_nonzero((part > low) & (part < high))) for part in _parts(values)) / values.size


def _two_values(values: Array, low: int, high: int) -> Levels | None:
    """Levels of a mask: two values, which become black and white; None for more, for one, or for 0 and 255."""
    if low == high or (low, high) == (0, 255):
        return None
    if not all(bool(((part == low) | (part == high)).all()) for part in _parts(values)):
        return None
    return Levels(low, high, f"two values, {low} and {high}, became black and white")


def _white(high: int) -> int:
    """The white of a set that uses a small part of its range: 2^k where that is the largest value, else 2^k - 1."""
    return high if high & (high - 1) == 0 and high > 1 else int(2 ** high.bit_length() - 1)


def _note(low: float, high: float, black: float, white: float, why: str = "") -> str:
    why = why or ("--range 0,255 leaves them" if white < 255 else "--range decides otherwise")
    return f"values {low:g}..{high:g} became 8-bit pixels, {black:g} black and {white:g} white ({why})"
