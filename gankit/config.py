"""The configuration of a run: layers of settings (core < variant < TOML < environment < flag) checked all at once."""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar

from gankit.contracts import TrainConfig, VariantInfo, option
from gankit.errors import InputError
from gankit.text import did_you_mean

T = TypeVar("T")
MAX_TOML_BYTES = 1 << 20
MAX_COUNT = 1 << 62


@dataclass(frozen=True, kw_only=True)
class RunConfig(TrainConfig):
    """Everything that decides what a run computes. It is stored in the run folder and in every checkpoint."""

    variant: str = option("gan", help="name of the variant, DIST:NAME, or ./file.py")
    extensions: tuple[str, ...] = option((), help="extensions, in order: names or ./file.py")
    data: str = option("digits", help="name of a data set, or the path of a folder, zip, .npz or .npy")
    size: str | None = option(None, help="HEIGHTxWIDTH to which images are cropped and resized; None keeps their own")
    on_bad_image: Literal["error", "skip"] = option("error", help="what an unreadable image does")
    images: int | None = option(None, ge=1, le=MAX_COUNT, help="budget: images shown to the discriminator")
    steps: int | None = option(None, ge=1, le=MAX_COUNT, help="budget: batches shown to the discriminator")
    time_s: float | None = option(None, gt=0, le=1e9, help="budget: training time in seconds")
    seed: int = option(0, ge=0, lt=2**63, help="the one number all random streams are derived from")
    device: str = option("auto", help="auto takes cuda, then mps, then cpu")
    init_from: str | None = option(None, help="run folder or .safetensors file whose networks a new run starts with")
    sync_bn: bool = option(False, help="batch norm over the whole batch when several processes share it")
    sample_every: int | None = option(
        None, ge=1, le=MAX_COUNT, help="images between two sample grids; None: a tenth of the run"
    )
    checkpoint_every: int | None = option(
        None, ge=1, le=MAX_COUNT, help="images between two checkpoints; None: every two minutes"
    )

    on_diverge: Literal["stop", "rollback"] = option(
        "stop", help="what numbers that are no longer finite do: end the run, or send it back to the last checkpoint"
    )
    eval_every: int | None = option(
        None, ge=1, le=MAX_COUNT, help="images between two evaluations; None: no scores during training"
    )
    eval_n: int = option(2_000, ge=50, le=1 << 30, help="samples of an evaluation during training")
    eval_features: str | None = option(None, help="feature space of the scores; None takes the best one that is here")

    @property
    def total_images(self) -> int | None:
        """The budget in images; None when time alone ends the run."""
        budgets = [self.images] if self.images else []
        budgets += [self.steps * self.batch] if self.steps else []
        return min(budgets, default=None)


SWITCHES = frozenset(field.name for field in dataclasses.fields(RunConfig) if field.type == "bool")


class Settings(TypedDict, total=False):
    """What a user may say about a run besides its variant; what is absent comes from the variant, else from core."""

    extensions: tuple[str, ...] | list[str]
    data: str | os.PathLike[str]
    size: str | int | None
    on_bad_image: Literal["error", "skip"]
    images: int | str
    steps: int | str
    time_s: float | str
    seed: int
    device: str
    init_from: str | os.PathLike[str] | None
    sync_bn: bool
    sample_every: int | str
    checkpoint_every: int | str
    on_diverge: Literal["stop", "rollback"]
    eval_every: int | str
    eval_n: int | str
    eval_features: str
    batch: int
    z_dim: int
    z_prior: Literal["normal", "uniform"]
    conditional: bool
    optimizer: Literal["adam", "rmsprop"]
    g_lr: float
    d_lr: float
    betas: tuple[float, float] | str
    d_steps: int
    reuse_fakes: bool
    penalty_every: int
    ema_halflife_images: int | str
    graphs: Literal["auto", "off"]
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"]
    options: Mapping[str, object]


DEFAULT_IMAGES = 200_000
BUDGETS = ("images", "steps", "time_s")
COUNTS = ("images", "steps", "sample_every", "checkpoint_every", "ema_halflife_images", "eval_every", "eval_n")
# Names of settings on the command line, understood in a TOML file too.
ALIASES = {"with": "extensions", "time": "time_s", "ema_halflife": "ema_halflife_images"}
# What may differ when a run goes on: none of these changes what a step computes (data is compared by its content).
WATCHING = frozenset({"sample_every", "checkpoint_every", "eval_every", "eval_n", "eval_features"})
RESUMABLE_CHANGES = frozenset({*BUDGETS, "data", "device", "on_diverge", "graphs", *WATCHING})
# In what two runs may differ that are repetitions of one experiment.
REPETITION_CHANGES = frozenset({*BUDGETS, "seed", "device", "on_diverge", "graphs", *WATCHING})


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


def resolve(layers: list[Layer], info: VariantInfo) -> Resolved:
    """Merge core's defaults, the variant's recommendation and the user's layers; every mistake is reported at once."""
    values: dict[str, Any] = dataclasses.asdict(RunConfig())
    sources = dict.fromkeys(values, "core")
    core = TrainConfig()
    for field in dataclasses.fields(TrainConfig):
        recommended = getattr(info.config, field.name)
        if recommended != getattr(core, field.name):
            values[field.name], sources[field.name] = recommended, "variant"
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
    checked_options: Any = validate(info.options, options, what="option", where=f"variant '{values['variant']}'")
    for field in dataclasses.fields(info.options):
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
