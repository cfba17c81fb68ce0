"""`gankit average`: an average of the generator of another width, after training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gankit.cli import console
from gankit.cli.flags import File, Json, With, path_of
from gankit.errors import InputError

FAR = 0.1  # of the profile's norm: an error that is told in words


def average(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run with --with power-ema.")],
    std: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Standard deviation of the profile, as a share of the run.")
    ] = None,
    halflife: Annotated[
        str | None, typer.Option(metavar="IMAGES", help="Or the last images that count as much as all others: 20k.")
    ] = None,
    out: Annotated[str | None, typer.Option("-o", "--out", help="The file (RUN/average-STD.safetensors).")] = None,
    variant: File = None,
    with_: With = None,
    json: Json = False,
) -> None:
    """Put together an average of the generator as wide as you like, from those that a run has kept.

    gankit average runs/a --std 0.08
    """
    from gankit.base.files import write_file
    from gankit.sample.averages import reconstruct
    from gankit.sample.generator import LoadOptions
    from gankit.settings.spelling import parse_count

    given = None if out is None else path_of(out, "-o")
    try:
        images = None if halflife is None else parse_count(halflife)
    except ValueError as error:
        raise InputError(f"--halflife {halflife}: {error}") from None
    options = LoadOptions(device="cpu", variant=variant, extensions=with_ or ())
    made = reconstruct(run, std=std, halflife=images, options=options)
    file = given or run / f"average-{made.std:.3g}.safetensors"
    write_file(file, made.packed.data)
    if json:
        console.print_json({
            "file": str(file), "std": made.std, "snapshots": made.snapshots, "error": made.error,
            "images_seen": made.packed.header.images_seen,
        })  # fmt: skip
        return
    console.data.print(str(file), markup=False, highlight=False, soft_wrap=True)
    console.paragraph(
        f"standard deviation {made.std:.3g} of the run, from {made.snapshots} snapshots; its profile is met to "
        f"{made.error:.1%}"
    )
    if made.error > FAR:
        console.paragraph("that is far: more snapshots (-s power-ema.snapshots=16), or a width nearer to those kept")
    console.next_steps(f"gankit eval {console.quoted(file)}", f"gankit sample {console.quoted(file)} -o samples.png")
