"""The inputs of a generator: latent vectors z, drawn from seeds, and the conditions y of a conditional run."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Ge, Le, Len
from torch import Tensor
from torch.nn import functional

from gankit.base.seeds import derive_seed
from gankit.machine import streams
from gankit.settings.option import Prior

MAX_CONDITION = 1 << 12  # largest length of y
EXAMPLES = 64  # most condition vectors in a generator file


def draw_z(
    n: int,
    z_dim: int,
    prior: Prior,
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """z [n, z_dim] from the prior: N(0, I), or uniform on [-1, 1]."""
    if prior == "uniform":
        return torch.rand(n, z_dim, generator=generator, device=device).mul_(2).sub_(1)
    return torch.randn(n, z_dim, generator=generator, device=device)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Labels [N] int64 -> y [N, classes] float32."""
    return functional.one_hot(labels, classes).float()


@dataclass(frozen=True)
class Conditions:
    """The conditions y in the data: counts of labels, or examples of vectors. Exactly one of the two is empty."""

    counts: Annotated[tuple[Annotated[int, Ge(0)], ...], Len(0, MAX_CONDITION)] = ()
    examples: Annotated[
        tuple[Annotated[tuple[Annotated[float, Ge(-1e30), Le(1e30)], ...], Len(1, MAX_CONDITION)], ...],
        Len(0, EXAMPLES),
    ] = ()

    def __post_init__(self) -> None:
        lengths = {len(example) for example in self.examples}
        if bool(self.counts) == bool(self.examples) or len(lengths) > 1 or (self.counts and sum(self.counts) == 0):
            raise ValueError("neither counts of labels nor examples of one length")

    @property
    def length(self) -> int:
        """K, the length of y."""
        return len(self.counts) or len(self.examples[0])

    def of_seeds(self, seeds: Sequence[int]) -> Tensor:
        """y [N, K]. Each row depends only on its own seed; labels are as frequent as in the data."""
        if self.examples:
            vectors = [self.examples[derive_seed(seed, "condition") % len(self.examples)] for seed in seeds]
            return torch.tensor(vectors)
        return one_hot(torch.tensor([self.label(seed) for seed in seeds]), self.length)

    def label(self, seed: int) -> int:
        """The label of a seed, where there are labels."""
        share = derive_seed(seed, "condition") / 2**63
        return min(bisect_right(self._bounds, share * self._bounds[-1]), self.length - 1)

    @cached_property
    def _bounds(self) -> list[int]:
        return list(itertools.accumulate(self.counts))


@dataclass(frozen=True)
class LatentSpace:
    """The inputs of one generator; `conditions` is None for an unconditional generator."""

    z_dim: int
    prior: Prior = "normal"
    conditions: Conditions | None = None

    def z(self, seeds: Sequence[int]) -> Tensor:
        """z [N, z_dim] on the CPU. Each row depends only on its own seed; InputError for a seed outside [0, 2**63)."""
        return torch.cat([draw_z(1, self.z_dim, self.prior, generator=streams.generator(seed)) for seed in seeds])

    def draw(self, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
        """z [n, z_dim] on the CPU, all from the stream of one seed, and y [n, K] or None."""
        z = draw_z(n, self.z_dim, self.prior, generator=streams.generator(seed))
        y = self.conditions.of_seeds([derive_seed(seed, i) for i in range(n)]) if self.conditions else None
        return z, y

    def inputs(self, seeds: Sequence[int], y: Tensor | None = None) -> tuple[Tensor, ...]:
        """The arguments of the generator for some seeds: (z,), or (z, y [N, K]); y is drawn by default."""
        z = self.z(seeds)
        if self.conditions is None:
            return (z,)
        return z, self.conditions.of_seeds(seeds) if y is None else y
