"""A definition from a TOML file, flags or a table: every key is checked, and what is wrong is said in a line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gankit.base.files import canonical_json
from gankit.base.text import printable
from gankit.errors import InputError
from gankit.settings.config import ALIASES
from gankit.settings.layers import load_toml
from gankit.settings.validate import validate
from gankit.study.cells import MAX_NAME, checked_settings
from gankit.study.definition import SEARCH_SEEDS, Cell, Definition, Scoring, Search
from gankit.study.tables import comparable, flat, merge

_KEYS = ("title", "scale", "settings", "grid", "cell", "search", "repeat", "score")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+-]*")


def from_toml(path: Path) -> Definition:
    """The definition in a TOML file; InputError says what is wrong with which key."""
    return from_table(read_table(path), str(path))


def read_table(path: Path) -> dict[str, Any]:
    """The unchecked table of a TOML file."""
    return load_toml(path, what="a study is a TOML file", example="docs/study.md has the format")[1]


def from_flags(
    settings: Mapping[str, Any],
    *,
    variants: Sequence[str] = (),
    data: Sequence[str] = (),
    file: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Definition:
    """The definition that flags or arguments make, over that of a file.

    Several variants and data sets make a grid. `parts` are 'scale', 'seeds', and keys of [search] and [score], the
    latter two as tables `search` and `score`.
    """
    table = dict(file or {})
    table["settings"] = merge(_table(table, "settings", "the study"), settings)
    grid = dict(_table(table, "grid", "the study"))
    for key, values in (("variant", variants), ("data", data)):
        if values:
            grid[key] = list(values)
            table["settings"].pop(key, None)
    table |= {"grid": grid} if grid else {}
    for key in ("search", "score"):
        given = {name: value for name, value in (parts.get(key) or {}).items() if value is not None}
        table |= {key: {**_table(table, key, "the study"), **given}} if given else {}
    table |= {"repeat": {"seeds": parts["seeds"]}} if parts.get("seeds") is not None else {}
    table |= {"scale": parts["scale"]} if parts.get("scale") is not None else {}
    return from_table(table, "the study")


def from_table(table: Mapping[str, Any], where: str = "the study") -> Definition:
    """A definition from unchecked values."""
    unknown = [key for key in table if key not in _KEYS]
    if unknown:
        raise InputError(f"{where}: unknown key '{printable(unknown[0])}'", hint=f"keys: {', '.join(_KEYS)}")
    settings = checked_settings(_table(table, "settings", where), f"[settings] of {where}")
    grid = _grid(_table(table, "grid", where), settings, f"[grid] of {where}")
    search = None
    if "search" in table:
        search = _search(_table(table, "search", where), f"[search] of {where}")
    definition = Definition(
        title=str(table.get("title", "")),
        settings=settings,
        grid=grid,
        named=_named(table, where),
        search=search,
        seeds=_seeds(_table(table, "repeat", where), where),
        score=_scoring(_table(table, "score", where), f"[score] of {where}"),
        scale=_scale(table.get("scale", 1.0), where),
    )
    _ = definition.cells  # refuses what cannot be told apart
    return definition


def _grid(table: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> dict[str, tuple[Any, ...]]:
    common = flat(settings)
    grid: dict[str, tuple[Any, ...]] = {}
    for written, values in flat(table).items():
        key = ALIASES.get(written, written)
        if not isinstance(values, list) or not values:
            raise InputError(f"{where}: '{printable(key)}' has no values", hint=f"{key} = [VALUE, VALUE]")
        if key in common or (key == "options" and "options" in settings):
            raise InputError(f"{where}: '{key}' is in [settings] as well", hint="leave it out of one of them")
        checked = [_grid_value(key, value, where) for value in values]
        if len({canonical_json(comparable(value)) for value in checked}) < len(checked):
            raise InputError(f"{where}: '{key}' has a value twice", hint="name each value once")
        grid[key] = tuple(checked)
    return grid


def _grid_value(key: str, value: Any, where: str) -> Any:
    if key.startswith("options."):
        return value
    return checked_settings({key: value}, where)[key]


def _named(table: Mapping[str, Any], where: str) -> tuple[Cell, ...]:
    value = table.get("cell", [])
    if not isinstance(value, list) or not all(isinstance(part, Mapping) for part in value):
        raise InputError(f"{where}: 'cell' must be a list of tables", hint="write [[cell]] and its keys below")
    cells = []
    for part in value:
        name = part.get("name")
        if not isinstance(name, str) or not _SAFE.fullmatch(name) or len(name) > MAX_NAME:
            raise InputError(
                f"{where}: a cell is called {printable(repr(name))}",
                hint=f'name = "…", of letters, digits and ._=,+- (at most {MAX_NAME})',
            )
        rest = {key: own for key, own in part.items() if key != "name"}
        cells.append(Cell(name, checked_settings(rest, f"cell '{name}' of {where}")))
    return tuple(cells)


def _search(table: Mapping[str, Any], where: str) -> Search:
    found = validate(Search, table, what="key", where=where)
    if not found.ranges:
        raise InputError(f"{where} has no ranges", hint='ranges = "wide", or a table [search.ranges]')
    if found.prune and found.sampler != "tpe":
        raise InputError(f"{where}: prune is for the sampler tpe", hint='sampler = "tpe"')
    return found


def _scoring(table: Mapping[str, Any], where: str) -> Scoring:
    found = validate(Scoring, table, what="key", where=where)
    if found.choose_seed == found.report_seed:
        raise InputError(
            f"{where}: choose_seed and report_seed are both {found.report_seed}",
            hint="what is chosen by some samples is scored by other ones",
        )
    if not found.names:
        raise InputError(f"{where}: 'metrics' is empty", hint='metrics = ["fid"]')
    return found


def _seeds(table: Mapping[str, Any], where: str) -> tuple[int, ...]:
    unknown = [key for key in table if key != "seeds"]
    if unknown:
        raise InputError(f"[repeat] of {where}: unknown key '{printable(unknown[0])}'", hint="its only key is `seeds`")
    value = table.get("seeds", 1)
    listed = list(range(value)) if isinstance(value, int) and 0 <= value < SEARCH_SEEDS else value
    valid = isinstance(listed, list | tuple) and all(
        isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < SEARCH_SEEDS for seed in listed
    )
    if isinstance(value, bool) or not valid or not listed or len(set(listed)) < len(listed):
        raise InputError(
            f"[repeat] of {where}: seeds = {printable(str(value))}",
            hint=f"a number of seeds, or a list of different ones below {SEARCH_SEEDS:,}",
        )
    return tuple(sorted(listed))


def _scale(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1e6:
        raise InputError(f"{where}: scale = {printable(str(value))}", hint="a number above 0: 0.02")
    return float(value)


def _table(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: '{key}' must be a table", hint=f"write [{key}] and its keys below")
    return value
