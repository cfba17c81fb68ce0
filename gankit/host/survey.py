"""The state of every installed plugin, found from its metadata and source, or on request by loading it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from gankit.errors import GankitError
from gankit.host import discovery, importing
from gankit.host.composition import SUPPORTED_API, Catalogues

TryPlugin = Callable[[discovery.Plugin], Catalogues]
State = Literal["ok", "not allowed", "clash", "too new", "broken"]


@dataclass(frozen=True)
class PluginState:
    """One installed plugin and whether it can be used."""

    plugin: discovery.Plugin
    state: State
    reason: str = ""
    """Why it cannot be used and what to do; for a usable plugin its deprecated features."""


def survey(try_plugin: TryPlugin | None = None) -> Iterator[PluginState]:
    """The state of every installed plugin. Nothing is imported unless `try_plugin` is given: `core.compose_single`."""
    for group in (discovery.VARIANTS, discovery.EXTENSIONS):
        plugins = discovery.installed(group)
        usable = [plugin.name for plugin in plugins if plugin.allowed]
        for plugin in plugins:
            yield _state_of(plugin, usable.count(plugin.name) > 1, try_plugin)


def _state_of(plugin: discovery.Plugin, clashes: bool, try_plugin: TryPlugin | None) -> PluginState:
    if not plugin.allowed:
        return PluginState(plugin, "not allowed", f"{discovery.ALLOW_LIST} does not name it")
    module = plugin.entry_point.module if plugin.entry_point else ""
    reason = ""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return PluginState(plugin, "broken", f"there is no module '{module}': install {plugin.dist} again")
    try:
        api = _declared_api(plugin.source.read_bytes()) if plugin.source else None
    except (OSError, SyntaxError, ValueError) as error:
        return PluginState(plugin, "broken", f"{plugin.source}: {importing.one_line(error)}")
    if api is not None and api > max(SUPPORTED_API):
        known = ", ".join(map(str, sorted(SUPPORTED_API)))
        return PluginState(plugin, "too new", f"it speaks plugin API {api}, this gankit {known}: upgrade gankit")
    if try_plugin is not None:
        try:
            reason = "; ".join(try_plugin(plugin).deprecated)
        except GankitError as error:
            return PluginState(plugin, "broken", error.message)
    if clashes:
        return PluginState(plugin, "clash", f"choose it as {plugin.dist}:{plugin.name}")
    return PluginState(plugin, "ok", reason)


def _declared_api(source: bytes) -> int | None:
    """N of the first `VariantInfo(api=N, …)` or `ExtensionInfo(api=N, …)`; None if there is none, or N is computed."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("VariantInfo", "ExtensionInfo")):
            for keyword in node.keywords:
                if keyword.arg == "api" and isinstance(keyword.value, ast.Constant):
                    return keyword.value.value if isinstance(keyword.value.value, int) else None
    return None
