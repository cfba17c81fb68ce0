"""`gankit variants`: lists the installed variants by their metadata; `show` imports one and prints its options."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from gankit.cli import console
from gankit.cli.flags import Json, complete_variant
from gankit.host import discovery

if TYPE_CHECKING:
    from gankit.look.dynamics import Local, Unplayed

LOCALLY = {"converges": "yes", "circles": "circles", "leaves": "no", "kink": "kink"}
"""Whether a game is locally convergent, by what it does near its equilibrium."""

app = typer.Typer(
    help="List installed variants, or show one.\n\ngankit variants show NAME", invoke_without_command=True
)


@app.callback()
def listing(
    context: typer.Context,
    dynamics: Annotated[
        bool,
        typer.Option(
            "--dynamics", help="Import the variants too, and say whether each converges near its equilibrium."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """List installed variants and extensions without importing them.

    gankit variants
    """
    if context.invoked_subcommand is not None:
        return
    groups = {
        "variant": discovery.discover(discovery.VARIANTS),
        "extension, named by --with": discovery.discover(discovery.EXTENSIONS),
    }
    variants = _written(groups["variant"])
    locally = dict(zip(variants, _locally(variants), strict=True)) if dynamics else {}
    if json:
        rows = []
        for plugins in groups.values():
            for plugin, name in zip(plugins, _written(plugins), strict=True):
                row = {key: getattr(plugin, key) for key in ("name", "kind", "title", "dist", "version")}
                told = {"locally_convergent": locally[name]} if plugin.kind == "variant" and dynamics else {}
                rows.append({**row, **told})
        console.print_json(rows)
        return
    from rich.table import Table

    for heading, plugins in groups.items():
        column = ["locally\nconvergent"] if dynamics and heading == "variant" else []
        table = Table(heading, "what it is", *column, "from", box=None, pad_edge=False)
        for plugin, name in zip(plugins, _written(plugins), strict=True):
            cells = [locally[name] or "–"] if column else []
            table.add_row(console.cell(name), console.cell(plugin.title), *cells, console.cell(plugin.origin))
        if plugins:
            console.print_table(table)
            console.data.print()
    if dynamics:
        console.say("gankit verify --dynamics: the eigenvalues, and why a game has none (–)")


def _written(plugins: list[discovery.Plugin]) -> list[str]:
    """The names that users write: with the package where two have one name."""
    names = [plugin.name for plugin in plugins]
    return [f"{p.dist}:{p.name}" if names.count(p.name) > 1 else p.name for p in plugins]


def _locally(variants: list[str]) -> list[str | None]:
    """Whether each game is locally convergent; None where it is not one of scores alone."""
    from gankit.look.dynamics import local

    with redirect_stdout(io.StringIO()):  # a plugin must not print into our data
        return [_answer(found) for found in local(variants)]


def _answer(found: Local | Unplayed) -> str | None:
    from gankit.look.dynamics import Unplayed

    return None if isinstance(found, Unplayed) else LOCALLY[found.verdict]


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_variant, help="NAME or ./file.py.")],
    json: Json = False,
) -> None:
    """Show a variant: paper, options, recommended settings and the plugins that build its parts.

    gankit variants show NAME
    """
    from gankit.look.describe import describe
    from gankit.look.dynamics import Unplayed, local

    facts = describe(name)
    with redirect_stdout(io.StringIO()):
        (found,) = local([name])
    facts["locally_convergent"] = _answer(found)
    if json:
        console.print_json(facts)
        return
    from rich.table import Table

    out = console.data.print
    console.paragraph(f"{facts['title']}  ({facts['name']} from {facts['origin']}, plugin API {facts['api']})")
    out(facts["paper"] or "no paper given", markup=False)
    for heading, key in (("options, set with -s KEY=VALUE", "options"), ("recommended settings", "config")):
        table = Table(heading.partition(",")[0], "default", "type", "meaning", box=None, pad_edge=False)
        for row in facts[key]:
            table.add_row(*map(console.cell, (row["name"], str(row["default"]), row["type"], row["help"])))
        out()
        if facts[key]:
            console.print_table(table)
        else:
            out(f"{heading}: none")
    out()
    note = f": {facts['conditional_note']}" if facts["conditional_note"] else ""
    console.paragraph(f"{facts['conditional']}{note}", label="conditional", indent=12)
    built_by = ", ".join(f"{what} {who}" for what, who in facts["built_by"].items())
    console.paragraph(built_by, label="built by", indent=12)
    where = f"near the equilibrium of the smallest GAN; gankit verify --dynamics {console.quoted(name)}"
    why = found.reason if isinstance(found, Unplayed) else where
    console.paragraph(f"{_answer(found) or '–'} ({why})", label="converges", indent=12)
