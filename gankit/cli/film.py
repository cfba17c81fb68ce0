"""`gankit film`: a run's pictures as a film."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gankit.cli import console
from gankit.cli.flags import Json, path_of
from gankit.errors import InputError


def film(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long it is, without its end.")] = 8.0,
    plain: Annotated[bool, typer.Option("--plain", help="Without the number of images seen.")] = False,
    out: Annotated[str, typer.Option("-o", "--out", help="x.webp, x.gif, or x.mp4 where ffmpeg is.")] = "film.webp",
    json: Json = False,
) -> None:
    """Put the sample grids of a run together as a film of its training.

    gankit film runs/gan-digits-1 -o training.webp
    """
    from gankit.look.film import SUFFIXES
    from gankit.look.film import film as compute

    path = path_of(out, "-o")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out}: unknown kind of film '{path.suffix}'", hint=" or ".join(f"x{s}" for s in SUFFIXES))
    with console.progress_bar():
        made = compute(run, path, seconds=seconds, captions=not plain)
    if json:
        facts = {"frames": made.frames, "images": list(made.images), "seconds": round(made.seconds, 2)}
        console.print_json({"out": str(path), **facts})
        return
    first, last = made.images
    console.data.print(
        f"{path}  {made.frames} pictures, {first:,} to {last:,} images, {made.seconds:.1f} s", markup=False
    )
    console.next_steps(f"gankit sample {console.quoted(run)} -o samples.png")
