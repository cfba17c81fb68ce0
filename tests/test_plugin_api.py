"""The plugin API is a promise: its golden copy changes only together with API_VERSION or the changelog."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
from pathlib import Path

from gankit import hookspecs, plugin

GOLDEN = Path(__file__).parent / "golden" / "plugin_api.txt"


def describe_api() -> str:
    """Names, signatures, dataclass fields and hooks, one a line."""
    lines = [f"API_VERSION {plugin.API_VERSION}"]
    for name in sorted(plugin.__all__):
        thing = getattr(plugin, name)
        if dataclasses.is_dataclass(thing):
            for field in dataclasses.fields(thing):
                default = (
                    ""
                    if field.default is dataclasses.MISSING
                    else f" = {re.sub(' at 0x[0-9a-f]+', '', repr(field.default))}"
                )
                lines.append(f"field {name}.{field.name}: {field.type}{default}")
        elif inspect.isclass(thing) and thing.__module__.startswith("gankit"):
            lines.append(f"class {name}{inspect.signature(thing)}")
            for member, function in inspect.getmembers(thing, inspect.isfunction):
                if not member.startswith("_") and function.__module__.startswith("gankit"):
                    lines.append(f"method {name}.{member}{inspect.signature(function)}")
        elif inspect.isfunction(thing):
            lines.append(f"function {name}{inspect.signature(thing)}")
        else:
            lines.append(f"name {name}")
    for name, hook in inspect.getmembers(hookspecs, inspect.isfunction):
        if name.startswith("gankit_"):
            lines.append(f"hook {name}({', '.join(inspect.signature(hook).parameters)})")
    return "\n".join(lines) + "\n"


def test_the_plugin_api_is_the_golden_one() -> None:
    """After a deliberate change: GANKIT_WRITE_GOLDEN=1 pytest tests/test_plugin_api.py, and tell it in CHANGELOG.md."""
    described = describe_api()
    if os.environ.get("GANKIT_WRITE_GOLDEN"):
        GOLDEN.write_text(described)
    assert described == GOLDEN.read_text()


def test_everything_in_the_facade_exists_and_nothing_else_is_public() -> None:
    public = {name for name in vars(plugin) if not name.startswith("_")}
    assert public | {"TwoSets"} == set(plugin.__all__)  # TwoSets is imported when it is asked for
    assert all(hasattr(plugin, name) for name in plugin.__all__)
    assert not hasattr(plugin, "TwoSet")
