"""Settings as tables: nested, with dotted names, and as TOML, which the standard library only reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gankit.base.files import canonical_json


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables of settings; `above` wins, and tables in them are merged."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """{'options.ada.p': 0.5} -> {'options': {'ada': {'p': 0.5}}}."""
    table: dict[str, Any] = {}
    for key, value in settings.items():
        *path, name = key.split(".")
        inner = table
        for part in path:
            inner = inner.setdefault(part, {})
        inner[name] = value
    return table


def flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """{'options': {'ada': {'p': 0.5}}} -> {'options.ada.p': 0.5}."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{name}": inner for name, inner in flat(value).items()}
        else:
            found[key] = value
    return found


def comparable(value: Any) -> Any:
    """A value in one spelling, for comparisons alone: '0.50' of a flag is 0.5 of a file, 'true' is true, 1.0 is 1."""
    if isinstance(value, Mapping):
        return {key: comparable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [comparable(part) for part in value]
    if isinstance(value, bool) or value in ("true", "false"):
        return str(value).lower()
    if isinstance(value, int | float | str):
        try:
            return f"{float(value):.15g}"
        except ValueError:
            return value
    return value


def without_none(value: Any) -> Any:
    """Tables without the keys that have no value, which TOML cannot say."""
    if isinstance(value, Mapping):
        return {key: without_none(part) for key, part in value.items() if part is not None}
    return [without_none(part) for part in value] if isinstance(value, list | tuple) else value


def toml_text(table: Mapping[str, Any]) -> str:
    """A table of JSON values without None as TOML."""
    return "\n".join(_toml_lines(table, "")).strip() + "\n"


def _toml_lines(table: Mapping[str, Any], prefix: str) -> Iterator[str]:
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping) and value}
    lists = {key: v for key, v in table.items() if isinstance(v, list) and v and all(isinstance(x, dict) for x in v)}
    for key, value in table.items():
        if key not in tables and key not in lists:
            yield f"{_toml_key(key)} = {_toml_value(value)}"
    for key, inner in tables.items():
        yield from ("", f"[{prefix}{_toml_key(key)}]")
        yield from _toml_lines(inner, f"{prefix}{_toml_key(key)}.")
    for key, items in lists.items():
        for item in items:
            yield from ("", f"[[{prefix}{_toml_key(key)}]]")
            for name, value in item.items():
                yield f"{_toml_key(name)} = {_toml_value(value)}"


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_value(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return canonical_json(value).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml_value(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return repr(value)
