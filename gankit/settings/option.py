"""An option: default, help, bounds and where to search for it, said once in the field of a dataclass; and its check."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Lt

from gankit.base.text import did_you_mean
from gankit.errors import InputError

if TYPE_CHECKING:
    pass


Decay = Annotated[float, Ge(0), Lt(1)]


Prior = Literal["normal", "uniform"]


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


def option(
    default: Any,
    *,
    help: str,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    search: Mapping[str, Search] | None = None,
) -> Any:
    """A field of an options dataclass: default, one line of help, bounds. Choices are written as `Literal`.

    `search` says where a hyper-parameter search should look: the name of a range ('wide', 'narrow') -> the range.
    """
    given = {"gt": gt, "ge": ge, "lt": lt, "le": le}
    bounds = {name: bound for name, bound in given.items() if bound is not None}
    return dataclasses.field(default=default, metadata={"help": help, "bounds": bounds, "search": dict(search or {})})


@dataclass(frozen=True)
class NoOptions:
    """The options of a variant that has none."""


T = TypeVar("T")


def validate(cls: type[T], values: Mapping[str, Any], *, what: str, where: str = "") -> T:
    """A frozen dataclass from loose values (strings are converted); unknown keys and all bad values in one error."""
    import pydantic  # 0.1 s: not for `gankit --help`

    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    place = f" of {where}" if where else ""
    unknown = [key for key in values if key not in fields]
    if unknown:
        listing = ", ".join(fields) or "none"
        hint = f"{did_you_mean(unknown[0], fields)}{what}s: {listing}"
        raise InputError(f"unknown {what}{place}: {', '.join(unknown)}", hint=hint)
    hints = typing.get_type_hints(cls, include_extras=True)
    definitions: dict[str, Any] = {
        name: (hints[name], pydantic.Field(field.default, **field.metadata.get("bounds", {})))
        for name, field in fields.items()
    }
    forbid = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
    model = pydantic.create_model(cls.__name__, __config__=forbid, **definitions)
    try:
        checked = model.model_validate({name: _choice(value, hints[name]) for name, value in values.items()})
    except pydantic.ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc']))}={item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}"
            for item in error.errors()
        )
        names = ", ".join(sorted({str(item["loc"][0]) for item in error.errors()}))
        raise InputError(f"bad {what}{place}: {problems}", hint=f"mend {names}") from None
    return cls(**{name: getattr(checked, name) for name in fields})


def _choice(value: object, hint: Any) -> object:
    """The choice that a text spells, where the choices are numbers, say (pydantic compares them with the text)."""
    choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
    return next((choice for choice in choices if isinstance(value, str) and str(choice) == value), value)


def to_json(config: object) -> dict[str, Any]:
    """A configuration as JSON values, defaults included."""
    values = dataclasses.asdict(config)  # type: ignore[call-overload]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that differ between two configurations as JSON: name -> (old, new)."""
    keys = [*old, *(key for key in new if key not in old)]
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}
