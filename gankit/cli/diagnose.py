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
    out = console.data.print
    images, lines = f"{diagnosis.images_seen:,} images", f"{diagnosis.lines} lines of statistics"
    out(f"{diagnosis.folder}: {diagnosis.state} at {images}, {lines}", markup=False)
    if diagnosis.reason:
        out(f"  {diagnosis.reason}", markup=False)
    for name, (first, last) in diagnosis.figures.items():
        out(f"  {name:16} {first:10.4g} at first, {last:10.4g} at the end", markup=False)
    for finding in diagnosis.findings:
        out(f"{finding.kind} since {finding.since:,} images: {finding.figure}", style="yellow", markup=False)
        out(f"  try {finding.advice}", markup=False)
    if not diagnosis.findings:
        out(diagnosis.verdict)
    name = console.quoted(run)
    console.next_steps(f"gankit eval {name}", f"gankit resume {name}")
