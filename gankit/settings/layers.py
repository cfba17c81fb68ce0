"""Layers of settings (core < variant < recipe < TOML < environment < flag), merged and checked all at once."""

from __future__ import annotations

import dataclasses
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.errors import InputError
from gankit.settings.config import ALIASES, BUDGETS, DEFAULT_IMAGES, RunConfig, TrainConfig
from gankit.settings.option import values_of
from gankit.settings.validate import validate

MAX_TOML_BYTES = 1 << 20

CORE, VARIANT, EXTENSION, RUN = "core", "variant", "extension", "run"
"""Sources of values that this command did not set: defaults, recommendations, and the stored settings of a run."""

RECIPE, ADVICE = "recipe", "advice"
"""Sources of values that a recipe set ('recipe NAME'), or the advice for the data."""


@dataclass(frozen=True)
class Resolved:
    """A configuration, the variant's options, and the source of each value."""

    config: RunConfig
    options: Any
    sources: Mapping[str, str]
    """Setting -> the source of its value; an option is 'options.NAME'."""

    def is_chosen(self, setting: str) -> bool:
        """Whether the user set the value of a setting in this command."""
        source = self.sources[setting]
        return source not in (CORE, VARIANT, RUN, ADVICE) and not source.startswith(f"{RECIPE} ")


@dataclass(frozen=True)
class Layer:
    """Settings from one source, whose name is shown to the user: 'flag', 'environment', 'run.toml'.

    `settings` are fields of RunConfig, `options` (name -> value) and `extension_options` (extension -> name -> value).
    A table within `options` also holds the options of an extension, which is the spelling that users prefer.
    """

    source: str
    settings: Mapping[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """The options of the variant."""
        return {name: value for name, value in self._table("options").items() if not isinstance(value, Mapping)}

    @property
    def extension_options(self) -> dict[str, Mapping[str, Any]]:
        """Name of an extension, as the user wrote it -> its options."""
        tables = {**self._table("extension_options"), **self._table("options")}
        return {name: value for name, value in tables.items() if isinstance(value, Mapping)}

    def _table(self, key: str) -> Mapping[str, Any]:
        table = self.settings.get(key, {})
        if not isinstance(table, Mapping):
            raise InputError(f"{key} ({self.source}): not a table of names and values")
        return table


def chosen(layers: list[Layer], key: str, default: Any) -> Any:
    """The value of one setting, read before the variant is known; the last layer that has it wins."""
    return next((layer.settings[key] for layer in reversed(layers) if key in layer.settings), default)


def below(recommended: Layer, layers: list[Layer]) -> list[Layer]:
    """The layers with a recommendation below them, whose budget gives way to that of any other."""
    settings = dict(recommended.settings)
    if any(key in layer.settings for layer in layers for key in BUDGETS):
        settings = {key: value for key, value in settings.items() if key not in BUDGETS}
    return [Layer(recommended.source, settings), *layers]


def resolve(layers: list[Layer], recommended: TrainConfig, options_type: type) -> Resolved:
    """Merge core's defaults, the variant's recommendation and the user's layers; every mistake is reported at once."""
    values = values_of(RunConfig())
    sources = dict.fromkeys(values, CORE)
    core = TrainConfig()
    for name, value in values_of(recommended).items():
        if value != getattr(core, name):
            values[name], sources[name] = value, VARIANT
    options: dict[str, Any] = {}
    option_sources = {field.name: VARIANT for field in dataclasses.fields(options_type)}
    for layer in layers:
        settings = {key: v for key, v in layer.settings.items() if key not in ("options", "extension_options")}
        values |= settings
        sources |= dict.fromkeys(settings, layer.source)
        options |= layer.options
        option_sources |= dict.fromkeys(layer.options, layer.source)
    if all(values[key] is None for key in BUDGETS):
        values["images"] = DEFAULT_IMAGES
    where = f"variant '{values['variant']}'"
    checked: Any = validate(options_type, options, what="option", where=where, sources=option_sources)
    config = validate(RunConfig, values, what="setting", sources=sources)
    return Resolved(config, checked, {**sources, **{f"options.{name}": s for name, s in option_sources.items()}})


def read_toml(path: Path) -> Layer:
    """The layer of a TOML file: settings at the top level, options of the variant under [options]."""
    _, table = load_toml(path, what="--config takes a TOML file", example="see examples/run.toml")
    settings = {ALIASES.get(key, key): value for key, value in table.items()}
    if not isinstance(settings.get("options", {}), dict):
        raise InputError(f"{path}: 'options' must be a table", hint="write [options] and its keys below")
    return Layer(path.name, settings)


def load_toml(path: Path, *, what: str, example: str) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a small TOML file and its table; InputError names the file. `what` and `example` are hints."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening, because a FIFO would block
            raise InputError(f"{path}: not a regular file", hint=what)
        with path.open("rb") as stream:
            data = stream.read(MAX_TOML_BYTES + 1)
        if len(data) > MAX_TOML_BYTES:
            raise InputError(f"{path}: larger than {MAX_TOML_BYTES} bytes", hint="this is no file of settings")
        return data, tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", hint=what) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{path} is not valid TOML: {problem}", hint=example) from error
