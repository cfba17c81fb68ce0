"""Layers of settings (core < variant < TOML < environment < flag), merged and checked all at once."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.errors import InputError
from gankit.settings.config import ALIASES, BUDGETS, COUNTS, DEFAULT_IMAGES, SWITCHES, RunConfig, TrainConfig
from gankit.settings.option import validate

MAX_TOML_BYTES = 1 << 20


@dataclass(frozen=True)
class Resolved:
    """A configuration, the variant's options, and where each value came from."""

    config: RunConfig
    options: Any
    sources: Mapping[str, str]


@dataclass(frozen=True)
class Layer:
    """Settings from one place. `source` is shown to the user: 'flag', 'environment', 'run.toml'."""

    source: str
    settings: Mapping[str, Any]


def chosen(layers: list[Layer], key: str, default: Any) -> Any:
    """The value of one setting before the variant is known: the last layer that has it wins."""
    return next((layer.settings[key] for layer in reversed(layers) if key in layer.settings), default)


def resolve(layers: list[Layer], recommended: TrainConfig, options_type: type) -> Resolved:
    """Merge core's defaults, the variant's recommendation and the user's layers; every mistake is reported at once."""
    values: dict[str, Any] = dataclasses.asdict(RunConfig())
    sources = dict.fromkeys(values, "core")
    core = TrainConfig()
    for field in dataclasses.fields(TrainConfig):
        value = getattr(recommended, field.name)
        if value != getattr(core, field.name):
            values[field.name], sources[field.name] = value, "variant"
    options: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.settings.items():
            if key == "options":
                if not isinstance(value, Mapping):
                    raise InputError(f"options ({layer.source}): not a table of names and values")
                options.update({name: v for name, v in flat_options(value).items() if "." not in name})
                sources.update({f"options.{name}": layer.source for name in flat_options(value)})
            else:
                values[key], sources[key] = _parse(key, value, layer.source), layer.source
    if all(values[key] is None for key in BUDGETS):
        values["images"] = DEFAULT_IMAGES
    checked_options: Any = validate(options_type, options, what="option", where=f"variant '{values['variant']}'")
    for field in dataclasses.fields(options_type):
        sources.setdefault(f"options.{field.name}", "variant")
    return Resolved(validate(RunConfig, values, what="setting"), checked_options, sources)


def flat_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """{'a': 1, 'extension': {'b': 2}} -> {'a': 1, 'extension.b': 2}: a table below [options] is an extension's."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        flat.update({f"{name}.{key}": v for key, v in value.items()} if isinstance(value, Mapping) else {name: value})
    return flat


def extension_options(layers: list[Layer]) -> dict[str, Any]:
    """'extension.option' -> value from all layers, the last one wins."""
    found: dict[str, Any] = {}
    for layer in layers:
        table = layer.settings.get("options")
        found.update(flat_options(table) if isinstance(table, Mapping) else {})
    return {name: value for name, value in found.items() if "." in name}


def _parse(key: str, value: Any, source: str) -> Any:
    """Human spellings: '500k' images, '2h' of time, '0.5,0.999' betas, 64 for 64x64; paths and devices as text."""
    if isinstance(value, bool) and key not in SWITCHES:  # would pass as 1 or 0
        raise InputError(f"{key} ({source}): {str(value).lower()} is not a value for it", hint=f"set {key} to a value")
    if key in ("data", "device", "variant", "init_from") and value is not None and not isinstance(value, int | float):
        return str(value)
    if isinstance(value, str) and key in COUNTS:
        return parse_count(value, key, source)
    if isinstance(value, str) and key == "time_s":
        return parse_duration(value, source)
    if isinstance(value, str) and key == "betas":
        return tuple(part.strip() for part in value.split(","))
    if isinstance(value, int) and key == "size":
        return str(value)
    return value


def parse_count(text: str, key: str, source: str) -> int:
    """'500k' -> 500000, '2M' -> 2000000."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", text.strip().replace("_", "").replace(",", ""))
    if match is None:
        raise InputError(f"{key} ({source}): '{text}' is not a count", hint="write 50000, 50k or 2M")
    if len(match[1]) > 20:
        raise InputError(f"{key} ({source}): that many will never be reached", hint="write 50000, 50k or 2M")
    factor = {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()]
    return round(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor


def parse_duration(text: str, source: str) -> float:
    """'90' or '90s', '15m', '2h', '1h30m' -> seconds."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    if match is None or not any(match.groups()):
        raise InputError(f"time ({source}): '{text}' is not a duration", hint="write 90s, 15m, 2h or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def read_toml(path: Path) -> Layer:
    """A run described in a file: the names of the settings at the top level, the variant's own under [options]."""
    try:
        text = path.read_bytes()
        if len(text) > MAX_TOML_BYTES:
            raise InputError(f"{path}: larger than {MAX_TOML_BYTES} bytes", hint="this is not a run's configuration")
        settings = {ALIASES.get(key, key): value for key, value in tomllib.loads(text.decode("utf-8-sig")).items()}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", hint="--config takes a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}", hint="see examples/run.toml") from error
    if not isinstance(settings.get("options", {}), dict):
        raise InputError(f"{path}: 'options' must be a table", hint="write [options] and its keys below")
    return Layer(path.name, settings)
