"""How steep a discriminator is at samples, and along how many directions of z a generator's samples move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.base import progress
from gankit.game.critic import Critic, scores_of
from gankit.game.penalties import between, input_gradients, leaf

MOST_NUMBERS = 1 << 26  # of the Jacobians that are in memory at a time


@dataclass(frozen=True)
class Spread:
    """The median of some numbers, and the range without the lowest and the highest twentieth."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Tensor) -> Spread:
        """Of numbers [N]."""
        low, median, high = torch.quantile(
            values.double().cpu(), torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)
        ).tolist()
        return cls(median, low, high)


def slopes(critic: Critic) -> dict[str, Spread]:
    """|∂D/∂x| of the score at real samples, at fake ones, and at a uniform point between each two of them.

    Batch norm of the discriminator is to be in eval mode, so that a score is a function of its own sample.
    """
    real, fake = critic.batch.real, critic.batch.fake.detach()
    points = {"real": leaf(real), "between": between(real, fake), "fake": leaf(fake)}
    return {
        place: Spread.of(torch.linalg.vector_norm(input_gradients(scores_of(critic(at)), at).detach(), dim=1))
        for place, at in points.items()
    }


@dataclass(frozen=True)
class Participation:
    """How many directions of z move a sample, from the singular values of ∂G/∂z at several z (Odena et al. 2018)."""

    directions: Spread
    """(Σσ²)² / Σσ⁴: d where d singular values are equal and the others 0; 0 of a generator that ignores z."""
    of: int
    """The largest number that there can be: the length of z, or the numbers in a sample where these are fewer."""
    largest: Spread
    """The largest singular value."""
    tenth: float
    """The median of the largest singular value over the tenth, or over the last of fewer; inf where that is 0."""


def participation(generate: Callable[..., Tensor], z: Tensor, *y: Tensor) -> Participation:
    """Of samples `generate(z, *y)` around some z [N, z_dim] (and y [N, K]); a sample depends on its own row alone."""
    size = generate(z[:1], *(condition[:1] for condition in y)).numel()
    at_a_time = max(1, min(len(z), MOST_NUMBERS // (size * z.shape[1])))
    parts = list(zip(*(torch.split(tensor, at_a_time) for tensor in (z, *y)), strict=True))
    values = []
    for number, part in enumerate(parts):
        values.append(torch.linalg.svdvals(_jacobian(generate, *part)).double().cpu())
        progress.tell("samples of G", number + 1, len(parts))
    return participation_of(torch.cat(values))


def participation_of(sigma: Tensor) -> Participation:
    """From singular values [N, d], the largest of each row first."""
    squares = sigma.square()
    total = squares.sum(1).square()
    directions = torch.where(total > 0, total / squares.square().sum(1).clamp_min(torch.finfo(sigma.dtype).tiny), 0)
    last = sigma[:, min(9, sigma.shape[1] - 1)]
    ratio = torch.where(last > 0, sigma[:, 0] / last, torch.inf)
    return Participation(Spread.of(directions), sigma.shape[1], Spread.of(sigma[:, 0]), float(ratio.median()))


def _jacobian(generate: Callable[..., Tensor], z: Tensor, *y: Tensor) -> Tensor:
    """∂G/∂z as [n, z_dim, numbers in a sample]."""
    at = leaf(z)
    samples = generate(at, *y)
    weights = torch.zeros_like(samples, requires_grad=True)
    if not samples.requires_grad:  # they do not depend on z
        return torch.zeros(*z.shape, samples[0].numel(), dtype=z.dtype, device=z.device)
    (pulled,) = torch.autograd.grad(samples, at, weights, create_graph=True)
    columns = []
    for index in range(z.shape[1]):  # pulled = Jᵀ w of each sample: its derivative for w is J
        (column,) = torch.autograd.grad(pulled[:, index].sum(), weights, retain_graph=True, materialize_grads=True)
        columns.append(column.flatten(1))
    return torch.stack(columns, dim=1)
