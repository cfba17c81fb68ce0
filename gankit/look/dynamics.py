"""`gankit verify --dynamics`: does a game find its equilibrium? On the smallest GAN (Mescheder et al. 2018)."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gankit.errors import GankitError
from gankit.host import discovery
from gankit.run.adversary import Adversary

STEPS, RATE = 2_000, 0.1
STILL = 1e-4  # a real part that counts as 0, and the step of differences
KINK = 1e-2  # by which differences of two step sizes may differ
Verdict = Literal["converges", "circles", "leaves", "kink"]


@dataclass(frozen=True)
class Dynamics:
    """What a variant's game does on the Dirac-GAN: real data are 0, fakes are theta, D(x) = psi x."""

    variant: str
    eigenvalues: tuple[complex, complex] | None
    """Of the Jacobian of (-dL_G/dtheta, -dL_D/dpsi) at the equilibrium (0, 0); None where it has a kink."""
    distance: float
    """From the equilibrium after 2,000 alternating steps of 0.1 from (theta, psi) = (1, 0)."""
    verdict: Verdict
    """converges: all real parts are below 0; circles: they are 0; leaves: one is above."""


@dataclass(frozen=True)
class Unplayed:
    """A variant whose game is not one of scores for samples alone, and why."""

    variant: str
    reason: str


class _Line(nn.Module):
    """D(x) = psi x + offset, where offset is the score at which D takes a sample for neither real nor fake."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        return self.psi * x[:, 0] + self.offset


class _Dirac:
    """The game of one variant."""

    def __init__(self, variant: str, options: dict[str, Any] | None) -> None:
        line = _Line(0.0)
        self.adversary = Adversary(
            line, variant, shape=(1,), lr=RATE, optimizer="sgd", penalty_every=1, options=options or {}
        )
        line.offset = self.adversary.loss.boundary or 0.0
        self.line = line
        self.real = torch.zeros(2, 1, dtype=torch.float64)

    def pull(self, theta: float, psi: float) -> tuple[float, float]:
        """(-dL_G/dtheta, -dL_D/dpsi) at a point."""
        with torch.no_grad():
            self.line.psi.fill_(psi)
        fake = torch.full((2, 1), theta, dtype=torch.float64, requires_grad=True)
        of_g = torch.autograd.grad(self.adversary.g_loss(fake, self.real), fake)[0].sum()
        of_d = torch.autograd.grad(self.adversary.d_loss(self.real, fake), self.line.psi)[0]
        return -float(of_g), -float(of_d)

    def jacobian(self) -> list[list[float]] | None:
        """Derivatives of `pull` at (0, 0), [by what][of what]; None where it has a jump, and so no derivative."""
        coarse, fine = ([self._differences(step, 0.0), self._differences(0.0, step)] for step in (STILL, STILL / 10))
        gaps = [abs(one - other) for a, b in zip(coarse, fine, strict=True) for one, other in zip(a, b, strict=True)]
        return None if max(gaps) > KINK else coarse

    def _differences(self, theta: float, psi: float) -> list[float]:
        """Central differences of `pull` along (theta, psi), one of which is 0."""
        ahead, behind, width = self.pull(theta, psi), self.pull(-theta, -psi), 2 * (theta + psi)
        return [(a - b) / width for a, b in zip(ahead, behind, strict=True)]

    def play(self) -> float:
        """The distance from the equilibrium after alternating steps."""
        with torch.no_grad():
            self.line.psi.fill_(0.0)
        theta = torch.ones((), dtype=torch.float64, requires_grad=True)
        for _ in range(STEPS):
            self.adversary.d_step(self.real, theta.expand(2, 1))
            (gradient,) = torch.autograd.grad(self.adversary.g_loss(theta.expand(2, 1), self.real), theta)
            theta = (theta - RATE * gradient).detach().requires_grad_()
        return math.hypot(float(theta.detach()), float(self.line.psi.detach()))


def dynamics(variants: Sequence[str] = (), options: dict[str, Any] | None = None) -> list[Dynamics | Unplayed]:
    """The dynamics of the named variants, or of all installed ones, with their default options or these."""
    names = variants or [plugin.name for plugin in discovery.discover(discovery.VARIANTS)]
    results: list[Dynamics | Unplayed] = []
    for name in names:
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                results.append(_of(name, _Dirac(name, options)))
        except GankitError as error:
            if variants:
                raise
            results.append(Unplayed(name, error.message))
    return results


def _of(name: str, game: _Dirac) -> Dynamics:
    jacobian, distance = game.jacobian(), game.play()
    if jacobian is None:
        return Dynamics(name, None, distance, "kink")
    (a, b), (c, d) = jacobian
    root = cmath.sqrt((a - d) ** 2 / 4 + b * c)
    values = ((a + d) / 2 + root, (a + d) / 2 - root)
    largest = max(value.real for value in values)
    verdict: Verdict = "circles" if abs(largest) < STILL else "converges" if largest < 0 else "leaves"
    return Dynamics(name, values, distance, verdict)
