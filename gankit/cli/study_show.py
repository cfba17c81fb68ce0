"""`gankit study show` and `gankit study report`: the results of a study as a table and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gankit.base.text import plural, printable
from gankit.cli import console
from gankit.cli.flags import Json, path_of
from gankit.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table as Screen

    from gankit.study.table import Table

Study = Annotated[Path, typer.Argument(metavar="STUDY", help="The folder of a study, finished or not.")]
Metric = Annotated[str | None, typer.Option(help="One of its metrics (default: that of the study).")]
OmitOutliers = Annotated[
    bool, typer.Option("--omit-outliers", help="Leave out runs that failed or lie far above the others.")
]


def show(
    study: Study,
    metric: Metric = None,
    omit_outliers: OmitOutliers = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the cells as CSV on stdout.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print them as a table in Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print them as a table in LaTeX (booktabs).")] = False,
    json: Json = False,
) -> None:
    """Show what a study has found so far: cells, pairs of cells, searches.

    gankit study show STUDY
    """
    if csv + markdown + latex + json > 1:
        raise InputError("--csv, --json, --markdown and --latex are different outputs", hint="give one of them")
    from gankit.study.export import to_csv, to_json, to_latex, to_markdown
    from gankit.study.table import read_table

    table = read_table(study, metric=metric, omit_outliers=omit_outliers)
    if json:
        console.print_json(to_json(table))
    elif csv or markdown or latex:
        print((to_csv if csv else to_markdown if markdown else to_latex)(table), end="")
    else:
        _show(table)
    _next(table)


def report(
    study: Study,
    metric: Metric = None,
    omit_outliers: OmitOutliers = False,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="File of the page (default: report.html in the study).")
    ] = None,
) -> None:
    """Write one HTML page with figures, samples, findings and failures of a study, and the figures as PNG files.

    gankit study report STUDY
    """
    page = study / "report.html" if out is None else path_of(out, "--out")
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {printable(page)}: the report is an HTML page", hint="for example -o report.html")
    from gankit.study.table import read_table

    table = read_table(study, metric=metric, omit_outliers=omit_outliers)
    if not page.parent.is_dir():
        raise InputError(f"--out {printable(page)}: its folder does not exist", hint="make the folder first")
    with console.log_to_stderr(), console.progress_bar():
        from gankit.study.report import write_report

        written = write_report(table, page)
    for path in written:
        console.data.print(printable(path), markup=False)
    console.next_steps(f"open {console.quoted(page)} in a browser", f"gankit study show {console.quoted(study)}")


def _show(table: Table) -> None:
    from gankit.study.findings import findings, how_tested, searched

    console.paragraph(f"{table.definition.title or table.folder.name}: {progress_text(table)}")
    if table.rows:
        console.print_table(_cells(table))
        for sentence in findings(table):
            console.paragraph(sentence)
        console.paragraph(how_tested(table), style="dim")
    if table.searches:
        console.data.print()
        seed = table.definition.score.choose_seed
        console.paragraph(f"searches, by evaluation seed {seed}: expected best of k trials")
        console.print_table(_searches(table))
        for search in table.searches:
            console.paragraph(searched(table, search))


def progress_text(table: Table) -> str:
    """'12 of 40 trials finished, 2 running'."""
    running = f", {table.running:,} running" if table.running else ""
    return f"{table.finished:,} of {plural(table.planned, 'planned trial')} finished{running}"


def _cells(table: Table) -> Screen:
    from rich.table import Table as Screen

    from gankit.study.findings import failures_text, interval_text, metric_title, score_text

    several = len(table.data_sets) > 1
    screen = Screen("cell", *(["data"] if several else []), box=None, pad_edge=False)
    for heading in ("runs", f"mean {metric_title(table)}", "median", "95 % of median", "floor"):
        screen.add_column(console.cell(heading), justify="right")
    screen.add_column("failed")
    for row in table.rows:
        screen.add_row(
            console.cell(row.cell),
            *([console.cell(row.data)] if several else []),
            f"{len(row.runs):,}",
            score_text(table, row.mean.value),
            score_text(table, row.median.value),
            interval_text(table, row.median),
            score_text(table, row.floor),
            console.cell(failures_text(row.failures)),
        )
    return screen


def _searches(table: Table) -> Screen:
    from rich.table import Table as Screen

    from gankit.study.findings import score_text

    most = max(len(search.expected) for search in table.searches)
    budgets = sorted({k for k in (1, 5, 10, 20, 50, 100) if k < most} | {most})[-6:]
    screen = Screen("cell", box=None, pad_edge=False)
    for budget in budgets:
        screen.add_column(f"k = {budget}", justify="right")
    for search in table.searches:
        expected = [search.expected[k - 1].value if k <= len(search.expected) else None for k in budgets]
        screen.add_row(console.cell(search.cell), *(score_text(table, value) for value in expected))
    return screen


def _next(table: Table) -> None:
    where = console.quoted(table.folder)
    unfinished = [f"gankit study run -o {where}"] if table.finished < table.planned and not table.running else []
    console.next_steps(*unfinished, f"gankit study report {where}")
