"""Imports a plugin; any failure becomes one line that names its package, version and file."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

from gankit.errors import PluginError
from gankit.host.discovery import Plugin


def load_plugin(plugin: Plugin) -> object:
    """The imported module or object of a plugin; PluginError for whatever its import raises."""
    try:
        if plugin.path is not None:
            return _import_file(plugin.path)
        assert plugin.entry_point is not None
        return plugin.entry_point.load()
    except (Exception, SystemExit) as error:
        failure = f"{one_line(error)}{plugin.place_of(error)}"
        raise PluginError(
            f"{plugin.kind} '{plugin.name}' from {plugin.origin} failed to import: {failure}",
            hint="GANKIT_DEBUG=1 shows its traceback; upgrade or uninstall the package, or fix the file",
        ) from error


def _import_file(path: Path) -> ModuleType:
    name = "gankit_file_" + re.sub(r"\W", "_", path.stem)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def one_line(error: BaseException) -> str:
    """'ValueError: its message', without line breaks."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
