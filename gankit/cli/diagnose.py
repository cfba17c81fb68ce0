"""`gankit diagnose`: the health of a run, from its statistics."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from gankit.cli import console
from gankit.cli.flags import Json


def diagnose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    json: Json = False,
) -> None:
    """Diagnose a run from its statistics: collapse, a too confident discriminator, vanishing gradients, its end.

    gankit diagnose runs/lsgan-digits-0001
    """
    from gankit.look.diagnose import diagnose as read

    diagnosis = read(run)
    if json:
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
    console.next_steps(f"gankit eval {name}", f"gankit resume {name}")
