"""The ranges of a search, and the settings that are drawn from them."""

from __future__ import annotations

import math
import random
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from gankit.base.seeds import derive_seed
from gankit.base.text import did_you_mean, printable
from gankit.errors import InputError
from gankit.settings.config import ALIASES, RunConfig, TrainConfig
from gankit.settings.option import Choice, LogUniform, SameAs, Search, Uniform, facts_of, to_json
from gankit.study.definition import Cell
from gankit.study.tables import flat

if TYPE_CHECKING:
    from gankit.run.plan import Plan

NAMED = ("wide", "narrow")
"""The named ranges that core's settings have; a plugin's options may have others."""


@dataclass(frozen=True)
class Space:
    """What is drawn for one cell: setting, or option 'options.NAME' -> its range."""

    cell: str
    ranges: Mapping[str, Search]
    whole: frozenset[str]
    """Settings that are whole numbers."""
    defaults: Mapping[str, Any]
    """The cell's own values of these settings, as JSON; a draw replaces the first of several numbers."""

    def draw(self, seed: int, number: int) -> dict[str, Any]:
        """The settings of draw `number`: the same ones in whatever order draws are made. Draw 0 changes nothing."""
        if number == 0:
            return {}
        drawn = {}
        for name, space in self.ranges.items():
            if not isinstance(space, SameAs):
                stream = random.Random(derive_seed(seed, "study", self.cell, number, name))
                drawn[name] = _draw(space, stream, name in self.whole)
        return self.completed(drawn)

    def completed(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Drawn values in the form of settings, with those that are the same as others."""
        values = dict(drawn)
        for name, space in self.ranges.items():
            if isinstance(space, SameAs) and space.setting in drawn:
                values[name] = drawn[space.setting]
        return {name: self._completed(name, value) for name, value in values.items()}

    def _completed(self, name: str, value: Any) -> Any:
        default = self.defaults.get(name)
        if isinstance(default, list) and not isinstance(value, list | tuple):
            return [value, *default[1:]]
        return list(value) if isinstance(value, tuple) else value

    @property
    def free(self) -> dict[str, Search]:
        """The ranges without those that follow others."""
        return {name: space for name, space in self.ranges.items() if not isinstance(space, SameAs)}


def space_of(plan: Plan, cell: Cell, ranges: str | Mapping[str, Any]) -> Space:
    """The space of a cell; InputError for an unknown name or setting, and where nothing is left to search.

    Named ranges leave out what the cell itself sets, and what no optimiser of the cell uses. A range of the user's own
    must not be of a setting that the cell sets.
    """
    kinds = _kinds(plan)
    defaults = _defaults(plan)
    pinned = flat(cell.settings)
    if isinstance(ranges, str):
        found = {name: space for name, space in _named(plan, ranges) if name not in pinned and _is_used(plan, name)}
    else:
        found = read_ranges(ranges)
        for name in found:
            if name not in kinds:
                raise InputError(
                    f"cell '{cell.name}' has no setting '{printable(name)}' to search",
                    hint=f'{did_you_mean(name, kinds)}an option is "options.NAME"',
                )
            if name in pinned:
                raise InputError(
                    f"'{name}' is searched, and cell '{cell.name}' sets it to {pinned[name]}",
                    hint="leave it out of one of them",
                )
    followed = {name: s for name, s in found.items() if not isinstance(s, SameAs) or s.setting in found}
    if not any(not isinstance(space, SameAs) for space in followed.values()):
        raise InputError(
            f"nothing to search in cell '{cell.name}': it sets all that has a range",
            hint="leave a setting open, or give [search.ranges]",
        )
    whole = frozenset(name for name in followed if kinds.get(name) == "whole")
    return Space(cell.name, followed, whole, {name: defaults.get(name) for name in followed})


def read_ranges(table: Mapping[str, Any]) -> dict[str, Search]:
    """Ranges from a table: {low =, high =, log = true}, a list of choices, or {same_as = "g_lr"}."""
    found: dict[str, Search] = {}
    for name, value in _leaves(table):
        key = ALIASES.get(name, name)
        if isinstance(value, list):
            if not value:
                raise InputError(f"range of '{printable(name)}' is empty", hint=f"{name} = [1, 5]")
            found[key] = Choice(tuple(value))
        elif isinstance(value, Mapping) and set(value) == {"same_as"}:
            found[key] = SameAs(str(value["same_as"]))
        else:
            found[key] = _interval(name, value)
    if not found:
        raise InputError("[search.ranges] is empty", hint="g_lr = { low = 1e-5, high = 1e-2, log = true }")
    for name, space in found.items():
        if isinstance(space, SameAs) and not isinstance(found.get(space.setting), Uniform | LogUniform | Choice):
            raise InputError(f"'{name}' is the same as '{printable(space.setting)}', which has no range of its own")
    return found


def _interval(name: str, value: Any) -> Search:
    hint = f"{name} = {{ low = 1e-5, high = 1e-2, log = true }}, or a list of choices"
    if not isinstance(value, Mapping) or not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        raise InputError(f"'{printable(name)}' has no range: {printable(str(value))}", hint=hint)
    low, high, log = value["low"], value["high"], value.get("log", False)
    if not all(
        isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end) for end in (low, high)
    ):
        raise InputError(f"range of '{printable(name)}': low and high are numbers", hint=hint)
    if not low < high or (log and low <= 0) or not isinstance(log, bool):
        raise InputError(f"range of '{printable(name)}': {low} to {high}{', log' if log else ''}", hint=hint)
    return LogUniform(low, high) if log else Uniform(low, high)


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, range) of a table in which `options.gamma` may be a key or a table."""
    for key, value in table.items():
        if isinstance(value, Mapping) and not {"low", "high", "log", "same_as"} & value.keys():
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


# -- what a plan has ---------------------------------------------------------------------------------------------------


def _tables(plan: Plan) -> Iterator[tuple[str, type, Mapping[str, Any]]]:
    """(prefix of the names, class, values as JSON) of the settings and of all options."""
    yield "", RunConfig, to_json(plan.config)
    yield "options.", type(plan.resolved.options), plan.options
    for extension, options in plan.composition.chosen.items():
        yield f"options.{extension}.", type(options), plan.extension_options[extension]


def _named(plan: Plan, ranges: str) -> Iterator[tuple[str, Search]]:
    known: dict[str, None] = dict.fromkeys(NAMED)
    found: dict[str, Search] = {}
    for prefix, cls, _ in _tables(plan):
        for field in fields(cls):
            search = facts_of(field).search
            known |= dict.fromkeys(search)
            if ranges in search:
                space = search[ranges]
                if isinstance(space, SameAs) and prefix:
                    space = SameAs(prefix + space.setting)
                found[prefix + field.name] = space
    if ranges not in known:
        raise InputError(
            f"unknown ranges '{printable(ranges)}'",
            hint=f"{did_you_mean(ranges, known)}known are {', '.join(known)}; or a file of your own: ./ranges.toml",
        )
    yield from found.items()


def _is_used(plan: Plan, name: str) -> bool:
    from gankit.run.plan import USED_BY

    return name not in USED_BY or bool(plan.config.optimizers & set(USED_BY[name]))


def _kinds(plan: Plan) -> dict[str, str]:
    """Setting -> 'whole' for whole numbers, else 'other', of what changes the game."""
    game = {field.name for field in fields(TrainConfig)}
    kinds = {}
    for prefix, cls, _ in _tables(plan):
        for name, hint in typing.get_type_hints(cls).items():
            if prefix or name in game:
                parts = {hint, *typing.get_args(hint)}
                kinds[prefix + name] = "whole" if int in parts and not parts & {float, bool} else "other"
    return kinds


def _defaults(plan: Plan) -> dict[str, Any]:
    return {prefix + name: value for prefix, _, values in _tables(plan) for name, value in values.items()}


def _draw(space: Search, stream: random.Random, whole: bool) -> Any:
    if isinstance(space, Choice):
        return stream.choice(space.values)
    assert not isinstance(space, SameAs)
    if isinstance(space, LogUniform):
        value = math.exp(stream.uniform(math.log(space.low), math.log(space.high)))
        value = min(max(value, space.low), space.high)
    else:
        value = stream.uniform(space.low, space.high)
    return round(value) if whole else value
