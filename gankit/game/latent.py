"""The inputs of a generator: latent vectors z, drawn from seeds, and with them y in a conditional run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.base.seeds import derive_seed
from gankit.game.conditions import Conditions
from gankit.machine import streams
from gankit.settings.option import Prior


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
