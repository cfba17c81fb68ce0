"""The conditions y of a conditional run: labels as often as in the data, or vectors that stand for its own."""

from __future__ import annotations

import base64
import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le, Len, MaxLen
from torch import Tensor
from torch.nn import functional

from gankit.base.seeds import derive_seed

MAX_CONDITION = 1 << 12  # largest length of y
MAX_COUNT = 1 << 62  # samples of a class
STORED_BYTES = 128 << 10  # of condition vectors in a generator file
STORED_ROWS = 1 << 15  # most of them


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Labels [N] int64 -> y [N, classes] float32."""
    return functional.one_hot(labels, classes).float()


@dataclass(frozen=True)
class Vectors:
    """Condition vectors in a file: the distinct ones and how often each comes, or a fair sample where they are many."""

    length: Annotated[int, Ge(1), Le(MAX_CONDITION)]
    """K, the length of each."""
    packed: Annotated[str, MaxLen(2 * STORED_BYTES)]
    """One after the other, in base64: float32, or a bit for each number of binary ones, padded to whole bytes."""
    binary: bool = False
    """Whether all numbers are 0 or 1."""
    counts: Annotated[tuple[Annotated[int, Ge(1), Le(MAX_COUNT)], ...], Len(0, STORED_ROWS)] = ()
    """How often each comes in the data; empty for a sample."""

    def __post_init__(self) -> None:
        if len(self.rows) == 0 or len(self.counts) not in (0, len(self.rows)) or not bool(self.rows.isfinite().all()):
            raise ValueError("no condition vectors of finite numbers with a count each")

    @classmethod
    def of(cls, conditions: Tensor) -> Vectors:
        """From the condition vectors of a data set, float32 [N, K]."""
        values = conditions.numpy()
        binary = bool(np.isin(values, (0, 1)).all())
        packed = np.packbits(values.astype(bool), axis=1) if binary else np.ascontiguousarray(values, "<f4")
        room = max(1, min(STORED_ROWS, STORED_BYTES // packed[0].nbytes))
        order = torch.randperm(len(values), generator=torch.Generator().manual_seed(0)).numpy()
        counts: tuple[int, ...] = ()
        kept = packed[np.sort(order[:room])]
        if len(np.unique(packed[order[: 2 * room]], axis=0)) <= room:  # else a sort of all of them is in vain
            distinct, times = np.unique(packed, axis=0, return_counts=True)
            if len(distinct) <= room:
                kept, counts = distinct, tuple(times.tolist())
        return cls(values.shape[1], base64.b64encode(kept.tobytes()).decode(), binary, counts)

    @cached_property
    def rows(self) -> Tensor:
        """float32 [n, K]; ValueError when they are not there as they should be."""
        data = np.frombuffer(base64.b64decode(self.packed, validate=True), np.uint8)
        if self.binary:
            bits = np.unpackbits(data.reshape(-1, -(-self.length // 8)), axis=1, count=self.length)
            return torch.from_numpy(bits.astype(np.float32))
        return torch.from_numpy(data.view("<f4").reshape(-1, self.length).copy())

    @cached_property
    def choice(self) -> Tensor:
        """The numbers of y that are 0 or 1 in all rows: bool [K]."""
        return ((self.rows == 0) | (self.rows == 1)).all(0)

    def agreeing(self, wanted: Tensor) -> tuple[list[int], list[int]]:
        """The rows in which the 0s and 1s of `wanted` [K] are as there, and how often each comes.

        NaN agrees with everything; so does a measured number, which hardly any row has exactly.
        """
        asked = self.choice & ~wanted.isnan()
        rows = (self.rows[:, asked] == wanted[asked]).all(1).nonzero().flatten().tolist()
        return rows, [self.counts[row] for row in rows] if self.counts else [1] * len(rows)


@dataclass(frozen=True)
class Conditions:
    """The conditions y in the data: counts of labels, or vectors. Exactly one of the two is there."""

    counts: Annotated[tuple[Annotated[int, Ge(0), Le(MAX_COUNT)], ...], Len(0, MAX_CONDITION)] = ()
    vectors: Vectors | None = None

    def __post_init__(self) -> None:
        if bool(self.counts) == bool(self.vectors) or (self.counts and sum(self.counts) == 0):
            raise ValueError("neither counts of labels nor condition vectors")

    @property
    def length(self) -> int:
        """K, the length of y."""
        return len(self.counts) if self.vectors is None else self.vectors.length

    @property
    def complete(self) -> bool:
        """Whether they are distributed exactly as in the data; otherwise as a sample of it is."""
        return self.vectors is None or bool(self.vectors.counts)

    def of_seeds(self, seeds: Sequence[int], wanted: Tensor | None = None) -> Tensor:
        """y [N, K]. Each row depends only on its own seed, and is as frequent as in the data.

        `wanted` [K] fixes numbers of y; those that are NaN come from vectors of the data that agree with the rest, or
        from any where none does.
        """
        if wanted is not None and not bool(wanted.isnan().any()):
            return wanted.expand(len(seeds), -1)
        if self.vectors is None:
            return one_hot(torch.tensor([self.label(seed) for seed in seeds]), self.length)
        free = torch.full((self.length,), torch.nan)
        wanted = free if wanted is None else wanted
        rows, counts = self.vectors.agreeing(wanted)
        if not rows:
            rows, counts = self.vectors.agreeing(free)
        bounds = list(itertools.accumulate(counts))
        drawn = self.vectors.rows[[rows[_place(seed, bounds)] for seed in seeds]]
        return torch.where(wanted.isnan(), drawn, wanted)

    def share(self, wanted: Tensor) -> float:
        """The share of the data whose vectors agree with `wanted` (see `Vectors.agreeing`)."""
        assert self.vectors is not None
        return sum(self.vectors.agreeing(wanted)[1]) / (sum(self.vectors.counts) or len(self.vectors.rows))

    def label(self, seed: int) -> int:
        """The label of a seed, where there are labels."""
        return _place(seed, self._bounds)

    @cached_property
    def _bounds(self) -> list[int]:
        return list(itertools.accumulate(self.counts))


def _place(seed: int, bounds: Sequence[int]) -> int:
    """The place in cumulated counts to which a seed belongs."""
    share = derive_seed(seed, "condition") / 2**63
    return min(bisect_right(bounds, share * bounds[-1]), len(bounds) - 1)
