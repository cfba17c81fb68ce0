"""`gankit plugin`: makes a plugin, checks that it keeps the rules, or lists the installed plugins and their state."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gankit.base import progress
from gankit.base.text import plural
from gankit.cli import console
from gankit.cli.flags import Device, Json, complete_plugin, path_of
from gankit.errors import PluginError

if TYPE_CHECKING:
    from gankit.testing import Cause, Outcome, Report, Subject

MARK = 8  # characters of 'FAILED' and the blanks after it

app = typer.Typer(help="Make, check and list plugins.\n\ngankit plugin new mygan", no_args_is_help=True)


@app.command("list")
def listing(
    load: Annotated[bool, typer.Option("--load", help="Import each one as well, as `gankit doctor` does.")] = False,
    json: Json = False,
) -> None:
    """List installed plugins and their state, from their metadata and source only.

    GANKIT_PLUGINS=NAME,PACKAGE allows only these plugins and the plugins of these packages.

    gankit plugin list --load
    """
    from gankit.host.survey import TryPlugin, survey

    try_plugin: TryPlugin | None = None
    if load:
        from gankit.core import compose_single as try_plugin
    rows = [
        {
            "kind": row.plugin.kind,
            "name": row.plugin.name,
            "dist": row.plugin.dist,
            "version": row.plugin.version,
            "state": row.state,
            "reason": row.reason,
        }
        for row in survey(try_plugin)
    ]
    if json:
        console.print_json(rows)
        return
    from rich.table import Table

    table = Table("plugin", "kind", "from", "state", "", box=None, pad_edge=False)
    for row in rows:
        cells = (row["name"], row["kind"], f"{row['dist']} {row['version']}", row["state"], row["reason"])
        table.add_row(*(console.cell(str(cell)) for cell in cells), style="" if row["state"] == "ok" else "bold red")
    console.print_table(table)


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_plugin, help="NAME or ./file.py.")],
    with_: Annotated[list[str] | None, typer.Option("--with", help="Extension used in the checks.")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Check that a plugin keeps the rules, in tiny games of a few seconds. Exit code 3 when it does not.

    An extension is checked with the default variant. gankit.testing has the checks for your tests.

    gankit plugin check ./mygan.py
    """
    from gankit.testing import CHECKS, Subject, causes, reports, run_checks

    outcomes = []
    with console.progress_bar(), redirect_stdout(io.StringIO()):  # a plugin must not print into our data
        subject = Subject.of(name, extensions=tuple(with_ or ()), device=device)
        for outcome in run_checks(subject):
            outcomes.append(outcome)
            progress.tell("checks", len(outcomes), len(CHECKS))
        found = causes(outcomes, subject)
        told = reports(subject)
    if json:
        console.print_json(_document(subject, outcomes, found, told))
    else:
        _print_outcomes(subject, outcomes, found)
        for report in told:
            console.paragraph(f"{report.name}: {report.text}", label="told", indent=MARK)
    if found:
        who = f"{subject.plugin.kind} '{subject.plugin.name}' from {subject.plugin.origin}"
        failed = sum(len(cause.outcomes) for cause in found)
        raise PluginError(
            f"{who} fails {failed} of {len(outcomes)} checks, for {plural(len(found), 'cause')}",
            hint="what is below FAILED says what to do" if not json else "`causes` says what to do",
        )


def _print_outcomes(subject: Subject, outcomes: Sequence[Outcome], found: Sequence[Cause]) -> None:
    """What failed, each cause once with its checks; then the checks that passed."""
    for cause in found:
        console.paragraph(cause.reason, label="FAILED", indent=MARK, style="bold red")
        console.paragraph(f"to do: {cause.hint}", indent=MARK)
        checks = [outcome.check for outcome in cause.outcomes]
        if len(checks) == 1:
            console.paragraph(f"check {checks[0].name}: {checks[0].requirement}", indent=MARK)
        else:
            names = ", ".join(check.name for check in checks)
            console.paragraph(f"fails {len(checks)} checks: {names}", indent=MARK)
    passed = [outcome for outcome in outcomes if outcome.reason is None]
    if found:
        console.paragraph(", ".join(outcome.check.name for outcome in passed), label="ok", indent=MARK)
    else:
        for outcome in passed:
            console.paragraph(f"{outcome.check.name}: {outcome.check.requirement}", label="ok", indent=MARK)
    seconds = sum(outcome.wall_s for outcome in outcomes)
    print(f"{len(passed)} of {len(outcomes)} checks passed on {subject.device} in {seconds:.1f} s")
    for line in subject.deprecated:
        console.talk.print(console.cell(f"warning: {line}"))


def _document(
    subject: Subject, outcomes: Sequence[Outcome], found: Sequence[Cause], told: Sequence[Report]
) -> dict[str, Any]:
    """The result for --json: every check, the causes with the names of their checks, and the reports by name."""
    number = {outcome.check.name: index for index, cause in enumerate(found) for outcome in cause.outcomes}
    rows = [
        {
            "check": outcome.check.name,
            "requirement": outcome.check.requirement,
            "ok": outcome.reason is None,
            "reason": outcome.reason,
            "hint": outcome.hint or None,
            "cause": number.get(outcome.check.name),
            "wall_s": round(outcome.wall_s, 3),
        }
        for outcome in outcomes
    ]
    plugin = subject.plugin
    return {
        "plugin": plugin.name,
        "kind": plugin.kind,
        "origin": plugin.origin,
        "device": str(subject.device),
        "ok": not found,
        "deprecated": list(subject.deprecated),
        "causes": [
            {"reason": c.reason, "hint": c.hint or None, "checks": [o.check.name for o in c.outcomes]} for c in found
        ],
        "checks": rows,
        "reports": {report.name: report.text for report in told},
    }


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that users will write: mygan.")],
    extension: Annotated[bool, typer.Option("--extension", help="An extension for --with, not a variant.")] = False,
    licence: Annotated[str, typer.Option(help="Apache-2.0, BSD-3-Clause or MIT.")] = "MIT",
    out: Annotated[str | None, typer.Option("-o", "--out", help="The folder to make (else gankit-NAME).")] = None,
) -> None:
    """Make a distribution with one working plugin, its test, licence and CI.

    gankit plugin new mygan
    """
    from gankit.host import scaffold

    folder = path_of(out, "-o") if out is not None else None
    made = scaffold.create(name, extension=extension, licence=licence, folder=folder)
    for path in made.files:
        print(Path(made.folder, path))
    console.talk.print("next:", style="bold")
    for command in made.commands:
        console.talk.print(f"  {command}", markup=False)
