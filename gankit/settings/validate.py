"""Checks values (text, TOML, JSON) for a dataclass and builds it; one line reports all mistakes."""

from __future__ import annotations

import dataclasses
import operator
import re
import typing
from collections.abc import Mapping
from functools import cache, partial
from typing import Annotated, Any, Literal, TypeVar

from gankit.base.text import did_you_mean
from gankit.errors import InputError
from gankit.settings.option import Facts, facts_of
from gankit.settings.schedule import Schedule, is_spelling, split_spellings
from gankit.settings.spelling import parse_count, parse_duration

T = TypeVar("T")


def validate(
    cls: type[T], values: Mapping[str, Any], *, what: str, where: str = "", sources: Mapping[str, str] | None = None
) -> T:
    """A frozen dataclass from unchecked values; one InputError names the unknown names or all bad values.

    `what` and `where` name the values in the error ('option', "variant 'x'"); `sources` is the source of each value.
    """
    import pydantic  # 0.1 s: not for `gankit --help`

    known: Any = cls
    names = [field.name for field in dataclasses.fields(known)]
    place = f" of {where}" if where else ""
    unknown = [key for key in values if key not in names]
    if unknown:
        hint = f"{did_you_mean(unknown[0], names)}{what}s: {', '.join(names) or 'none'}"
        listing = ", ".join(f"{key}{_source(key, sources)}" for key in unknown)
        raise InputError(f"unknown {what}{place}: {listing}", hint=hint)
    try:
        checked = _model(known).model_validate(dict(values))
    except pydantic.ValidationError as error:
        raise _mistakes(known, values, what, place, sources or {}, error.errors()) from None
    return cls(**{name: getattr(checked, name) for name in names})


def _mistakes(
    cls: Any, values: Mapping[str, Any], what: str, place: str, sources: Mapping[str, str], errors: list[Any]
) -> InputError:
    """One line for all bad values: each as it was written, what it should be, and what it is for."""
    facts = {field.name: facts_of(field) for field in dataclasses.fields(cls)}
    problems, meanings, flags = [], {}, True
    for item in errors:
        name = str(item["loc"][0])
        is_flag = what == "setting" and sources.get(name) == "flag"
        written = f"--{facts[name].setting.flag or name.replace('_', '-')}" if is_flag else name
        spelt = f"{written} {values[name]}" if is_flag else f"{'.'.join(map(str, item['loc']))}={item['input']!r}"
        message = item["msg"].replace("'", "") if item["type"] == "literal_error" else item["msg"]
        problems.append(f"{spelt}{_source(name, sources)}: {in_words(message)}")
        meanings[written] = facts[name].help
        flags &= is_flag
    texts = [f"{written}: {text}" if len(meanings) > 1 else text for written, text in meanings.items() if text]
    return InputError(f"{'' if flags else f'bad {what}{place}: '}{'; '.join(problems)}", hint="; ".join(texts) or None)


_PLAIN = {
    r"^Value error, ": "",
    r"Input should be": "it should be",
    r"a valid (integer|number), unable to parse string as an? \w+": r"a \1",
    r"\ba integer\b": "a whole number",
    r"a valid boolean, unable to interpret input": "true or false",
    r"greater than or equal to ([^ ]+)": r"\1 or more",
    r"less than or equal to ([^ ]+)": r"\1 or less",
    r"^Field required$": "a second value is missing after a comma",
}
"""Phrases of pydantic, which typer shows as well -> plainer ones."""


def in_words(message: str) -> str:
    """A message about a bad value in plain words: 'it should be 1 or more'."""
    for pattern, words in _PLAIN.items():
        message = re.sub(pattern, words, message)
    return message[:1].lower() + message[1:]


def _source(key: str, sources: Mapping[str, str] | None) -> str:
    """' (run.toml)', unless the user has just written the value in this command."""
    source = (sources or {}).get(key, "flag")
    return "" if source in ("flag", "argument") else f" ({source})"


@cache
def _model(cls: type) -> Any:
    """The pydantic model that checks the fields of a dataclass."""
    import pydantic

    hints = typing.get_type_hints(cls, include_extras=True)
    forbid = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
    fields: dict[str, Any] = {
        field.name: (_type_of(hints[field.name], facts_of(field)), field.default) for field in dataclasses.fields(cls)
    }
    return pydantic.create_model(cls.__name__, __config__=forbid, **fields)


def takes_schedule(hint: Any, facts: Facts) -> bool:
    """Whether a field or an item of a tuple may follow a schedule, by its type and its facts."""
    if facts.schedule is not None:
        return facts.schedule
    return bool(set(_parts(hint)) <= {float, Schedule, type(None)}) and float in _parts(hint)


def _type_of(hint: Any, facts: Facts) -> Any:
    """The pydantic type of a field: it reads the user's spelling, then checks the type and the bounds."""
    import pydantic

    if any(typing.get_origin(part) is tuple for part in typing.get_args(hint)):  # a tuple or None
        (pair,) = (part for part in typing.get_args(hint) if part is not type(None))
        return Annotated[Any, pydantic.PlainValidator(partial(_optional, pydantic.TypeAdapter(_type_of(pair, facts))))]
    if typing.get_origin(hint) is tuple:
        items = tuple(item if item is ... else _type_of(item, facts) for item in typing.get_args(hint))
        return Annotated[tuple.__class_getitem__(items), pydantic.BeforeValidator(_split)]
    if takes_schedule(hint, facts):
        return Annotated[Any, pydantic.PlainValidator(partial(_number, hint, facts))]
    bounds: dict[str, Any] = dict(facts.bounds)
    return Annotated[hint, pydantic.Field(**bounds), pydantic.BeforeValidator(partial(_read, hint, facts))]


def _optional(adapter: Any, value: object) -> object:
    """None, or what the adapter makes of a value."""
    return None if value is None else adapter.validate_python(value)


def _split(value: object) -> object:
    return split_spellings(value) if isinstance(value, str) else value


def _read(hint: Any, facts: Facts, value: object) -> object:
    """A value read from the user's spelling, before its type is checked; ValueError for a schedule or a boolean."""
    if hint is bool:
        return value
    if isinstance(value, bool) and Literal not in _parts(hint):  # pydantic would accept it as 1 or 0
        raise ValueError(f"{str(value).lower()} is not a value for it")
    if isinstance(value, Schedule) or (str not in _parts(hint) and isinstance(value, str) and is_spelling(value)):
        raise ValueError("it takes one value for the whole run, not a schedule")
    if isinstance(value, str):
        return _from_text(hint, facts, value)
    return str(value) if facts.kind == "name" and value is not None else value


def _from_text(hint: Any, facts: Facts, text: str) -> object:
    if facts.kind == "count":
        return parse_count(text)
    if facts.kind == "duration":
        return parse_duration(text)
    # pydantic compares choices with the text itself, and '4' is not 4.
    choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
    return next((choice for choice in choices if str(choice) == text), text)


def _number(hint: Any, facts: Facts, value: object) -> float | Schedule | None:
    """The number or the schedule that a value spells, within the bounds; a whole one for a field of whole numbers.

    None stays None where the type of the field has it.
    """
    if value is None and type(None) in _parts(hint):
        return None
    if facts.kind == "count" and isinstance(value, str) and not is_spelling(value):
        value = parse_count(value)
    schedule = Schedule.parse(value)
    for number in (*schedule.values, *([0.0] if schedule.warmup is not None else [])):
        _check_bounds(number, facts.bounds)
    if not schedule.is_constant:
        return schedule
    constant = schedule.values[0]
    if int not in _parts(hint):
        return constant
    if constant != int(constant):
        raise ValueError(f"{constant:g} is not a whole number")
    return int(value) if isinstance(value, int) else int(constant)


_RULES = {
    "gt": (operator.gt, "greater than"),
    "ge": (operator.ge, "greater than or equal to"),
    "lt": (operator.lt, "less than"),
    "le": (operator.le, "less than or equal to"),
}


def _check_bounds(number: float, bounds: Mapping[str, float]) -> None:
    for name, bound in bounds.items():
        holds, words = _RULES[name]
        if not holds(number, bound):
            raise ValueError(f"{number:g} should be {words} {bound:g}")


def _parts(hint: Any) -> tuple[Any, ...]:
    """float | None -> (float, NoneType); Literal['a'] -> (Literal,)."""
    if typing.get_origin(hint) is Literal:
        return (Literal,)
    return tuple(part for argument in typing.get_args(hint) for part in _parts(argument)) or (hint,)
