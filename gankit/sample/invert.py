"""Inversion: the latents whose samples come nearest to given ones, by Adam with restarts from a bank of samples."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from gankit.base import progress
from gankit.errors import InputError
from gankit.game.latent import LatentSpace
from gankit.sample.latents import Latents, is_styled, mean_style, styles_of

View = Callable[[Tensor], Tensor]
"""Samples as networks make them, [N, *shape] -> vectors [N, D], whose squared distances are minimised."""

Where = Literal["z", "w", "w+"]

BANK = 4096  # samples from which a search may start
BANK_VALUES = 1 << 28  # numbers in the views of the bank
STEPS, RESTARTS = 200, 3
BATCH = 256
RATE = 0.1  # initial learning rate of Adam on z; it falls to 0 along a cosine
BEYOND = 3.0  # z stays in the ball of radius sqrt(z_dim) + 3, outside which N(0, I) has less than 1e-5 of its mass
DEVIATIONS = 4.0  # and each number of w within so many standard deviations
TRAIL = (0.0, 0.05, 0.2, 1.0)  # shares of a search after which its samples are kept for the picture
BETWEEN_PRUNING = 10  # steps


class SearchSpace(ABC):
    """Where latents are searched for: its points are tensors [n, …]; y [n, K] stays as it is at the start."""

    rate = RATE

    @abstractmethod
    def point(self, latents: Latents) -> Tensor:
        """Latents of the prior -> points."""

    @abstractmethod
    def make(self, points: Tensor, y: Tensor | None) -> Tensor:
        """The samples of points, float32 [n, *shape]."""

    @abstractmethod
    def keep(self, points: Tensor) -> Tensor:
        """Points, brought back to where the prior is."""

    @abstractmethod
    def latents(self, points: Tensor, y: Tensor | None) -> Latents:
        """Points as latents on the CPU."""


class InZ(SearchSpace):
    """z [n, z_dim]."""

    def __init__(self, module: nn.Module, space: LatentSpace) -> None:
        self.module, self.space = module, space

    def point(self, latents: Latents) -> Tensor:
        assert latents.z is not None
        return latents.z

    def make(self, points: Tensor, y: Tensor | None) -> Tensor:
        samples: Tensor = self.module(points) if y is None else self.module(points, y)
        return samples.float()

    def keep(self, points: Tensor) -> Tensor:
        if self.space.prior == "uniform":
            return points.clamp(-1, 1)
        return points.renorm(2, 0, math.sqrt(self.space.z_dim) + BEYOND)

    def latents(self, points: Tensor, y: Tensor | None) -> Latents:
        return Latents(points.cpu(), None if y is None else y.cpu())


class InStyles(SearchSpace):
    """One w for all layers, [n, W], or with `each` one for each layer, [n, L, W] (w+)."""

    def __init__(self, module: nn.Module, space: LatentSpace, device: torch.device, *, each: bool) -> None:
        if not is_styled(module):
            raise InputError("the generator has no styles: it takes z only", hint="leave out --space, or --space z")
        self.module, self.device, self.each = module, device, each
        spread = styles_of(module, Latents(*space.draw(BANK, 0)), device)[:, 0].std(0)
        self.spread, self.mean = spread.to(device), mean_style(module, space, device).to(device)
        self.rate = RATE * float(spread.mean())

    def point(self, latents: Latents) -> Tensor:
        ws = styles_of(self.module, latents, self.device)
        return ws if self.each else ws[:, 0].contiguous()

    def make(self, points: Tensor, y: Tensor | None) -> Tensor:
        return self.module.synthesise(self._styles(points)).float()

    def keep(self, points: Tensor) -> Tensor:
        reach = DEVIATIONS * self.spread
        return torch.minimum(torch.maximum(points, self.mean - reach), self.mean + reach)

    def latents(self, points: Tensor, y: Tensor | None) -> Latents:
        return Latents(ws=self._styles(points).contiguous().cpu())

    def _styles(self, points: Tensor) -> Tensor:
        return points if self.each else points[:, None].expand(-1, self.module.styles, -1)


def search_space(module: nn.Module, space: LatentSpace, device: torch.device, where: Where | None) -> SearchSpace:
    """The space of a name; by default w of a generator with styles, and z of any other."""
    where = where or ("w" if is_styled(module) else "z")
    return InZ(module, space) if where == "z" else InStyles(module, space, device, each=where == "w+")


@dataclass(frozen=True)
class Inverted:
    """What was found for N targets."""

    points: Tensor
    """[N, …] in the search space, on the CPU."""
    y: Tensor | None
    """[N, K] on the CPU."""
    errors: Tensor
    """Squared distances of the views, float64 [N]."""
    trail: Tensor
    """Points on the way, [N, 4, …]: at the start, after 5 % and 20 % of the steps, and the best."""


def frozen(module: nn.Module, device: torch.device | str) -> nn.Module:
    """A copy of a generator in eval mode through which gradients flow to its inputs alone."""
    return copy.deepcopy(module).to(device).eval().requires_grad_(False)


def invert(
    targets: Tensor,
    within: SearchSpace,
    space: LatentSpace,
    *,
    view: View,
    y: Tensor | None = None,
    restarts: int = RESTARTS,
    steps: int = STEPS,
    seed: int = 0,
    device: torch.device | str,
    tolerance: float = 0.0,
    what: str = "projection",
) -> Inverted:
    """Views of the targets [N, D], on the CPU -> the nearest samples of a generator.

    Adam starts at the nearest of a bank of samples, then at the second nearest, and so on. `y` [K] is the condition of
    all; by default each start has its own, drawn as in the data. The search for a target ends as soon as its error is
    below `tolerance`. Rows do not depend on each other.
    """
    bank = _bank(within, space, view, targets.shape[1], seed, y, torch.device(device))
    restarts = min(restarts, len(bank.points))
    order, best = bank.nearest(targets, restarts)
    points, conditions = bank.points[order[:, 0]], None if bank.y is None else bank.y[order[:, 0]]
    trail = points[:, None].repeat(1, len(TRAIL), *[1] * (points.dim() - 1))
    total = restarts * len(targets)
    for restart in range(restarts):
        open_rows = torch.nonzero(best >= tolerance)[:, 0]
        done = restart * len(targets) + len(targets) - len(open_rows)
        for part in torch.split(open_rows, BATCH) if len(open_rows) else ():
            start = order[part, restart]
            y_of_part = None if bank.y is None else bank.y[start]
            count = len(part)

            def tell(step: int, done: int = done, count: int = count) -> None:
                progress.tell(what, done + count * step // steps, total)

            begin = _Begin(bank.points[start], y_of_part, targets[part])
            found = _search(within, begin, view, steps, tolerance, device, tell)
            better = found.errors < best[part]
            rows = part[better]
            best[rows], points[rows], trail[rows] = found.errors[better], found.points[better], found.trail[better]
            if conditions is not None and y_of_part is not None:
                conditions[rows] = y_of_part[better]
            done += len(part)
            progress.tell(what, done, total)
    progress.tell(what, total, total)
    return Inverted(points, conditions, best, trail)


@dataclass(frozen=True)
class _Bank:
    points: Tensor  # [B, …] on the CPU
    y: Tensor | None  # [B, K]
    views: Tensor  # [B, D]

    def nearest(self, targets: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Indices [N, count] of the nearest in the bank, and the smallest squared distances [N], float64."""
        parts = []
        for part in torch.split(targets, BATCH):
            exact = torch.cdist(part, self.views, compute_mode="donot_use_mm_for_euclid_dist").square()
            parts.append(exact.topk(max(1, count), largest=False))
        return torch.cat([part.indices for part in parts]), torch.cat([part.values[:, 0] for part in parts]).double()


@torch.no_grad()
def _bank(
    within: SearchSpace, space: LatentSpace, view: View, dim: int, seed: int, y: Tensor | None, device: torch.device
) -> _Bank:
    z, conditions = space.draw(BANK, seed)
    size = max(64, min(BANK, BANK_VALUES // dim))
    z, conditions = z[:size], None if conditions is None else conditions[:size]
    if y is not None:
        conditions = y.expand(size, -1).contiguous()
    points = within.point(Latents(z, conditions))
    views = []
    for start in range(0, size, BATCH):
        rows = slice(start, start + BATCH)
        part = None if conditions is None else conditions[rows].to(device)
        views.append(view(within.make(points[rows].to(device), part)).cpu())
        progress.tell("samples to start from", min(size, start + BATCH), size)
    return _Bank(points, conditions, torch.cat(views))


class _Begin(NamedTuple):
    points: Tensor  # [n, …]
    y: Tensor | None  # [n, K]
    targets: Tensor  # [n, D]


@torch.enable_grad()
def _search(
    within: SearchSpace,
    begin: _Begin,
    view: View,
    steps: int,
    tolerance: float,
    device: torch.device | str,
    tell: Callable[[int], None],
) -> Inverted:
    """Adam from some points towards targets.

    Adam is written out because rows that are done are dropped on the way, with their state.
    """
    start, conditions, targets = begin
    best, points_of_best = torch.full((len(start),), torch.inf, dtype=torch.float64), start.clone()
    trail = start[:, None].repeat(1, len(TRAIL), *[1] * (start.dim() - 1))
    marks = {round(share * steps): number for number, share in enumerate(TRAIL[:-1])}
    ids, x, targets = torch.arange(len(start)), start.to(device), targets.to(device)
    y = None if conditions is None else conditions.to(device)
    mean, square = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(steps):
        if step in marks:
            trail[ids, marks[step] :] = x.detach().cpu()[:, None]
        x.requires_grad_(True)
        distance = (view(within.make(x, y)) - targets).square().sum(dim=1)
        (gradient,) = torch.autograd.grad(distance.sum(), x)
        x = x.detach()
        now = distance.detach().cpu().double()
        better = now < best[ids]
        best[ids[better]], points_of_best[ids[better]] = now[better], x.cpu()[better]
        mean, square = mean.lerp(gradient, 0.1), square.lerp(gradient.square(), 0.001)
        rate = within.rate * (1 + math.cos(math.pi * step / steps)) / 2 / (1 - 0.9 ** (step + 1))
        x = within.keep(x - rate * mean / (square / (1 - 0.999 ** (step + 1))).sqrt().add(1e-8))
        if step % BETWEEN_PRUNING == BETWEEN_PRUNING - 1:
            tell(step)
            unfinished = best[ids] >= tolerance
            if not unfinished.any():
                break
            if not unfinished.all():
                kept = unfinished.to(x.device)
                ids, targets, x, mean, square = ids[unfinished], targets[kept], x[kept], mean[kept], square[kept]
                y = None if y is None else y[kept]
    trail[:, -1] = points_of_best
    return Inverted(points_of_best, conditions, best, trail)
