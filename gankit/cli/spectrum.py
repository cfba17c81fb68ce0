"""What `gankit diagnose --spectrum` says: tables, what they mean, and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gankit.cli import console

if TYPE_CHECKING:
    from gankit.look.sensitivity import Spread
    from gankit.look.spectrum import Spectrum

TURNS = 0.5  # rotation from which a game mostly turns
FLAT = 1e-3  # |dD/dx| at fakes below which G is taught little
FEW, MANY = 2.0, 8  # directions in use that are few where so many are possible
HELD = {"real": "0: R1; 1 just around: DRAGAN", "between": "1: WGAN-GP", "fake": "0: R2"}
"""What gradient penalties want |dD/dx| to be, by place."""


def document(found: Spectrum) -> dict[str, Any]:
    """The result for --json."""
    spread = found.participation
    return {
        "folder": found.folder,
        "variant": found.variant,
        "images_seen": found.images_seen,
        "batch": found.batch,
        "parameters": found.parameters,
        "eigenvalues": [
            {"re": e.value.real, "im": e.value.imag, "residual": e.residual, "settled": e.settled()}
            for e in found.eigenvalues
        ],
        "rotation": found.rotation,
        "growing": len(found.growing),
        "largest_step": found.largest_step,
        "slopes": {place: _numbers(values) for place, values in found.slopes.items()},
        "participation": None
        if spread is None
        else {
            "directions": _numbers(spread.directions),
            "of": spread.of,
            "largest": _numbers(spread.largest),
            "first_to_tenth": console.number(spread.tenth),
        },
        "missing": dict(found.missing),
        "advice": [{"figure": figure, "advice": advice} for figure, advice in advice(found)],
    }


def _numbers(values: Spread) -> dict[str, float]:
    return {"median": values.median, "p5": values.low, "p95": values.high}


def draw(found: Spectrum, picture: Path) -> None:
    """The eigenvalues in the complex plane, as a PNG file."""
    from gankit.base.files import write_durably
    from gankit.page.plane import plane
    from gankit.sample.pictures import png

    unsettled = [one.value for one in found.eigenvalues if not one.settled()]
    title = f"{found.variant} at {found.images_seen:,} images: eigenvalues of the game"
    write_durably(picture, png(plane(found.settled, unsettled, title).image()))


def show(found: Spectrum) -> None:
    """Print the tables, and what to do."""
    what = f"{found.variant} at {found.images_seen:,} images"
    game = f"{found.batch} real samples and as many fakes, {found.parameters:,} parameters"
    console.paragraph(f"{found.folder}: {what}; the game on {game}")
    if found.eigenvalues:
        _eigenvalues(found)
    if found.slopes:
        _slopes(found)
    if found.participation is not None:
        used = found.participation
        console.paragraph(
            f"G moves a sample along about {used.directions.median:.1f} of {used.of} directions "
            f"({used.directions.low:.1f}–{used.directions.high:.1f}); the largest singular value of dG/dz is "
            f"{used.largest.median:.3g}"
            + (f", {used.tenth:.3g} times the {'tenth' if used.of >= 10 else 'last'}" if used.tenth < math.inf else "")
        )
    for name, reason in found.missing.items():
        console.paragraph(f"{name}: not told, {reason}")
    for figure, do in advice(found):
        console.paragraph(figure, style="yellow")
        console.paragraph(do, indent=2)


def _eigenvalues(found: Spectrum) -> None:
    """One row for each real eigenvalue and each pair."""
    from rich.table import Table

    table = Table("eigenvalue of the game", "modulus", "rotation", "", box=None, pad_edge=False)
    shown: list[complex] = []
    for eigenvalue in found.eigenvalues:
        value = eigenvalue.value
        if any(abs(value - other.conjugate()) <= 1e-6 * abs(value) for other in shown if other.imag):
            continue  # the other one of a pair
        shown.append(value)
        size = abs(value)
        turning = abs(value.imag) / size if size else 0.0
        note = "not settled" if not eigenvalue.settled() else "grows" if value in found.growing else ""
        table.add_row(_text(value), f"{size:.3g}", f"{turning:.2f}", note)
    console.print_table(table)
    rest = len(found.eigenvalues) - len(found.settled)
    unsettled = f"; {rest} not settled: more --products" if rest else ""
    if found.rotation is not None:
        console.paragraph(f"rotation {found.rotation:.2f}: {_turning(found.rotation)}{unsettled}")
    if found.largest_step is not None:
        console.paragraph(
            f"plain gradient descent contracts along all of these with steps up to {found.largest_step:.2g}"
        )


def _turning(rotation: float) -> str:
    return "mostly turning, the players chase each other" if rotation >= TURNS else "mostly a pull, little turning"


def _text(value: complex) -> str:
    """'-12.2 ± 40.9i' or '-200'."""
    return f"{value.real:.3g} ± {abs(value.imag):.3g}i" if value.imag else f"{value.real:.3g}"


def _slopes(found: Spectrum) -> None:
    from rich.table import Table

    table = Table("|dD/dx| at", "median", "5–95 %", "what penalties hold", box=None, pad_edge=False)
    for place, values in found.slopes.items():
        table.add_row(place, f"{values.median:.3g}", f"{values.low:.3g}–{values.high:.3g}", HELD[place])
    console.print_table(table)


def advice(found: Spectrum) -> Iterator[tuple[str, str]]:
    """(what was seen, what to do), for what is conspicuous."""
    rotation, used = found.rotation, found.participation
    known = 2 * len(found.settled) >= len(found.eigenvalues)
    if rotation is not None and rotation >= TURNS and known:
        yield (
            f"rotation {rotation:.2f}: small steps lead around the equilibrium, and not to it",
            "lower both learning rates, or add a penalty at the data (--with r1); the average of G settles earlier",
        )
    if found.growing:
        yield (
            f"{len(found.growing)} of {len(found.settled)} eigenvalues have a positive real part, up to "
            f"{max(value.real for value in found.growing):.3g}: what is small along them grows, so this is no local "
            "equilibrium",
            "some belong to these few samples, as a larger --batch shows; others are usual while a game learns, and "
            "at the end of one call for learning rates that fall (--g-lr 'cosine(1e-3, 0, 100%)')",
        )
    if "fake" in found.slopes and found.slopes["fake"].median < FLAT:
        yield (
            f"D is flat at fakes, {found.slopes['fake'].median:.2g}: it teaches G next to nothing",
            "a lower --d-lr, a weaker penalty, or augmentation (--with diffaugment)",
        )
    if used is not None and used.directions.median == 0:
        yield (
            "G ignores z: all samples of one condition are the same",
            "where that is not meant, it is collapse: train anew with lower learning rates, or --with r1",
        )
    elif used is not None and used.of >= MANY and used.directions.median < FEW:
        yield (
            f"samples move along {used.directions.median:.1f} of {used.of} directions only: G is close to collapse",
            "look at its earlier pictures; a larger --batch, a lower --g-lr, or a penalty at the data (--with r1)",
        )
