"""`gankit doctor`: versions, devices and the health of every plugin, ready to paste into an issue."""

from __future__ import annotations

from typing import Any

from gankit.cli import console
from gankit.cli.flags import Json
from gankit.errors import PluginError


def doctor(json: Json = False) -> None:
    """Check the installation: versions, devices, and each plugin, which is loaded.

    gankit doctor
    """
    from gankit.look.doctor import examine

    report = examine()
    broken = [row for row in report["plugins"] if row["state"] not in ("ok", "not allowed")]
    if json:
        console.print_json(report)
    else:
        _print(report)
    if broken:
        raise PluginError(f"{len(broken)} plugin(s) not usable: {', '.join(row['name'] for row in broken)}")


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table

    for key, value in report.items():
        if key == "plugins":
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{name} {version}" for name, version in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        console.paragraph(str(value), label=key, indent=17)
    table = Table("plugin", "kind", "from", "state", "", box=None, pad_edge=False)
    for row in report["plugins"]:
        table.add_row(*(console.cell(row[key]) for key in ("name", "kind", "origin", "state", "reason")))
    console.data.print()
    console.print_table(table)
