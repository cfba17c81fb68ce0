"""The flags that say where samples come from and how they are edited: --latents, --truncation, --move."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gankit.cli.flags import path_of
from gankit.errors import InputError

if TYPE_CHECKING:
    from gankit.sample.directions import Direction, Edit
    from gankit.sample.generator import TrainedGenerator
    from gankit.sample.latents import Latents

LatentsFile = Annotated[
    str | None, typer.Option("--latents", metavar="FILE", help="Latents of `gankit project` in place of seeds (.npz).")
]
Truncation = Annotated[
    float, typer.Option(metavar="PSI", help="Nearer to the mean: 0.7 draws fewer odd samples, 1 as they are.")
]
Moves = Annotated[
    list[str] | None,
    typer.Option("--move", metavar="NAME=N", help="N standard deviations along a direction; may be repeated."),
]
DirectionsFile = Annotated[
    str | None, typer.Option("--directions", metavar="FILE", help="Their file (the one beside the checkpoint).")
]


def edit_of(
    generator: TrainedGenerator, checkpoint: Path, psi: float, moves: list[str] | None, directions: str | None = None
) -> Edit:
    """What the flags ask for; the file of directions is read only where there are moves."""
    from gankit.sample.directions import Edit, directions_file, parse_moves, read_directions
    from gankit.store.find import generator_file

    if not moves:
        return Edit(psi)
    file = directions_file(generator_file(checkpoint)) if directions is None else path_of(directions, "--directions")
    return Edit(psi, parse_moves(moves, read_directions(file, generator), generator))


def latents_of(text: str | None, generator: TrainedGenerator) -> Latents | None:
    """The latents of --latents."""
    from gankit.sample.latent_file import read_latents

    return None if text is None else read_latents(path_of(text, "--latents"), generator)


def way_of(
    text: str, generator: TrainedGenerator, checkpoint: Path, directions: str | None
) -> tuple[Direction, tuple[int, int] | None, float, float]:
    """'smile@0-3=-3:3' -> the direction, the layers that move, and where a walk along it begins and ends."""
    name, _, bounds = text.rpartition("=")
    try:
        low, high = (float(part) for part in bounds.split(":"))
    except ValueError:
        low = high = math.nan
    if not name or not math.isfinite(low) or not math.isfinite(high):
        raise InputError(f"--along {text}: not NAME=LOW:HIGH", hint="for example --along sefa0=-3:3")
    move, _ = edit_of(generator, checkpoint, 1.0, [f"{name}={low}", f"{name}={high}"], directions).moves
    return move.direction, move.layers, low, high
