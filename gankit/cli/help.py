"""Words in help screens: what the value of a flag is, in place of the types of Python."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path
from typing import Any, Literal

import typer
from typer.models import OptionInfo

WORDS = {bool: "", int: "N", float: "X", Path: "PATH", str: "TEXT"}
"""Type of a value -> what the help shows for it; a switch shows nothing."""
SHORT = 12  # characters of choices that are shown as they are


def in_words(app: typer.Typer) -> None:
    """Let the flags of all commands show words where no metavar was given."""
    for command in app.registered_commands:
        assert command.callback is not None
        signature = inspect.signature(command.callback, eval_str=True)
        command.callback.__signature__ = signature  # type: ignore[attr-defined]  # the flags are changed in place
        for parameter in signature.parameters.values():
            hint, *notes = typing.get_args(parameter.annotation) or [parameter.annotation]
            for option in notes:
                if isinstance(option, OptionInfo) and option.metavar is None:
                    _describe(option, hint)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            in_words(group.typer_instance)


def _describe(option: OptionInfo, hint: Any) -> None:
    parts = _parts(hint)
    choices = [str(value) for part in parts if typing.get_origin(part) is Literal for value in typing.get_args(part)]
    if not choices:
        option.metavar = next((WORDS[part] for part in parts if part in WORDS), "TEXT")
    elif len("|".join(choices)) <= SHORT:
        option.metavar = "|".join(choices)
    else:
        option.metavar = "NAME"
        option.help = f"{(option.help or '').rstrip('.')}: {', '.join(choices)}."


def _parts(hint: Any) -> tuple[Any, ...]:
    """list[str] | None -> (str, NoneType); a Literal stays whole."""
    if typing.get_origin(hint) is Literal:
        return (hint,)
    return tuple(part for argument in typing.get_args(hint) for part in _parts(argument)) or (hint,)
