"""`gankit variants`: what is installed, from metadata alone; `show` imports a variant and tells its options."""

from __future__ import annotations

import dataclasses
import typing
from typing import Annotated, Any

import typer

from gankit.cli import console
from gankit.cli.flags import Json, complete_variant
from gankit.host import discovery

app = typer.Typer(help="List installed variants, or show one.", invoke_without_command=True)


@app.callback()
def listing(context: typer.Context, json: Json = False) -> None:
    """List installed variants and extensions. Nothing is imported for it.

    gankit variants
    """
    if context.invoked_subcommand is not None:
        return
    groups = {
        "variant": discovery.discover(discovery.VARIANTS),
        "extension, named by --with": discovery.discover(discovery.EXTENSIONS),
    }
    if json:
        found = [plugin for group in groups.values() for plugin in group]
        facts = [(p.name, p.kind, p.title, p.dist, p.version) for p in found]
        console.print_json([dict(zip(("name", "kind", "title", "dist", "version"), row, strict=True)) for row in facts])
        return
    from rich.table import Table

    for heading, plugins in groups.items():
        taken = [plugin.name for plugin in plugins]
        table = Table(heading, "what it is", "from", box=None, pad_edge=False)
        for plugin in plugins:
            name = f"{plugin.dist}:{plugin.name}" if taken.count(plugin.name) > 1 else plugin.name
            table.add_row(console.cell(name), console.cell(plugin.title), console.cell(plugin.origin))
        if plugins:
            console.data.print(table)
            console.data.print()


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_variant, help="NAME or ./file.py.")],
    json: Json = False,
) -> None:
    """Show a variant: paper, options, recommended settings and who builds what.

    gankit variants show NAME
    """
    facts = describe(name)
    if json:
        console.print_json(facts)
        return
    from rich.table import Table

    out = console.data.print
    out(f"{facts['title']}  ({facts['name']} from {facts['origin']}, plugin API {facts['api']})", markup=False)
    out(facts["paper"] or "no paper given", markup=False)
    for heading, key in (("options, set with -o KEY=VALUE", "options"), ("recommended settings", "config")):
        table = Table(heading, "default", "type", "meaning", box=None, pad_edge=False)
        for row in facts[key]:
            table.add_row(*map(console.cell, (row["name"], str(row["default"]), row["type"], row["help"])))
        out()
        out(table if facts[key] else f"{heading}: none")
    out()
    note = f": {facts['conditional_note']}" if facts["conditional_note"] else ""
    out(f"conditional {facts['conditional']}{note}", markup=False)
    out("built by    " + ", ".join(f"{what} {who}" for what, who in facts["built_by"].items()), markup=False)


def describe(name: str) -> dict[str, Any]:
    """Everything `show` prints, as JSON values."""
    from gankit import core
    from gankit.contracts import DataSpec
    from gankit.run.build import built_by
    from gankit.run.plan import Plan
    from gankit.settings.config import TrainConfig
    from gankit.settings.layers import Layer, resolve

    plugin = discovery.find(name, discovery.VARIANTS)
    composition = core.compose(plugin)
    info = composition.info
    plan = Plan(composition, resolve([Layer("argument", {"variant": name})], info.config, info.options))
    defaults = TrainConfig()
    return {
        "name": plugin.name,
        "title": info.title,
        "origin": plugin.origin,
        "api": info.api,
        "paper": info.paper,
        "options": _rows(info.options, info.options()),
        "config": [
            row
            for row in _rows(TrainConfig, info.config)
            if getattr(info.config, row["name"]) != getattr(defaults, row["name"])
        ],
        "conditional": info.conditional,
        "conditional_note": info.conditional_note,
        "search": {row["name"]: row["search"] for row in _rows(TrainConfig, info.config) if row["search"]},
        "built_by": built_by(plan, DataSpec((1, 28, 28), tuple("0123456789"))),
    }


def _rows(cls: type, values: object) -> list[dict[str, Any]]:
    hints = typing.get_type_hints(cls)
    return [
        {
            "name": field.name,
            "default": getattr(values, field.name),
            "type": _type_name(hints[field.name]),
            "help": field.metadata.get("help", ""),
            "search": {
                name: {"kind": type(space).__name__, **dataclasses.asdict(space)}
                for name, space in field.metadata.get("search", {}).items()
            },
        }
        for field in dataclasses.fields(cls)
    ]


def _type_name(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(map(str, typing.get_args(hint)))
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")
