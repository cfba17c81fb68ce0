"""`gankit reproduce`: trains a recipe and says whether its scores are within the expectation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gankit.cli import console
from gankit.cli.flags import Device, Json, complete_recipe, path_of
from gankit.cli.scores import CRITIC_SPACE
from gankit.measure.text import text_of, title_of

if TYPE_CHECKING:
    from gankit.score.reproduce import Reproduction

OUTSIDE = 6
"""Exit code when a score is outside of the expectation: everything was run, and nothing is wrong with the input."""


def reproduce(
    name: Annotated[
        str, typer.Argument(metavar="NAME", autocompletion=complete_recipe, help="NAME, DIST:NAME or ./file.toml.")
    ],
    out: Annotated[
        str | None, typer.Option("-o", "--out", metavar="DIR", help="Folder of the runs (runs/reproduce-NAME).")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Number of runs, one for each seed from 0 on.")] = 1,
    data: Annotated[str | None, typer.Option(metavar="DATA", help="The data, where the recipe names none.")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Train a recipe, score it by its protocol, and compare the scores with the expectation. Exit code 6: outside.

    The same command continues after a stop. Results are stored in reproduce.json.

    gankit reproduce digits
    """
    from gankit.cli.live import LiveLine
    from gankit.score.reproduce import reproduce as run

    def observer() -> tuple[list[LiveLine], object]:
        live = LiveLine()
        return [live], live.after_step

    settings = {"device": device, **({"data": data} if data is not None else {})}
    folder: Path | None = path_of(out, "--out") if out is not None else None
    with console.log_to_stderr(), console.progress_bar():
        result = run(name, out=folder, seeds=seeds, settings=settings, observer=observer)  # type: ignore[arg-type]
    if json:
        console.print_json(result.record())
    else:
        _print(result)
    if result.within is False:
        raise typer.Exit(OUTSIDE)


def _print(result: Reproduction) -> None:
    from rich.table import Table

    table = Table("score", "measured", "expected", "", box=None, pad_edge=False)
    words = {True: "within", False: "outside", None: ""}
    for name, judged in result.scores.items():
        measured = text_of(name, judged.mean) if judged.mean is not None else "none in some seed"
        if len(judged.values) > 1 and judged.mean is not None:
            measured += f" (mean of {len(judged.values)})"
        expected = _ends(name, judged.expected) if judged.expected is not None else ""
        title = title_of(name, None) + (" *" if result.critic_space else "")
        table.add_row(console.cell(title), measured, expected, words[judged.within])
    console.print_table(table)
    if result.critic_space:
        console.paragraph(CRITIC_SPACE)
    if result.within is None:
        console.paragraph("the recipe has no scores to compare with")
    elif result.source:
        console.paragraph(f"the expectation is {result.source}")
    console.data.print(f"stored in {result.folder}", markup=False)
    console.next_steps(f"gankit sample {console.quoted(result.runs[0])} -o samples.png")


def _ends(name: str, expected: Mapping[str, float | None]) -> str:
    """'2.000 to 3.700', 'at least 0.800'."""
    low, high = (text_of(name, expected[end]) for end in ("low", "high"))
    return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
