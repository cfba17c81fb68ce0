"""`gankit compare`: the scores of several runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gankit.cli import console
from gankit.cli.flags import Json
from gankit.cli.scores import print_protocol
from gankit.measure.text import text_of, title_of

if TYPE_CHECKING:
    from rich.table import Table

    from gankit.score.compare import Row


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Runs, or metrics.jsonl files.")],
    best: Annotated[
        bool, typer.Option("--best", help="The evaluation with the lowest FID of each run, not the last one.")
    ] = False,
    json: Json = False,
) -> None:
    """Put the scores of runs side by side; incompatible protocols are refused.

    gankit compare runs/a runs/b
    """
    from gankit.score.compare import collect, repetitions

    with console.log_to_stderr():
        rows, left_out = collect(runs, best=best)
    groups = repetitions(rows, best=best)
    if json:
        lines = [{"run": row.name, **row.evaluation.record()} for row in rows]
        console.print_json({"rows": lines, "repetitions": groups})
        return
    print_protocol(rows[0].evaluation)
    first = rows[0].evaluation.scores
    names = [name for name in first if all(name in row.evaluation.scores for row in rows)]
    for number, part in enumerate(_parts(rows, groups, names)):
        if number:
            console.data.print()
        console.print_table(_table(rows, groups, part))
    if left_out:
        console.talk.print(f"{left_out:,} evaluation(s) with another protocol are not shown", markup=False)
    if not groups and len(rows) > 1:
        console.talk.print("one seed each: a difference may be chance; three seeds show how much", markup=False)


def _parts(rows: Sequence[Row], groups: Sequence[dict[str, Any]], names: list[str]) -> Iterator[list[str]]:
    """The names of the scores, as many at a time as a table of the width of the terminal can hold."""
    while names:
        count = len(names)
        while count > 1 and console.width_of(_table(rows, groups, names[:count])) > console.data.width:
            count -= 1
        yield names[:count]
        names = names[count:]


def _table(rows: Sequence[Row], groups: Sequence[dict[str, Any]], names: list[str]) -> Table:
    """A row for each run, then mean and standard deviation of repetitions, then the floor."""
    from rich.table import Table

    first = rows[0].evaluation.scores
    table = Table("run", "variant", "images", box=None, pad_edge=False)
    for name in names:
        table.add_column(console.cell(title_of(name, first[name].higher_is_better)), justify="right")
    for row in rows:
        images, variant = row.evaluation.images_seen, str(row.evaluation.what.get("variant", ""))
        cells = [text_of(name, row.evaluation.scores[name].value) for name in names]
        table.add_row(console.cell(row.name), console.cell(variant), "" if images is None else f"{images:,}", *cells)
    for group in groups:
        for number, title in enumerate((f"mean of {group['runs']} seeds", "standard deviation")):
            cells = [text_of(name, group["scores"][name][number]) if name in group["scores"] else "" for name in names]
            count = "" if group["images_seen"] is None else f"{group['images_seen']:,}"
            table.add_row(title, console.cell(group["name"]), count, *cells, style="bold")
    table.add_row("floor: real data", "", "", *(text_of(name, first[name].floor) for name in names), style="dim")
    return table
