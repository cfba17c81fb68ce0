"""The plugin API is a promise: its golden copy changes only together with API_VERSION or the changelog."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import re
import textwrap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import gankit
from gankit import discriminators, hookspecs, plugin

GOLDEN = Path(__file__).parent / "golden" / "plugin_api.txt"


def describe_api() -> str:
    """Names, signatures, fields, members and hooks, one a line: of plugins, of ready discriminators, of an adversary."""
    lines = [f"API_VERSION {plugin.API_VERSION}"]
    for name in sorted(plugin.__all__):
        lines += described(name, getattr(plugin, name))
    for name in sorted(discriminators.__all__):
        lines += described(f"discriminators.{name}", getattr(discriminators, name))
    for name in ("Adversary", "Entrance"):
        lines += described(f"gankit.{name}", getattr(gankit, name))
    for name, hook in inspect.getmembers(hookspecs, inspect.isfunction):
        if name.startswith("gankit_"):
            lines.append(f"hook {name}({', '.join(inspect.signature(hook).parameters)})")
    return "\n".join(lines) + "\n"


def described(name: str, thing: Any) -> Iterator[str]:
    """The lines of one name."""
    if not inspect.isclass(thing) or not thing.__module__.startswith("gankit"):
        yield f"function {name}{inspect.signature(thing)}" if inspect.isfunction(thing) else f"name {name}"
        return
    if not dataclasses.is_dataclass(thing):
        yield f"class {name}{inspect.signature(thing)}"
    for field in dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ():
        default = re.sub(" at 0x[0-9a-f]+", "", repr(field.default))
        yield f"field {name}.{field.name}: {field.type}{'' if field.default is dataclasses.MISSING else f' = {default}'}"
    for member, function in inspect.getmembers(thing, inspect.isfunction):
        if not member.startswith("_") and function.__module__.startswith("gankit"):
            yield f"method {name}.{member}{inspect.signature(function)}"
    for attribute in sorted(attributes(thing)):
        yield f"attribute {name}.{attribute}"


def attributes(cls: type) -> set[str]:
    """Properties, annotations of a class that is no dataclass, and what `__init__` writes into the object."""
    found: set[str] = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("gankit"):
            continue
        found |= {key for key, value in vars(base).items() if isinstance(value, (property, cached_property))}
        if not dataclasses.is_dataclass(base):
            found |= set(inspect.get_annotations(base))
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
            found |= {
                node.attr
                for function in ast.walk(tree)
                if isinstance(function, ast.FunctionDef) and function.name == "__init__"
                for node in ast.walk(function)
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
                if isinstance(node.value, ast.Name) and node.value.id == "self"
            }
    return {name for name in found if not name.startswith("_")}


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
