"""`gankit variants`: lists the installed variants by their metadata; `show` imports one and prints its options."""

from __future__ import annotations

from typing import Annotated

import typer

from gankit.cli import console
from gankit.cli.flags import Json, complete_variant
from gankit.host import discovery

app = typer.Typer(
    help="List installed variants, or show one.\n\ngankit variants show NAME", invoke_without_command=True
)


@app.callback()
def listing(context: typer.Context, json: Json = False) -> None:
    """List installed variants and extensions without importing them.

    gankit variants
    """
    if context.invoked_subcommand is not None:
        return
    groups = {
        "variant": discovery.discover(discovery.VARIANTS),
        "extension, named by --with": discovery.discover(discovery.EXTENSIONS),
    }
    if json:
        listed = [plugin for group in groups.values() for plugin in group]
        facts = [(p.name, p.kind, p.title, p.dist, p.version) for p in listed]
        console.print_json([dict(zip(("name", "kind", "title", "dist", "version"), row, strict=True)) for row in facts])
        return
    from rich.table import Table

    for heading, plugins in groups.items():
        names = [plugin.name for plugin in plugins]
        table = Table(heading, "what it is", "from", box=None, pad_edge=False)
        for plugin in plugins:
            name = f"{plugin.dist}:{plugin.name}" if names.count(plugin.name) > 1 else plugin.name
            table.add_row(console.cell(name), console.cell(plugin.title), console.cell(plugin.origin))
        if plugins:
            console.print_table(table)
            console.data.print()


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_variant, help="NAME or ./file.py.")],
    json: Json = False,
) -> None:
    """Show a variant: paper, options, recommended settings and the plugins that build its parts.

    gankit variants show NAME
    """
    from gankit.look.describe import describe

    facts = describe(name)
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
