"""Options and settings: all facts about one are written once, in the field of a dataclass."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from gankit.settings.schedule import Schedule

Prior = Literal["normal", "uniform"]

Kind = Literal["plain", "count", "duration", "name"]
"""The spelling of a value: that of its type; 50k or 2M; 1h30m; or any object whose text is a name."""


@dataclass(frozen=True)
class Uniform:
    """Values uniform on [low, high]."""

    low: float
    high: float


@dataclass(frozen=True)
class LogUniform:
    """Values on [low, high] with a uniform logarithm."""

    low: float
    high: float


@dataclass(frozen=True)
class Choice:
    """One of the given values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class SameAs:
    """The value of another setting of the same search."""

    setting: str


Search = Uniform | LogUniform | Choice | SameAs
"""The range of a search: 'wide' and 'narrow' are the phases of "Are GANs Created Equal?" (Lucic et al. 2018)."""


class Panel(StrEnum):
    """The groups of settings in the help of `gankit train`, in order."""

    GAME = "Game"
    DATA = "Data"
    BUDGET = "Budget"
    RUN = "Run"
    SCORES = "Scores during training"
    OUTPUT = "Output"


@dataclass(frozen=True)
class Setting:
    """The facts that make an option of core a setting of a run: its flag, its help, and when it may change."""

    panel: Panel = Panel.GAME
    """The group that shows it in the help."""
    flag: str = ""
    """Name of the flag without leading hyphens, if it differs from that of the field."""
    brief: str = ""
    """Help of the flag, if the help of the option does not fit a line of the terminal."""
    metavar: str = ""
    """Placeholder of the value in the help."""
    resumable: bool = False
    """Whether a resumed run may change it; a data set is compared by its content."""
    repeatable: bool = False
    """Whether repetitions of one experiment may differ in it."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts that `option` stores in the metadata of a field."""

    help: str = ""
    """One line of help."""
    bounds: Mapping[str, float] = field(default_factory=dict)
    """Some of gt, ge, lt, le, for every number of a tuple and every value of a schedule."""
    schedule: bool | None = None
    """Whether the value may follow a schedule; None means that a float may."""
    kind: Kind = "plain"
    """The spelling of a value."""
    search: Mapping[str, Search] = field(default_factory=dict)
    """Ranges of a search by name: 'wide', 'narrow'."""
    setting: Setting = Setting()
    """Further facts about a setting of a run."""


def facts_of(field: dataclasses.Field[Any]) -> Facts:
    """The facts about a field; the defaults for a field that `option` did not make."""
    facts: Facts = field.metadata.get("facts", Facts())
    return facts


def option(
    default: Any,
    *,
    help: str,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    schedule: bool | None = None,
    kind: Kind = "plain",
    search: Mapping[str, Search] | None = None,
    setting: Setting | None = None,
) -> Any:
    """A field of an options dataclass: default, one line of help, bounds. Choices are written as `Literal`.

    `schedule` says whether the value may follow a schedule; by default only a float may. The field then holds a
    `Schedule` if the user gave one, else the number. With `kind="count"` users may write 50k, with `kind="duration"`
    1h30m. `search` maps the names of ranges ('wide', 'narrow') to the ranges of a hyper-parameter search. `setting` is
    for the settings of core.
    """
    bounds = {"gt": gt, "ge": ge, "lt": lt, "le": le}
    facts = Facts(
        help=help,
        bounds={name: bound for name, bound in bounds.items() if bound is not None},
        schedule=schedule,
        kind=kind,
        search=dict(search or {}),
        setting=setting or Setting(),
    )
    return dataclasses.field(default=default, metadata={"facts": facts})


@dataclass(frozen=True)
class NoOptions:
    """The options of a variant that has none."""


def values_of(config: object) -> dict[str, Any]:
    """Field -> value of a configuration; schedules are kept as objects."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}  # type: ignore[arg-type]


def to_json(config: object) -> dict[str, Any]:
    """A configuration as JSON values, defaults included; a schedule becomes its spelling."""
    return {name: _json_value(value) for name, value in values_of(config).items()}


def _json_value(value: Any) -> Any:
    if isinstance(value, Schedule):
        return str(value)
    if isinstance(value, tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    return to_json(value) if dataclasses.is_dataclass(value) else value


def schedules_in(config: object) -> dict[str, Schedule]:
    """The schedules of a configuration by name; those of a tuple are numbered: 'betas.1'."""
    schedules: dict[str, Schedule] = {}
    for name, value in values_of(config).items():
        items = {f"{name}.{index}": item for index, item in enumerate(value)} if isinstance(value, tuple) else {}
        schedules |= {key: item for key, item in (items or {name: value}).items() if isinstance(item, Schedule)}
    return schedules


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that differ between two configurations as JSON: name -> (old, new)."""
    keys = [*old, *(key for key in new if key not in old)]
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}
