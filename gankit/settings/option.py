"""An option or a setting: everything that is known about it, written once in the field of a dataclass."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from gankit.settings.schedule import Schedule

Prior = Literal["normal", "uniform"]

Kind = Literal["plain", "count", "duration", "name"]
"""How a value may be written: as its type says; as 50k or 2M; as 1h30m; or as any object whose text is a name."""


@dataclass(frozen=True)
class Uniform:
    """Every value of [low, high] alike."""

    low: float
    high: float


@dataclass(frozen=True)
class LogUniform:
    """Values of [low, high] with a uniform logarithm."""

    low: float
    high: float


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class SameAs:
    """Not drawn: equal to another setting of the same search."""

    setting: str


Search = Uniform | LogUniform | Choice | SameAs
"""Where a search looks for values: 'wide' and 'narrow' are the phases of "Are GANs Created Equal?" (Lucic et al.)."""


class Panel(StrEnum):
    """The groups of settings in the help of `gankit train`, in their order."""

    GAME = "Game"
    DATA = "Data"
    BUDGET = "Budget"
    RUN = "Run"
    SCORES = "Scores during training"
    OUTPUT = "Output"


@dataclass(frozen=True)
class Setting:
    """How an option of core is a setting of a run: its flag, its place in the help, and when it may change."""

    panel: Panel = Panel.GAME
    """The group that shows it in the help."""
    flag: str = ""
    """Name of the flag without hyphens in front, where it is not that of the field."""
    brief: str = ""
    """Help of the flag, where the long one does not fit on its line of a terminal."""
    metavar: str = ""
    """What the flag takes, in the help."""
    resumable: bool = False
    """Whether a run that goes on may change it; a data set is compared by its content."""
    repeatable: bool = False
    """Whether repetitions of one experiment may differ in it."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What `option` writes into the metadata of a field."""

    help: str = ""
    """One line for people."""
    bounds: Mapping[str, float] = field(default_factory=dict)
    """Some of gt, ge, lt, le; they hold for every number of a tuple and for every value of a schedule."""
    schedule: bool | None = None
    """Whether it may follow a schedule; None: if it is a float."""
    kind: Kind = "plain"
    """How a value may be written."""
    search: Mapping[str, Search] = field(default_factory=dict)
    """The name of a range ('wide', 'narrow') and the range."""
    setting: Setting = Setting()
    """More facts, of the settings of a run."""


def facts_of(field: dataclasses.Field[Any]) -> Facts:
    """What is known about a field; nothing for one that `option` did not make."""
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

    `schedule` says whether the value may follow a schedule: a float may unless its author says False, another number
    may if its author says True. The field holds a `Schedule` where the user gave one, else the number. With
    `kind="count"` users may write 50k, with `kind="duration"` 1h30m. `search` says where a hyper-parameter search
    should look: the name of a range ('wide', 'narrow') and the range. `setting` is for the settings of core.
    """
    given = {"gt": gt, "ge": ge, "lt": lt, "le": le}
    facts = Facts(
        help=help,
        bounds={name: bound for name, bound in given.items() if bound is not None},
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
    """Field -> value of a configuration. A schedule stays what it is."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}  # type: ignore[arg-type]


def to_json(config: object) -> dict[str, Any]:
    """A configuration as JSON values, defaults included; a schedule is its spelling."""
    return {name: _plain(value) for name, value in values_of(config).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return to_json(value) if dataclasses.is_dataclass(value) else value


def schedules_in(config: object) -> dict[str, Schedule]:
    """The schedules of a configuration by name; those of a tuple are numbered: 'betas.1'."""
    found: dict[str, Schedule] = {}
    for name, value in values_of(config).items():
        items = {f"{name}.{index}": item for index, item in enumerate(value)} if isinstance(value, tuple) else {}
        found |= {key: item for key, item in (items or {name: value}).items() if isinstance(item, Schedule)}
    return found


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that differ between two configurations as JSON: name -> (old, new)."""
    keys = [*old, *(key for key in new if key not in old)]
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}
