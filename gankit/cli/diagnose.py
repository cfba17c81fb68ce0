"""`gankit diagnose`: the health of a run, from its statistics, or from its networks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from gankit.cli import console
from gankit.cli.flags import Device, File, Json, With, picture_path
from gankit.errors import InputError


def diagnose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    spectrum: Annotated[
        bool, typer.Option("--spectrum", help="Look at the game and its networks at the last checkpoint instead.")
    ] = False,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Real samples of that game (default: 256 points, or 128 others).")
    ] = None,
    products: Annotated[int, typer.Option(min=20, help="Products with the Jacobian, at most.")] = 100,
    data: Annotated[str | None, typer.Option(help="Where the data of the run are now.")] = None,
    variant: File = None,
    with_: With = None,
    device: Device = "cpu",
    out: Annotated[str | None, typer.Option("-o", "--out", help="Draw the eigenvalues as well: x.png.")] = None,
    json: Json = False,
) -> None:
    """Diagnose a run from its statistics: collapse, a too confident discriminator, vanishing gradients, its end.

    With --spectrum: does the game turn or settle, how steep is D, along how many directions of z do samples move?

    gankit diagnose runs/lsgan-digits-0001
    gankit diagnose runs/lsgan-digits-0001 --spectrum
    """
    if spectrum:
        given: dict[str, Any] = {"data": data, "variant": variant, "extensions": with_}
        changes = {key: value for key, value in given.items() if value is not None}
        _spectrum(run, batch, products, {**changes, "device": device}, out, as_json=json)
        return
    if (batch, products, data, variant, with_, device, out) != (None, 100, None, None, None, "cpu", None):
        raise InputError("the statistics of a run need no other flag", hint="add --spectrum, or leave them out")
    _statistics(run, as_json=json)


def _spectrum(
    run: Path, batch: int | None, products: int, changes: dict[str, Any], out: str | None, *, as_json: bool
) -> None:
    from gankit.cli import spectrum as words
    from gankit.look.spectrum import spectrum

    picture = None if out is None else picture_path(out, "-o")[0]
    with console.log_to_stderr(), console.progress_bar():
        found = spectrum(run, batch=batch, products=products, **changes)
    if picture is not None:
        words.draw(found, picture)
    if as_json:
        console.print_json(words.document(found))
        return
    words.show(found)
    if picture is not None:
        console.data.print(str(picture), markup=False)
    console.next_steps(f"gankit diagnose {console.quoted(run)}", f"gankit resume {console.quoted(run)}")


def _statistics(run: Path, *, as_json: bool) -> None:
    from gankit.look.diagnose import diagnose as read

    diagnosis = read(run)
    if as_json:
        console.print_json(dataclasses.asdict(diagnosis))
        return
    from rich.table import Table

    images, lines = f"{diagnosis.images_seen:,} images", f"{diagnosis.lines} lines of statistics"
    console.paragraph(f"{diagnosis.folder}: {diagnosis.state} at {images}, {lines}")
    if diagnosis.reason:
        console.paragraph(diagnosis.reason, indent=2)
    table = Table("", "at first", "at the end", box=None, pad_edge=False)
    for name, (first, last) in diagnosis.figures.items():
        table.add_row(console.cell(name), f"{first:.4g}", f"{last:.4g}")
    if diagnosis.figures:
        console.print_table(table)
    for finding in diagnosis.findings:
        console.paragraph(f"{finding.kind} since {finding.since:,} images: {finding.figure}", style="yellow")
        console.paragraph(f"try {finding.advice}", indent=2)
    if not diagnosis.findings:
        console.paragraph(diagnosis.verdict)
    name = console.quoted(run)
    console.next_steps(f"gankit eval {name}", f"gankit resume {name}", f"gankit diagnose {name} --spectrum")
