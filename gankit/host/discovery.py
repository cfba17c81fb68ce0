"""The plugins that are installed, found by their metadata without importing any."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gankit.base.files import expanded
from gankit.base.text import did_you_mean
from gankit.errors import InputError, PluginError

VARIANTS = "gankit.variants"


EXTENSIONS = "gankit.extensions"


ALLOW_LIST = "GANKIT_PLUGINS"  # environment variable with names of plugins and packages; unset allows all


NOT_ALLOWED = f"installed, but {ALLOW_LIST} does not name it"


@dataclass(frozen=True)
class Plugin:
    """A plugin that can be loaded, known only by its metadata."""

    name: str
    group: str
    dist: str | None = None  # None for a file
    version: str | None = None
    path: Path | None = None  # the file, for ./file.py
    entry_point: importlib.metadata.EntryPoint | None = field(default=None, repr=False, compare=False)

    @property
    def kind(self) -> str:
        """'variant' or 'extension', for messages."""
        return "variant" if self.group == VARIANTS else "extension"

    @property
    def origin(self) -> str:
        """The package with its version, 'gankit 0.1.0', or the file."""
        return str(self.path) if self.path else f"{self.dist} {self.version}"

    @property
    def source(self) -> Path | None:
        """The file of its code, found without importing it; None when there is none on sys.path."""
        return self.path or _source_file(self.entry_point.module if self.entry_point else "")

    @property
    def title(self) -> str:
        """First line of the module's docstring, read from its source without an import; '' if there is none."""
        if self.source is None:
            return ""
        try:
            docstring = ast.get_docstring(ast.parse(self.source.read_bytes())) or ""
        except (OSError, SyntaxError, ValueError):
            return ""
        return docstring.partition("\n")[0].rstrip(".")

    @property
    def allowed(self) -> bool:
        """Whether the allow-list names this plugin or its package, or there is no allow-list."""
        listed = os.environ.get(ALLOW_LIST)
        if listed is None:
            return True
        return any(self.is_called(name) or normalise(name) == normalise(self.dist or "") for name in listed.split(","))

    def place_of(self, error: BaseException) -> str:
        """' (file.py, line 3)': the innermost frame of an exception in the code of this plugin; '' if there is none."""
        if self.source is None:
            return ""
        source = self.source.resolve()
        root = source.parent if source.name == "__init__.py" else source
        frames = [
            f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve().is_relative_to(root)
        ]
        return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""

    def is_called(self, requested: str) -> bool:
        """Whether NAME or DIST:NAME, in any spelling, means this plugin."""
        dist, _, name = requested.rpartition(":")
        return self.name == normalise(name) and (not dist or normalise(self.dist or "") == normalise(dist))


def normalise(name: str) -> str:
    """'My_GAN' -> 'my-gan', which is safe in file names and messages."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "plugin"


def discover(group: str) -> list[Plugin]:
    """The installed plugins of a group that are allowed, sorted by name. Two may have the same name."""
    return [plugin for plugin in installed(group) if plugin.allowed]


def installed(group: str) -> list[Plugin]:
    """The installed plugins of a group, sorted by name; includes those that the allow-list excludes."""
    entries = importlib.metadata.entry_points(group=group)
    # Name and version are read once per package, because every access parses its metadata.
    packages = {id(entry.dist): entry.dist for entry in entries}
    versions = {key: (dist.name, dist.version) if dist else ("unknown", "?") for key, dist in packages.items()}
    plugins = [Plugin(normalise(entry.name), group, *versions[id(entry.dist)], entry_point=entry) for entry in entries]
    return sorted(plugins, key=lambda plugin: (plugin.name, plugin.dist or ""))


def find(requested: str, group: str) -> Plugin:
    """The plugin meant by NAME, DIST:NAME or ./file.py.

    InputError for an unknown or excluded one, PluginError if several packages have it.
    """
    if requested.endswith(".py") or os.sep in requested:
        path = expanded(requested).resolve()
        if not path.is_file() or path.suffix != ".py":
            raise InputError(
                f"no such plugin file: {requested}", hint="give the path of a .py file, or a plugin's name"
            )
        return Plugin(name=name_of_file(path), group=group, path=path)
    named = [plugin for plugin in installed(group) if plugin.is_called(requested)]
    matches = [plugin for plugin in named if plugin.allowed]
    kind = "variant" if group == VARIANTS else "extension"
    if named and not matches:
        raise InputError(f"{kind} '{requested}' ({named[0].origin}) is {NOT_ALLOWED}", hint=f"add it to {ALLOW_LIST}")
    if not matches:
        raise InputError(f"unknown {kind} '{requested}'", hint=_did_you_mean(requested, discover(group), kind))
    if len(matches) > 1:
        owners = " and ".join(plugin.origin for plugin in matches)
        choices = " or ".join(f"{plugin.dist}:{plugin.name}" for plugin in matches)
        raise PluginError(
            f"{kind} '{matches[0].name}' is offered by {owners}", hint=f"say which one: {choices}, or uninstall one"
        )
    return matches[0]


def require(name: str, group: str, dist: str | None, version: str | None, needed_by: str | Path) -> Plugin:
    """The installed plugin that a file or a run needs; a reference names a package, never code to import.

    PluginError when it is not installed, or was a file (`dist` is None); InputError when the allow-list excludes it.
    """
    kind = "variant" if group == VARIANTS else "extension"
    if dist is None:
        flag = "--variant" if group == VARIANTS else "--with"
        raise PluginError(
            f"{needed_by} needs {kind} '{name}', which was a local file",
            hint=f"pass that file: {flag} ./FILE.py",
        )
    if not any((plugin.name, plugin.dist) == (name, dist) for plugin in installed(group)):
        hint = f"gankit install {dist}=={version}"
        raise PluginError(f"{needed_by} needs {kind} '{name}' from {dist} {version}", hint=hint)
    return find(f"{dist}:{name}", group)


def name_of_file(path: Path) -> str:
    """The name of the plugin in a file: 'my-gan' for my_gan.py and gankit_my_gan.py, as in a package."""
    return normalise(path.stem).removeprefix("gankit-")


def _did_you_mean(requested: str, plugins: Sequence[Plugin], kind: str) -> str:
    names = sorted({plugin.name for plugin in plugins})
    listing = f"installed: {', '.join(names) or 'none'}"
    return f"{did_you_mean(requested, names)}{listing}; a file works too: ./my_{kind}.py"


def _source_file(module: str) -> Path | None:
    """The source of a module on sys.path, found without importing it."""
    relative = Path(*module.split(".")) if module else None
    if relative is None:
        return None
    for root in sys.path:
        for candidate in (Path(root) / relative.with_suffix(".py"), Path(root) / relative / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None
