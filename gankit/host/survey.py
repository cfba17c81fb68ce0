"""The state of every installed plugin, from its metadata and its source, or if asked for from loading it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gankit.errors import GankitError
from gankit.host import discovery, importing
from gankit.host.composition import SUPPORTED_API, Composition

Compose = Callable[[discovery.Plugin | None, Sequence[discovery.Plugin]], Composition]
State = Literal["ok", "not allowed", "clash", "too new", "broken"]


@dataclass(frozen=True)
class Health:
    """One installed plugin and whether it can be used; `reason` says why not, and what to do, or what will be."""

    plugin: discovery.Plugin
    state: State
    reason: str = ""


def survey(compose: Compose | None = None) -> Iterator[Health]:
    """Every installed plugin. Nothing is imported, unless `compose` (`core.compose`) is given to try it with."""
    for group in (discovery.VARIANTS, discovery.EXTENSIONS):
        plugins = discovery.installed(group)
        usable = [plugin.name for plugin in plugins if plugin.allowed]
        for plugin in plugins:
            yield _health(plugin, usable.count(plugin.name) > 1, compose)


def _health(plugin: discovery.Plugin, clashes: bool, compose: Compose | None) -> Health:
    if not plugin.allowed:
        return Health(plugin, "not allowed", f"{discovery.ALLOW_LIST} does not name it")
    module = plugin.entry_point.module if plugin.entry_point else ""
    reason = ""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return Health(plugin, "broken", f"there is no module '{module}': install {plugin.dist} again")
    try:
        api = _declared_api(plugin.source.read_bytes()) if plugin.source else None
    except (OSError, SyntaxError, ValueError) as error:
        return Health(plugin, "broken", f"{plugin.source}: {importing.one_line(error)}")
    if api is not None and api > max(SUPPORTED_API):
        known = ", ".join(map(str, sorted(SUPPORTED_API)))
        return Health(plugin, "too new", f"it speaks plugin API {api}, this gankit {known}: upgrade gankit")
    if compose is not None:
        variant, extensions = (plugin, []) if plugin.group == discovery.VARIANTS else (None, [plugin])
        try:
            composition = compose(variant, extensions)
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
