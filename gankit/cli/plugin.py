"""`gankit plugin`: makes a plugin, checks that it keeps the rules, or lists the installed plugins and their state."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from gankit.base import progress
from gankit.cli import console
from gankit.cli.flags import Device, Json, complete_plugin, path_of
from gankit.errors import PluginError

app = typer.Typer(help="Make, check and list plugins.", no_args_is_help=True)


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
    from gankit.testing import CHECKS, Subject, run_checks

    outcomes = []
    with console.progress_bar(), redirect_stdout(io.StringIO()):  # a plugin must not print into our data
        subject = Subject.of(name, extensions=tuple(with_ or ()), device=device)
        for outcome in run_checks(subject):
            outcomes.append(outcome)
            progress.tell("checks", len(outcomes), len(CHECKS))
    failed = [outcome.check.name for outcome in outcomes if outcome.reason is not None]
    if json:
        rows = [
            {
                "check": outcome.check.name,
                "requirement": outcome.check.requirement,
                "ok": outcome.reason is None,
                "reason": outcome.reason,
                "hint": outcome.hint or None,
                "wall_s": round(outcome.wall_s, 3),
            }
            for outcome in outcomes
        ]
        plugin = subject.plugin
        head = {"plugin": plugin.name, "kind": plugin.kind, "origin": plugin.origin, "device": str(subject.device)}
        deprecated = list(subject.deprecated)
        console.print_json({**head, "ok": not failed, "deprecated": deprecated, "checks": rows})
    else:
        from rich.table import Table

        table = Table("check", "", "requirement, or what failed and what to do", box=None, pad_edge=False)
        first_with: dict[str, str] = {}  # reason -> name of the first check that failed for it
        for outcome in outcomes:
            note = outcome.check.requirement
            if outcome.reason is not None:
                first = first_with.setdefault(outcome.reason, outcome.check.name)
                repeated = first != outcome.check.name
                note = f"as for {first}" if repeated else f"{outcome.reason} — {outcome.hint}"
            cells = (outcome.check.name, "ok" if outcome.reason is None else "FAILED", note)
            table.add_row(*map(console.cell, cells), style="" if outcome.reason is None else "bold red")
        console.print_table(table)
        passed, seconds = len(outcomes) - len(failed), sum(outcome.wall_s for outcome in outcomes)
        print(f"{passed} of {len(outcomes)} checks passed on {subject.device} in {seconds:.1f} s")
        for line in subject.deprecated:
            console.talk.print(console.cell(f"warning: {line}"))
    if failed:
        who = f"{subject.plugin.kind} '{subject.plugin.name}' from {subject.plugin.origin}"
        raise PluginError(
            f"{who} fails {len(failed)} of {len(outcomes)} checks: {', '.join(failed)}",
            hint="the rows marked FAILED say what to do",
        )


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
