"""Averages by power functions, and any other such average from snapshots of two of them (Karras et al., 2024, EDM2).

After t images the weights of the moment s count as s^e, up to a factor: the average always covers the same share of the
run. It is named by the standard deviation of that profile as a share of t (their sigma_rel, equation 126 of arXiv
2312.02696). Two averages that are kept at several moments hold almost everything that an average of another width would
have, which is solved for afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from gankit.errors import InputError
from gankit.game.ema import Ema

WIDEST, NARROWEST = 0.28, 0.005
"""Between them a standard deviation has an exponent: that of a mean over the whole run is 0.289."""


class PowerEma(Ema):
    """A copy of a module that follows it with the profile of a power function: the decay of a step is
    (1 - images / images_seen)^(exponent + 1)."""

    def __init__(self, module: nn.Module, std: float) -> None:
        super().__init__(module, 0)
        self.std = std
        """Of the profile, as a share of the images seen."""
        self.exponent = exponent_of(std)
        """Of the power function."""

    def decay(self, images: int, images_seen: int, total: int | None) -> float:
        """What is kept of the average in a step after `images` more images."""
        return float((1 - images / images_seen) ** (self.exponent + 1))


def exponent_of(std: float) -> float:
    """The exponent e >= 0 whose profile has this standard deviation: std^2 = (e + 1) / ((e + 2)^2 (e + 3)).

    InputError outside of 0.005 to 0.28.
    """
    if not NARROWEST <= std <= WIDEST:
        raise InputError(
            f"a power-function average with a standard deviation of {std:g} of the run",
            hint=f"between {NARROWEST:g} and {WIDEST:g}; published ones lie between 0.05 and 0.25",
        )
    roots = np.roots([1, 7, 16 - std**-2, 12 - std**-2])
    return float(max(root.real for root in roots if abs(root.imag) < 1e-9))


def std_of(exponent: float) -> float:
    """The standard deviation of the profile with this exponent, as a share of the run."""
    return math.sqrt((exponent + 1) / ((exponent + 2) ** 2 * (exponent + 3)))


def std_of_halflife(share: float) -> float:
    """The standard deviation of the profile of which the last `share` of the run makes up a half."""
    if not 0 < share < 0.5:
        raise InputError(f"a half-life of {share:.3g} of the run", hint="less than a half of the images of the run")
    return std_of(-math.log(2) / math.log1p(-share) - 1)


@dataclass(frozen=True)
class Profile:
    """How much each moment of a run counts in an average: s^exponent up to the moment `images`, and nothing later."""

    exponent: float
    images: int


@dataclass(frozen=True)
class Solved:
    """The factors of snapshots whose sum comes nearest to an average, and what is missing."""

    factors: npt.NDArray[np.float64]
    """[N], one for each snapshot; their sum is 1."""
    error: float
    """The distance of the profiles, relative to the wanted one (root mean square over the run)."""


def solve(snapshots: Sequence[Profile], wanted: Profile) -> Solved:
    """The least-squares combination of snapshots for a wanted profile, with factors that sum to one."""
    n = len(snapshots)
    products = np.array([[_product(a, b) for b in snapshots] for a in snapshots])
    target = np.array([_product(a, wanted) for a in snapshots])
    norm = _product(wanted, wanted)
    system = np.block([[products, np.ones((n, 1)) * norm], [np.ones((1, n)) * norm, np.zeros((1, 1))]])
    factors = np.linalg.lstsq(system, np.append(target, norm), rcond=1e-13)[0][:n]
    missing = norm - 2 * factors @ target + factors @ products @ factors
    return Solved(factors, math.sqrt(max(0.0, missing) / norm))


def _product(a: Profile, b: Profile) -> float:
    """The integral over the run of both profiles, each with the integral 1, per image."""
    shared = min(a.images, b.images)
    scale = (a.exponent + 1) * (b.exponent + 1) / (a.exponent + b.exponent + 1)
    falls = (shared / a.images) ** a.exponent * (shared / b.images) ** b.exponent
    return float(scale * falls * shared / a.images / b.images)
