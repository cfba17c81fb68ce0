"""What a study is: cells of settings, a search or seeds, and how its runs are scored. docs/study.md has the format.

Nothing here needs torch or a plugin: whether a variant exists is asked when the study is run.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from gankit.base.files import canonical_json, sha256
from gankit.base.text import printable, short_name
from gankit.errors import InputError
from gankit.settings.config import ALIASES, BUDGETS, DEFAULT_IMAGES, RunConfig
from gankit.settings.layers import load_toml
from gankit.settings.option import option, to_json
from gankit.settings.validate import validate
from gankit.study.tables import comparable, merge, nested, toml_text, without_none
from gankit.study.tables import flat as flat

Phase = Literal["grid", "search", "best"]

MAX_CELLS = 10_000
MAX_NAME = 80  # characters of the name of a cell, which is part of the names of folders
SEARCH_SEEDS = 1_000_000
"""Training seeds from here on are those of a search, so that no repetition repeats the run by which it was chosen."""

NOT_IN_A_STUDY = {
    "seed": "the seeds of a study are [repeat] seeds",
    "device": "it belongs to the machine: give --device",
    "checkpoint_every": "it belongs to the machine",
}
"""Settings that no cell may hold, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How settings of each cell are searched."""

    ranges: str | Mapping[str, Any] | None = option(
        None, help="'wide' or 'narrow', the ranges of settings and options; or a table of ranges"
    )
    sampler: Literal["random", "tpe"] = option("random", help="random, as in the paper, or Optuna's TPE")
    trials: int = option(50, ge=1, le=1_000_000, help="trials of each cell; the first one has the cell's own settings")
    seed: int = option(0, ge=0, lt=2**63, help="the number from which the drawn settings are derived")
    prune: bool = option(False, help="end trials early that score below the median (tpe only)")


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How each run is scored, and by what the best one is chosen."""

    metric: str = option("fid", help="the score by which the best settings are chosen")
    metrics: tuple[str, ...] | None = option(None, help="the metrics to compute; None: the one of `metric`")
    features: str | None = option(None, help="feature space; None: the best one available")
    n: int = option(2_000, ge=50, le=10_000_000, kind="count", help="samples of each run, and real ones")
    split: str = option("train", help="split of the real data")
    choose_seed: int = option(0, ge=0, lt=2**31, help="evaluation seed of the scores by which the best is chosen")
    report_seed: int = option(1, ge=0, lt=2**31, help="evaluation seed of the scores that are reported")

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics to compute."""
        return self.metrics if self.metrics is not None else (self.metric,)


@dataclass(frozen=True)
class Cell:
    """One experiment of a study: settings that differ from those of the other cells."""

    name: str
    """Unique in the study, and part of names of folders."""
    settings: Mapping[str, Any]
    """Fields of RunConfig, `recipe` and the table `options`, as JSON values."""


@dataclass(frozen=True)
class Trial:
    """One run of a study."""

    id: str
    """`<cell>-<phase>-<number>-s<seed>-<hash of the settings>`: the name of its run folder."""
    cell: str
    phase: Phase
    number: int
    """0 in a grid; in a search the number of the draw, 0 for the cell's own settings; 'best' repeats that draw."""
    seed: int
    settings: Mapping[str, Any]
    """The settings of the cell and those that were drawn, with the seed."""

    def to_json(self) -> dict[str, Any]:
        """JSON values, as in the journal."""
        return {name: getattr(self, name) for name in ("id", "cell", "phase", "number", "seed", "settings")}


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A study. Two definitions with the same `digest` are the same study at different stages of its growth."""

    title: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that all cells have in common."""
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Setting, or option 'options.NAME' -> its values; each combination is a cell."""
    named: tuple[Cell, ...] = ()
    """Cells with a name and settings of their own, without the common ones."""
    search: Search | None = None
    seeds: tuple[int, ...] = (0,)
    """Training seeds of each cell of a grid, or of the best settings that a search found."""
    score: Scoring = Scoring()
    scale: float = 1.0
    """By what every budget is multiplied."""

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cells with all of their settings, budgets scaled; InputError for none, and for two of one name."""
        found = [Cell(name, merge(self.settings, own)) for name, own in self._own_settings()]
        if len(found) > MAX_CELLS:
            raise InputError(f"the study has {len(found):,} cells", hint=f"{MAX_CELLS:,} at most")
        for cell in found:
            if "variant" not in cell.settings and "recipe" not in cell.settings:
                raise InputError(f"cell '{cell.name}' names no variant", hint="--variant NAME, or a recipe")
        names = [cell.name for cell in found]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"two cells are called '{twice}'", hint="name them yourself: [[cell]] name = …")
        return tuple(Cell(cell.name, _scaled(cell.settings, self.scale)) for cell in found)

    def cell(self, name: str) -> Cell:
        """The cell of this name."""
        return next(cell for cell in self.cells if cell.name == name)

    def grid_trials(self) -> list[Trial]:
        """The trials of a study without a search: seed by seed, so that all cells have their first results early."""
        return [make_trial(cell.name, "grid", 0, seed, cell.settings) for seed in self.seeds for cell in self.cells]

    def search_trial(self, cell: Cell, number: int, drawn: Mapping[str, Any]) -> Trial:
        """A trial of the search with drawn settings ('g_lr', 'options.gamma') over those of the cell."""
        return make_trial(cell.name, "search", number, SEARCH_SEEDS + number, merge(cell.settings, nested(drawn)))

    def best_trials(self, cell: Cell, number: int, settings: Mapping[str, Any]) -> list[Trial]:
        """The repetitions of the settings that were chosen for a cell, those of draw `number`."""
        return [make_trial(cell.name, "best", number, seed, settings) for seed in self.seeds]

    # -- its forms -----------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The definition as a table, the same for every spelling; `from_table` takes it."""
        table: dict[str, Any] = {"title": self.title} if self.title else {}
        table |= {"scale": self.scale} if self.scale != 1 else {}
        table["settings"] = dict(self.settings)
        table |= {"grid": {key: list(values) for key, values in self.grid.items()}} if self.grid else {}
        if self.named:
            table["cell"] = [{"name": cell.name, **cell.settings} for cell in self.named]
        table |= {"search": to_json(self.search)} if self.search is not None else {}
        table["repeat"] = {"seeds": list(self.seeds)}
        table["score"] = to_json(self.score)
        complete: dict[str, Any] = without_none(table)
        return complete

    def to_toml(self) -> str:
        """The definition as TOML."""
        return toml_text(self.to_json())

    @property
    def digest(self) -> str:
        """sha256 of all but what may grow: title, cells, seeds and the number of trials."""
        return sha256(canonical_json(comparable(self._fixed())).encode())

    def _fixed(self) -> dict[str, Any]:
        table = {key: value for key, value in self.to_json().items() if key in ("search", "score", "scale")}
        if "search" in table:
            table["search"] = {key: value for key, value in table["search"].items() if key != "trials"}
        return table

    def differences(self, new: Definition) -> list[str]:
        """In words, why a study of this definition cannot go on as `new`; empty where it only grows."""
        old_fixed, new_fixed = flat(comparable(self._fixed())), flat(comparable(new._fixed()))
        found = [
            f"{key} {_word(old_fixed.get(key))} -> {_word(new_fixed.get(key))}"
            for key in dict.fromkeys([*old_fixed, *new_fixed])
            if old_fixed.get(key) != new_fixed.get(key)
        ]
        cells = {cell.name: flat(comparable(cell.settings)) for cell in new.cells}
        for cell in self.cells:
            old, now = flat(comparable(cell.settings)), cells.get(cell.name)
            if now is None:
                found.append(f"cell '{cell.name}' is gone")
            elif old != now:
                key = next(key for key in [*old, *now] if old.get(key) != now.get(key))
                found.append(f"{key} of cell '{cell.name}' {_word(old.get(key))} -> {_word(now.get(key))}")
        gone = [seed for seed in self.seeds if seed not in new.seeds]
        found += [f"seed {', '.join(map(str, gone))} is gone"] if gone else []
        if self.search is not None and new.search is not None and new.search.trials < self.search.trials:
            found.append(f"trials {self.search.trials} -> {new.search.trials}")
        return found

    def _own_settings(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(name, settings besides the common ones) of each cell."""
        if self.grid or not self.named:
            for values in itertools.product(*self.grid.values()):
                own = dict(zip(self.grid, values, strict=True))
                yield _name_of(own or {key: self.settings[key] for key in _NAMING if key in self.settings}), nested(own)
        yield from ((cell.name, dict(cell.settings)) for cell in self.named)


_NAMING = ("variant", "recipe", "data")
_KEYS = ("title", "scale", "settings", "grid", "cell", "search", "repeat", "score")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+-]*")


# -- reading -----------------------------------------------------------------------------------------------------------


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


def checked_settings(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings as JSON values in one spelling: 100000 for '100k'. Options are checked when their plugin is known."""
    given = {ALIASES.get(key, key): os.fspath(v) if isinstance(v, os.PathLike) else v for key, v in table.items()}
    for name, reason in NOT_IN_A_STUDY.items():
        if name in given:
            raise InputError(f"{where}: '{name}' cannot be part of a study: {reason}", hint="leave it out")
    if not isinstance(given.get("options", {}), Mapping):
        raise InputError(f"{where}: 'options' must be a table", hint="options = { NAME = VALUE }")
    if isinstance(given.get("extensions", []), str):
        given["extensions"] = [given["extensions"]]
    others: dict[str, Any] = {key: given[key] for key in ("options", "recipe") if key in given}
    plain = {key: value for key, value in given.items() if key not in others and value is not None}
    config = to_json(validate(RunConfig, plain, what="setting", where=where))
    checked = {key: config[key] for key in plain}
    for key in ("variant", "recipe", "data", "init_from"):
        if key in {**checked, **others}:
            target = checked if key in checked else others
            target[key] = _absolute(str(target[key]))
    if "extensions" in checked:
        checked["extensions"] = [_absolute(name) for name in checked["extensions"]]
    return {**checked, **others}


def _absolute(name: str) -> str:
    """A file as an absolute path, so that the study goes on from any folder; other names as they are."""
    path = Path(name)
    is_path = os.sep in name or name.startswith(".") or path.suffix in (".py", ".toml", ".zip", ".npz", ".npy")
    return str(path.absolute()) if is_path and path.exists() else name


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


# -- settings as tables ------------------------------------------------------------------------------------------------


def make_trial(cell: str, phase: Phase, number: int, seed: int, settings: Mapping[str, Any]) -> Trial:
    """A trial with its id. The hash covers all settings but the seed, which the id names."""
    complete = {**settings, "seed": seed}
    digest = sha256(canonical_json(comparable({**complete, "seed": None})).encode())[:8]
    return Trial(f"{cell}-{phase}-{number}-s{seed}-{digest}", cell, phase, number, seed, complete)


def _scaled(settings: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """The settings with every budget multiplied by `scale`; that of a recipe, or the default, where none is given."""
    if scale == 1:
        return dict(settings)
    budgets = {key: settings[key] for key in BUDGETS if settings.get(key) is not None}
    if not budgets and "recipe" in settings:
        from gankit.host import recipes

        of_recipe = recipes.find(settings["recipe"]).recipe.settings
        plain = {key: of_recipe[key] for key in BUDGETS if of_recipe.get(key) is not None}
        budgets = checked_settings(plain, "the recipe")
    budgets = budgets or {"images": DEFAULT_IMAGES}
    smaller = {key: v * scale if key == "time_s" else max(1, round(v * scale)) for key, v in budgets.items()}
    return {**settings, **smaller}


def _name_of(own: Mapping[str, Any]) -> str:
    """A name for the cell with these settings: 'hinge-digits-g_lr=0.0001'."""
    words = []
    for key, value in own.items():
        text = _word(value)
        if os.sep in text:
            text = short_name(Path(text))
        words.append(text if key in _NAMING else f"{key.removeprefix('options.')}={text}")
    name = re.sub(r"[^A-Za-z0-9._=,+-]+", "-", "-".join(words)).strip("-.,=+") or "all"
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 7]}-{sha256(canonical_json(dict(own)).encode())[:6]}"


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return ",".join(map(_word, value)) if isinstance(value, list | tuple) else str(value)
