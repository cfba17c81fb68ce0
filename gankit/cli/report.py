"""`gankit report`: a run as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gankit.base.text import printable
from gankit.cli import console
from gankit.cli.flags import Json, path_of
from gankit.errors import InputError


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, finished or not.")],
    out: Annotated[str, typer.Option("-o", "--out", help="The HTML file.")] = "report.html",
    json: Json = False,
) -> None:
    """Write one HTML page about a run that needs no other file: pictures, curves, scores, settings.

    gankit report RUN -o report.html
    """
    page = path_of(out, "-o")
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"-o {printable(page)}: the report is an HTML page", hint="for example -o report.html")
    if not page.parent.is_dir():
        raise InputError(f"-o {printable(page)}: its folder does not exist", hint="make the folder first")
    from gankit.web.report import write_report

    write_report(run, page)
    if json:
        console.print_json({"out": str(page)})
    else:
        console.data.print(printable(page), markup=False)
        console.next_steps(f"open {console.quoted(page)} in a browser")
