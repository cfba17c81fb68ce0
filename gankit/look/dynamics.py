"""`gankit verify --dynamics`: does a game find its equilibrium? On the smallest GAN (Mescheder et al. 2018)."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from gankit.errors import GankitError, Stopped
from gankit.host import discovery
from gankit.host.importing import one_line
from gankit.run.adversary import Adversary

STEPS, RATE = 2_000, 0.1
STILL = 1e-4  # a real part that counts as 0, and the step of differences
KINK = 1e-2  # by which differences of two step sizes may differ
Verdict = Literal["converges", "circles", "leaves", "kink"]
T = TypeVar("T")

MEANS: dict[Verdict, str] = {
    "converges": "finds its equilibrium",
    "circles": "circles around it",
    "leaves": "leaves it",
    "kink": "jumps at it: no derivative",
}


@dataclass(frozen=True)
class Local:
    """A variant's game near the equilibrium of the Dirac-GAN: real data are 0, fakes are theta, D(x) = psi x."""

    variant: str
    eigenvalues: tuple[complex, complex] | None
    """Of the Jacobian of (-dL_G/dtheta, -dL_D/dpsi) at the equilibrium (0, 0); None where it has a kink."""
    verdict: Verdict
    """converges: all real parts are below 0; circles: they are 0; leaves: one is above."""

    @property
    def values(self) -> str:
        """The eigenvalues for people: '±0.5i', '-0.1±0.49i', '-0.134, -1.87', or '–' at a kink."""
        if self.eigenvalues is None:
            return "–"
        one, other = self.eigenvalues
        if abs(one.imag) > 1e-9:
            real = "" if abs(one.real) < 1e-6 else f"{one.real:.3g}"
            return f"{real}±{abs(one.imag):.3g}i"
        return f"{one.real:.3g}, {other.real:.3g}"


@dataclass(frozen=True)
class Dynamics(Local):
    """The same, and where the game is led."""

    distance: float
    """From the equilibrium after 2,000 alternating steps of 0.1 from (theta, psi) = (1, 0)."""


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

    def __init__(self, variant: str, options: dict[str, Any] | None, extensions: Sequence[str]) -> None:
        line = _Line(0.0)
        self.adversary = Adversary(
            line,
            variant,
            shape=(1,),
            parts=extensions,
            lr=RATE,
            optimizer="sgd",
            penalty_every=1,
            options=options or {},
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
    """The dynamics of the named variants, or of all installed ones, with their default options or these.

    GankitError for a named variant that cannot be played; of all of them, it is an `Unplayed`.
    """

    def look(name: str) -> Dynamics:
        game = _Dirac(name, options, ())
        return Dynamics(name, *_near(game), distance=game.play())

    if variants:
        return [_seeded(look, name) for name in variants]
    return [_tried(look, plugin.name) for plugin in discovery.discover(discovery.VARIANTS)]


def local(variants: Sequence[str], extensions: Sequence[str] = ()) -> list[Local | Unplayed]:
    """What each game does near the equilibrium, each in a few milliseconds: no steps are played.

    Plugins are named as users name them. Whatever one of them raises is told as the reason of an `Unplayed`.
    """
    return [_tried(lambda name: Local(name, *_near(_Dirac(name, None, extensions))), name) for name in variants]


def _seeded(look: Callable[[str], T], name: str) -> T:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return look(name)


def _tried(look: Callable[[str], T], name: str) -> T | Unplayed:
    try:
        return _seeded(look, name)
    except Stopped:  # Ctrl-C is no answer
        raise
    except GankitError as error:
        return Unplayed(name, error.message)
    except Exception as error:  # a plugin that nobody has chosen
        return Unplayed(name, one_line(error))


def _near(game: _Dirac) -> tuple[tuple[complex, complex] | None, Verdict]:
    """The eigenvalues at the equilibrium, and what they mean."""
    jacobian = game.jacobian()
    if jacobian is None:
        return None, "kink"
    (a, b), (c, d) = jacobian
    root = cmath.sqrt((a - d) ** 2 / 4 + b * c)
    values = ((a + d) / 2 + root, (a + d) / 2 - root)
    largest = max(value.real for value in values)
    return values, "circles" if abs(largest) < STILL else "converges" if largest < 0 else "leaves"
