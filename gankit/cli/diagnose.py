"""`gankit diagnose`: what the statistics of a run say about its health."""

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
    """Read a run's statistics: collapse, a discriminator that is too sure, vanishing gradients, and how it ended.

    gankit diagnose runs/lsgan-digits-0001
    """
    from gankit.look.diagnose import diagnose as read

    found = read(run)
    if json:
        console.print_json(dataclasses.asdict(found))
        return
    out = console.data.print
    out(
        f"{found.folder}: {found.state} at {found.images_seen:,} images, {found.lines} lines of statistics",
        markup=False,
    )
    if found.reason:
        out(f"  {found.reason}", markup=False)
    for name, (first, last) in found.figures.items():
        out(f"  {name:16} {first:10.4g} at first, {last:10.4g} at the end", markup=False)
    for finding in found.findings:
        out(f"{finding.kind} since {finding.since:,} images: {finding.figure}", style="yellow", markup=False)
        out(f"  try {finding.advice}", markup=False)
    if not found.findings:
        out("nothing conspicuous")
