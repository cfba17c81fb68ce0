"""The state of every installed plugin, from its metadata and its source, or if asked for from loading it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gankit import host
from gankit.errors import GankitError

State = Literal["ok", "not allowed", "clash", "too new", "broken"]


@dataclass(frozen=True)
class Health:
    """One installed plugin and whether it can be used; `reason` says why not, and what to do, or what will be."""

    plugin: host.Plugin
    state: State
    reason: str = ""


def survey(core: object | None = None) -> Iterator[Health]:
    """Every installed plugin. Nothing is imported, unless `core` (the core's own hooks) is given to compose it with."""
    for group in (host.VARIANTS, host.EXTENSIONS):
        plugins = host.installed(group)
        usable = [plugin.name for plugin in plugins if plugin.allowed]
        for plugin in plugins:
            yield _health(plugin, usable.count(plugin.name) > 1, core)


def _health(plugin: host.Plugin, clashes: bool, core: object | None) -> Health:
    if not plugin.allowed:
        return Health(plugin, "not allowed", f"{host.ALLOW_LIST} does not name it")
    module = plugin.entry_point.module if plugin.entry_point else ""
    reason = ""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return Health(plugin, "broken", f"there is no module '{module}': install {plugin.dist} again")
    try:
        api = _declared_api(plugin.source.read_bytes()) if plugin.source else None
    except (OSError, SyntaxError, ValueError) as error:
        return Health(plugin, "broken", f"{plugin.source}: {host.one_line(error)}")
    if api is not None and api > max(host.SUPPORTED_API):
        known = ", ".join(map(str, sorted(host.SUPPORTED_API)))
        return Health(plugin, "too new", f"it speaks plugin API {api}, this gankit {known}: upgrade gankit")
    if core is not None:
        variant, extensions = (plugin, []) if plugin.group == host.VARIANTS else (None, [plugin])
        try:
            composition = host.compose(core, variant, extensions)
        except GankitError as error:
            return Health(plugin, "broken", error.message)
        reason = "; ".join(composition.deprecated)
    if clashes:
        return Health(plugin, "clash", f"choose it as {plugin.dist}:{plugin.name}")
    return Health(plugin, "ok", reason)


def _declared_api(source: bytes) -> int | None:
    """N of the first `VariantInfo(api=N, …)` in a module; None when it has none, or computes it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("VariantInfo"):
            for keyword in node.keywords:
                if keyword.arg == "api" and isinstance(keyword.value, ast.Constant):
                    return keyword.value.value if isinstance(keyword.value.value, int) else None
    return None
