"""What is told about a plugin beside the checks, without a judgement."""

from __future__ import annotations

from dataclasses import dataclass

from gankit.look.dynamics import MEANS, Unplayed, local
from gankit.testing.subject import Subject


@dataclass(frozen=True)
class Report:
    """Something worth knowing about a plugin."""

    name: str
    text: str


def reports(subject: Subject) -> list[Report]:
    """All reports of a plugin; an extension is looked at with the default variant."""
    return [Report("dynamics", _dynamics(subject))]


def _dynamics(subject: Subject) -> str:
    """What the game does near the equilibrium of the smallest GAN, as `gankit verify --dynamics` computes it."""
    (found,) = local([subject.variant], subject.extensions)
    if isinstance(found, Unplayed):
        return f"not one of the games of gankit verify --dynamics: {found.reason}"
    values = "" if found.eigenvalues is None else f", eigenvalues {found.values}"
    return f"near the equilibrium of the smallest GAN the game {MEANS[found.verdict]}{values}"
