"""Flags made from the fields of `RunConfig`: each setting is a flag with its help and completion."""

from __future__ import annotations

import dataclasses
import inspect
import os
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import typer

from gankit.base.text import did_you_mean
from gankit.cli.flags import complete_extension, complete_variant, key_values
from gankit.errors import InputError
from gankit.settings.config import RunConfig
from gankit.settings.layers import Layer
from gankit.settings.option import Facts, Kind, facts_of

OPTIONS = "options"
"""The options of variant and extensions, `--set`: a setting without a field."""

FIELDS = {field.name: field for field in dataclasses.fields(RunConfig)}
_HINTS = typing.get_type_hints(RunConfig)
_COMPLETIONS = {"variant": complete_variant, "extensions": complete_extension}
_METAVARS: dict[Kind, str] = {"plain": "N", "count": "COUNT", "duration": "TIME", "name": "NAME"}


def takes_settings(
    names: Sequence[str], *, panels: bool = False, variables: str | None = None, several: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator for a command `function(layers, …)`, which gets a flag for each of these settings.

    `layers` are the environment and the flags, of which the last one wins. With `panels` the help groups the flags and
    shows their defaults; `variables` is the prefix of the environment variables that the command reads. `several` are
    settings of which the command takes more than one, with commas between them.
    """
    flags = {_parameter_name(name): name for name in names}

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        others = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        def command(context: typer.Context, **values: Any) -> None:
            _refuse_unknown_variables(context, variables)
            function(
                _layers(context, flags, several), **{parameter.name: values[parameter.name] for parameter in others}
            )

        start = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        of_settings = [_parameter(name, panels, variables) for name in names]
        parameters = [start, *of_settings, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in others)]
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorate


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """The settings of several layers, merged."""
    return {name: value for layer in layers for name, value in layer.settings.items()}


def _parameter(name: str, panels: bool, variables: str | None) -> inspect.Parameter:
    """The parameter of a command for one setting: a switch, a list, or a text that is validated with the settings."""
    facts = Facts() if name == OPTIONS else facts_of(FIELDS[name])
    flag = _flag(name)
    switch = name != OPTIONS and _HINTS[name] is bool
    several = name == OPTIONS or _HINTS[name] == tuple[str, ...]
    option = typer.Option(
        *([f"--{flag}", "-s"] if name == OPTIONS else [f"--{flag}"]),
        help=_help(name, facts, defaults=panels),
        metavar="" if switch else _metavar(name, facts),
        envvar=f"{variables}_{_variable(flag)}" if variables else None,
        show_envvar=False,
        autocompletion=_completion(name),
        rich_help_panel=facts.setting.panel.value if panels else None,
    )
    kind: Any = bool if switch else list[str] if several else str
    return inspect.Parameter(
        _parameter_name(name), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _flag(name: str) -> str:
    if name == OPTIONS:
        return "set"
    return facts_of(FIELDS[name]).setting.flag or name.replace("_", "-")


def _parameter_name(name: str) -> str:
    """The name of the parameter of a command, a valid identifier, which `with` is not."""
    flag = _flag(name).replace("-", "_")
    return f"{flag}_" if flag == "with" else flag


def _variable(flag: str) -> str:
    return flag.upper().replace("-", "_").rstrip("_")


def _choices(name: str) -> list[str]:
    parts = (_HINTS.get(name), *typing.get_args(_HINTS.get(name)))
    return [str(value) for part in parts if typing.get_origin(part) is Literal for value in typing.get_args(part)]


def _scalars(name: str) -> set[type]:
    """The plain types of a setting: str for a choice."""
    hint = _HINTS[name]
    return {str} if _choices(name) else {hint, *typing.get_args(hint)}


def _help(name: str, facts: Facts, defaults: bool) -> str:
    """'Images per step, over all devices (64).': the brief help with the choices, or with the default in brackets."""
    if name == OPTIONS:
        return "Plugin option: KEY or EXTENSION.KEY."
    text = facts.setting.brief or facts.help
    default, choices = FIELDS[name].default, _choices(name)
    if choices:
        text += f": {', '.join(choices)}"
    elif defaults and default and not isinstance(default, tuple):
        text += f" ({default:,})" if isinstance(default, int) else f" ({default})"
    return f"{text[0].upper()}{text[1:]}."


def _metavar(name: str, facts: Facts) -> str:
    if name == OPTIONS:
        return "KEY=VALUE"
    return facts.setting.metavar or ("NAME" if str in _scalars(name) else _METAVARS[facts.kind])


def _completion(name: str) -> Callable[[str], list[Any]] | None:
    choices = _choices(name)
    if not choices:
        return _COMPLETIONS.get(name)
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


def _layers(context: typer.Context, flags: dict[str, str], several: Sequence[str]) -> list[Layer]:
    """The environment and the flags as two layers, which hold only the settings that the user set."""
    settings: dict[str, dict[str, Any]] = {"ENVIRONMENT": {}, "COMMANDLINE": {}}
    for parameter, name in flags.items():
        source = context.get_parameter_source(parameter)
        if source is not None and source.name in settings:
            value = context.params[parameter]
            if name in ("seed", "variant") and name not in several:
                _refuse_several(name, value)
            settings[source.name][name] = key_values(value) if name == OPTIONS else value
    named = {"environment": settings["ENVIRONMENT"], "flag": settings["COMMANDLINE"]}
    return [Layer(source, values) for source, values in named.items() if values]


def _refuse_several(name: str, value: str) -> None:
    """InputError for `--seed 0,1,2` and `--variant a,b`: a run has one of each."""
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if len(parts) > 1 and not value.endswith(".py"):
        loop = f"for x in {' '.join(parts)}; do gankit train --{name} $x; done"
        raise InputError(f"--{name} {value}: one run has one {name}", hint=loop)


def _refuse_unknown_variables(context: typer.Context, variables: str | None) -> None:
    """InputError for a misspelt variable, which would otherwise be ignored."""
    known = {f"{variables}_{_variable(name)}" for name in context.params}
    for name in os.environ:
        if variables and name.startswith(f"{variables}_") and name not in known:
            hint = f"{did_you_mean(name, known) or 'unset it; '}`gankit train --help` lists them"
            raise InputError(f"unknown environment variable {name}", hint=hint)
