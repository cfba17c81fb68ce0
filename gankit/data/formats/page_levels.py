"""Which values of image files are black and white: as `--range` says, or as all files of one depth say together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gankit.data.formats import Array
from gankit.data.formats.levels import SMALL, Levels, asked_for, levels_of
from gankit.data.formats.limits import in_parallel
from gankit.data.formats.pixels import BYTES, FLOATS, SIXTEEN_BITS, Page
from gankit.errors import InputError

Values = Callable[[Page], Array | None]
"""Reads a picture as its values are stored; None if it is broken, which will be reported when it is decoded."""

_SAMPLED = 4096  # values of a file by which the range of floats is recognised, besides the extreme ones
_LOOKING = "looking for the largest value"


class PageLevels(NamedTuple):
    """The levels of the pictures of 8 bits, of integers of more bits, and of floats."""

    bytes: Levels = BYTES
    integers: Levels = SIXTEEN_BITS
    floats: Levels = FLOATS


def page_levels(pages: Sequence[Page], given: tuple[float, float] | None, values: Values, where: str) -> PageLevels:
    """The levels of the pictures of a set.

    InputError where `--range` would mean several things, or where values allow several answers.
    """
    by_depth: dict[str, list[Page]] = {}
    for page in pages:
        by_depth.setdefault(page.header.depth, []).append(page)
    if given is not None:
        return PageLevels(*[_as_given(by_depth, given, values, where)] * 3)
    _check_halved(by_depth.get("16 bits per colour", ()), values, where)
    integers = [*by_depth.get("16 bits", ()), *by_depth.get("32 bits", ())]
    return PageLevels(
        BYTES, _of_integers(integers, values, where), _of_floats(by_depth.get("floats", ()), values, where)
    )


def _as_given(by_depth: dict[str, list[Page]], given: tuple[float, float], values: Values, where: str) -> Levels:
    depth = next((depth for depth in by_depth if depth != "8 bits"), "8 bits")
    pages = by_depth[depth]
    if len(by_depth) > 1:
        raise InputError(
            f"{where}: {len(pages):,} of {sum(map(len, by_depth.values())):,} files have {depth}: "
            "--range cannot mean both kinds",
            hint="leave --range out, or give files of one depth",
        )
    if depth == "16 bits per colour":
        raise InputError(
            f"{where}: of {depth} only the upper 8 are read, so --range has no meaning", hint="leave --range out"
        )
    if depth in ("8 bits", "16 bits"):
        return asked_for(given, 0, BYTES.white if depth == "8 bits" else SIXTEEN_BITS.white, where)
    low, high = _extremes(pages, values)
    return asked_for(given, low, high, where)


def _extremes(pages: Sequence[Page], values: Values) -> tuple[float, float]:
    """The smallest and the largest value of some pictures; (0, 0) if all are broken."""

    def one(page: Page) -> tuple[float, float]:
        array = values(page)
        return (0, 0) if array is None else (array.min().item(), array.max().item())

    found = list(in_parallel(one, pages, _LOOKING))
    return min(low for low, _ in found), max(high for _, high in found)


def _of_integers(pages: Sequence[Page], values: Values, where: str) -> Levels:
    if not pages:
        return SIXTEEN_BITS
    low, high = (int(value) for value in _extremes(pages, values))
    if low < 0:
        raise InputError(
            f"{where}: pixel values run from {low:,} to {high:,}", hint="--range LOW,HIGH says what is black and white"
        )
    white = 2 ** max(8, high.bit_length()) - 1
    note = f"values up to {high:,}, so {white:,} is white" if white != SIXTEEN_BITS.white else ""
    return Levels(0, white, note)


def _of_floats(pages: Sequence[Page], values: Values, where: str) -> Levels:
    def some(page: Page) -> Array:
        array = values(page)
        if array is None:
            return np.empty(0, np.float32)
        flat = array.ravel()
        broken = flat[flat != np.rint(flat)][:1]  # whether all values are whole matters, and one that is not says it
        return np.concatenate([flat[:: max(1, flat.size // _SAMPLED)], broken, [flat.min(), flat.max()]])

    found = np.concatenate([np.empty(0, np.float32), *in_parallel(some, pages, _LOOKING)])
    return levels_of(found, None, where) if found.size else FLOATS


def _check_halved(pages: Sequence[Page], values: Values, where: str) -> None:
    """InputError where the upper 8 of 16 bits would leave only a few levels."""
    if pages and 0 < (high := _extremes(pages, values)[1]) <= SMALL:
        bits = 8 + int(high).bit_length()
        raise InputError(
            f"{where}: files of 16 bits per colour use {bits} of them, and only the upper 8 are read",
            hint=f"scale them first: magick mogrify -evaluate multiply {2 ** (16 - bits)} -depth 8 FILES",
        )
