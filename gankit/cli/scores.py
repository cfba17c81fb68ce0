"""Scores as text: their titles, their numbers and their protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gankit.base.text import printable
from gankit.cli import console

if TYPE_CHECKING:
    from gankit.measure.record import Evaluation

_ARROW = {True: " ↑", False: " ↓", None: ""}
_TITLES = {"fid": "FID", "kid": "KID ×1000", "is": "IS", "f1": "F1"}


def title_of(name: str, higher_is_better: bool | None) -> str:
    """'fid' -> 'FID ↓'."""
    return _TITLES.get(name, name) + _ARROW[higher_is_better]


def print_protocol(evaluation: Evaluation) -> None:
    """Print two lines on stdout: the feature space, and the samples and real data that were compared."""
    p = evaluation.protocol
    prepared = ", ".join(f"{key} {value}" for key, value in p.preparation.items())
    weights = f" {p.features_sha256[:8]}" if p.features_sha256 != "none" else ""
    lines = [
        f"features {p.features}{weights}" + (f" ({prepared})" if prepared else ""),
        f"{p.n:,} samples as {p.quantisation} against {p.n_real:,} of {p.split}; "
        + (f"floor: {p.n_floor:,} others" if p.n_floor else "no floor: no other real images")
        + f"; seed {p.seed}",
    ]
    for line in lines:
        console.data.print(printable(line), markup=False)


def text_of(name: str, value: float | None, spread: float | None = None) -> str:
    """A score as text: KID in thousandths, the share of duplicates in per cent."""
    if value is None:
        return ""
    if name == "duplicates":
        return f"{value:.1%}"
    factor = 1000 if name == "kid" else 1
    number = factor * value
    text = f"{number:.3f}" if abs(number) < 10 else f"{number:.1f}" if abs(number) < 1000 else f"{number:,.0f}"
    return text if spread is None else f"{text} ± {factor * spread:,.2f}"
