"""What a study is: cells of settings, a search or seeds, and how its runs are scored. docs/study.md has the format.

Nothing here needs torch or a plugin: whether a variant exists is asked when the study is run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from gankit.base.files import canonical_json, sha256
from gankit.errors import InputError
from gankit.settings.option import option, to_json
from gankit.study.cells import NAMING, name_of, scaled, word
from gankit.study.tables import comparable, flat, merge, nested, toml_text, without_none

Phase = Literal["grid", "search", "best"]

MAX_CELLS = 10_000
SEARCH_SEEDS = 1_000_000
"""Training seeds from here on are those of a search, so that no repetition repeats the run by which it was chosen."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How settings of each cell are searched."""

    ranges: str | Mapping[str, Any] | None = option(
        None, help="'wide' or 'narrow', the ranges of settings and options; or a table of ranges"
    )
    sampler: Literal["random", "tpe"] = option("random", help="random, as in the paper, or Optuna's TPE")
    trials: int = option(50, ge=1, le=1_000_000, help="trials of each cell; the first one has the cell's own settings")
    seed: int = option(0, ge=0, lt=2**63, help="the number from which the drawn settings are derived")
    prune: bool = option(False, help="end trials early that score worse than the median (tpe only)")


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
        return tuple(Cell(cell.name, scaled(cell.settings, self.scale)) for cell in found)

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
            f"{key} {word(old_fixed.get(key))} -> {word(new_fixed.get(key))}"
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
                found.append(f"{key} of cell '{cell.name}' {word(old.get(key))} -> {word(now.get(key))}")
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
                yield name_of(own or {key: self.settings[key] for key in NAMING if key in self.settings}), nested(own)
        yield from ((cell.name, dict(cell.settings)) for cell in self.named)


def make_trial(cell: str, phase: Phase, number: int, seed: int, settings: Mapping[str, Any]) -> Trial:
    """A trial with its id. The hash covers all settings but the seed, which the id names."""
    complete = {**settings, "seed": seed}
    digest = sha256(canonical_json(comparable({**complete, "seed": None})).encode())[:8]
    return Trial(f"{cell}-{phase}-{number}-s{seed}-{digest}", cell, phase, number, seed, complete)
