"""The header of a run's sampleable file: what the generator is, and nothing of this machine."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import torch

from gankit import __version__
from gankit.host.composition import CORE, BuiltBy
from gankit.run.plan import Plan
from gankit.settings.option import to_json
from gankit.store import generator_file


def plugin_facts(plan: Plan, generator: BuiltBy) -> dict[str, Any]:
    """The plugins that the file needs, and the settings with names in place of paths: it is for other machines."""
    refs = [
        generator_file.PluginRef(name=plugin.name, dist=plugin.dist, version=plugin.version)
        for plugin in plan.composition.plugins
    ]
    return {
        "gankit": __version__,
        "torch": torch.__version__,
        "variant": refs[0],
        "extensions": tuple(refs[1:]),
        "core_generator": generator == BuiltBy(CORE),
        "options": plan.options,
        "extension_options": plan.extension_options,
    }


def shareable_config(plan: Plan, data: str) -> dict[str, Any]:
    """The configuration with names in place of paths."""
    names = [plugin.name for plugin in plan.composition.plugins]
    anonymous = {"variant": names[0], "extensions": names[1:], "data": data, "init_from": None}
    space, at, argument = (plan.config.eval_features or "").partition("@")
    if at:
        anonymous["eval_features"] = f"{space}@{PurePath(argument).name}"
    return {**to_json(plan.config), **anonymous}
