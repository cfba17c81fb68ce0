"""Recipes: TOML files with the settings of a run, its data, its cost, and the scores to expect.

A recipe is data and never code. docs/recipes.md describes the format; every key is a field of a dataclass below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gankit.base.files import sha256
from gankit.errors import InputError
from gankit.settings.config import ALIASES, RunConfig
from gankit.settings.layers import load_toml
from gankit.settings.option import option
from gankit.settings.validate import validate

SUFFIX = ".toml"
MAX_TEXT = 2_000
NOT_IN_A_RECIPE = {
    "init_from": "it is a file of one machine",
    "device": "it belongs to the machine",
}
"""Settings that no recipe may hold, with the reason."""


@dataclass(frozen=True, kw_only=True)
class DataNote:
    """What is known of the data before they are read: for people, for an estimate and for tests."""

    about: str = option("", help="the data in words: 'CelebA, centre-cropped to 64x64'")
    shape: tuple[int, ...] = option((), ge=1, le=4096, help="shape of a sample: [channels, height, width]")
    images: int | None = option(None, ge=1, kind="count", help="number of samples")
    classes: int = option(0, ge=0, le=1 << 20, help="number of classes; 0 without labels")


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The values of a score that count as reproduced; an end that is absent is open."""

    low: float | None = option(None, schedule=False, help="lowest value within the expectation")
    high: float | None = option(None, schedule=False, help="highest value within the expectation")
    value: float | None = option(None, schedule=False, help="the value that was measured or published")

    def holds(self, value: float) -> bool:
        """Whether a value lies within the interval."""
        return (self.low is None or self.low <= value) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"at most {self.high:g}" if self.high is not None else f"at least {self.low:g}"
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """The protocol by which a recipe is scored, and the scores to expect; without scores it only says how to score."""

    command: Literal["eval", "manifold", "modes"] = option("eval", help="the command that computes the scores")
    features: str | None = option(None, help="feature space; None: the best one available")
    metrics: tuple[str, ...] | None = option(None, help="names of metrics; None: all of the space")
    split: str = option("train", help="split of the real data")
    n: int | None = option(None, ge=1, le=10_000_000, kind="count", help="number of samples")
    n_real: int | Literal["all"] | None = option(None, help="number of real images in the reference, or 'all'")
    source: str = option("", help="'measured' with machine, date and seeds, or the address of a paper")
    scores: Mapping[str, Interval] = field(default_factory=dict)
    """Name of a score -> the interval that it should lie in."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published number, for comparison by people; its protocol is another one than this toolkit's."""

    score: str = option("", help="name of the score: 'FID'")
    value: str = option("", help="the number as it was printed, with its spread")
    protocol: str = option("", help="how it was computed")
    source: str = option("", help="address of the paper or the code")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A measured training time."""

    hours: float = option(0.0, schedule=False, ge=0, help="hours of training")
    machine: str = option("", help="the machine, and the date of the measurement")


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What advice depends on. It is the same for the same data on every machine."""

    name: str
    """Name of a data set, or '' for the user's own files."""
    kind: Literal["points", "signals", "images", "volumes"]
    images: int
    """Number of samples."""
    side: int
    """The shorter side of the images in pixels; 0 for other kinds."""
    colour: Literal["grey", "rgb", "rgba", "none"]
    """Channels of the images; none for other numbers of channels, and for other kinds."""
    classes: int = 0
    """Number of classes; 0 without labels."""
    per_class: int = 0
    """Samples of the smallest class."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition on the data; keys that are absent hold for all data."""

    kind: Literal["any", "points", "signals", "images", "volumes"] = option("any", help="what a sample is")
    data: tuple[str, ...] = option((), help="names of data sets")
    min_images: int = option(0, ge=0, kind="count", help="fewest samples")
    max_images: int | None = option(None, ge=0, kind="count", help="most samples")
    min_side: int = option(0, ge=0, help="smallest side in pixels")
    max_side: int | None = option(None, ge=0, help="largest side in pixels")
    colour: Literal["any", "grey", "rgb", "rgba"] = option("any", help="channels of the images")
    labels: Literal["any", "yes", "no"] = option("any", help="whether there are two classes or more")
    min_per_class: int = option(0, ge=0, kind="count", help="fewest samples of any class")

    def holds(self, facts: DataFacts) -> bool:
        """Whether the data are of this kind."""
        return (
            self.kind in ("any", facts.kind)
            and (not self.data or facts.name in self.data)
            and self.min_images <= facts.images <= _or_any(self.max_images)
            and self.min_side <= facts.side <= _or_any(self.max_side)
            and self.colour in ("any", facts.colour)
            and self.labels in ("any", "yes" if facts.classes > 1 else "no")
            and (not self.min_per_class or facts.per_class >= self.min_per_class)
        )


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Settings that advice adds for some data, with the reason. `with` adds extensions and replaces none."""

    when: Condition = Condition()
    settings: Mapping[str, Any] = field(default_factory=dict)
    because: str = option("", help="the reason, as it is shown to the user")


@dataclass(frozen=True, kw_only=True)
class Fit(Condition):
    """The data that a recipe is meant for, and how it is adapted to them."""

    priority: int = option(0, help="of several recipes that fit, the one with the highest number is advised")
    sides: tuple[int, ...] = option((), ge=1, le=4096, help="sizes at which it trains images, in pixels")
    quality: str = option("", help="the quality to expect, in words")
    because: str = option("", help="why this recipe fits such data")
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The content of a recipe file."""

    title: str = option("", help="what it is, in one line")
    about: str = option("", help="what it shows, what was decided, and what differs from its source")
    not_run: str | None = option(None, help="why it has never been run as a whole: 'needs days of a GPU'")
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings as a file for --config has them; without `data`, the user names them."""
    data: DataNote = DataNote()
    expect: Expectation | None = None
    published: tuple[Published, ...] = ()
    cost: tuple[Cost, ...] = ()
    advise: Fit | None = None

    @property
    def images(self) -> int | None:
        """The budget in images."""
        config = validate(RunConfig, _without_options(self.settings), what="setting")
        return config.total_images

    @property
    def state(self) -> str:
        """'not run', 'measured' if there are scores to expect, or 'tested', because the tests train some steps."""
        if self.not_run is not None:
            return "not run"
        return "measured" if self.expect is not None and self.expect.scores else "tested"


def read_recipe(path: Path) -> tuple[Recipe, str]:
    """A recipe and the sha256 of its file; InputError says what is wrong with which key of the file."""
    data, table = load_toml(path, what="a recipe is a TOML file", example="docs/recipes.md has the format")
    return _recipe(_on_one_line(table), str(path)), sha256(data)


def _on_one_line(value: Any) -> Any:
    """The same table with texts of several lines as one line, because they are filled again where they are shown."""
    if isinstance(value, Mapping):
        return {key: _on_one_line(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_on_one_line(part) for part in value]
    return " ".join(value.split()) if isinstance(value, str) and "\n" in value else value


def _recipe(table: Mapping[str, Any], where: str) -> Recipe:
    checked = dict(table)
    checked["settings"] = _settings(_table(table, "settings", where), f"[settings] of {where}")
    checked["data"] = validate(DataNote, _table(table, "data", where), what="key", where=f"[data] of {where}")
    if "expect" in table:
        checked["expect"] = _expectation(_table(table, "expect", where), f"[expect] of {where}")
    if "advise" in table:
        checked["advise"] = _fit(_table(table, "advise", where), f"[advise] of {where}")
    kinds: dict[str, type] = {"published": Published, "cost": Cost}
    for key, cls in kinds.items():
        place = f"[[{key}]] of {where}"
        checked[key] = tuple(validate(cls, part, what="key", where=place) for part in _tables(table, key, where))
    recipe: Recipe = validate(Recipe, checked, what="key", where=where)
    if not recipe.title.strip():
        raise InputError(f"{where}: a recipe needs a title", hint='title = "…"')
    if max(len(recipe.title), len(recipe.about)) > MAX_TEXT:
        raise InputError(f"{where}: its text is longer than {MAX_TEXT:,} characters", hint="shorten title and about")
    return recipe


def _settings(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Checked settings, as they were written. Options are checked by their plugins when the run is planned."""
    settings = {ALIASES.get(key, key): value for key, value in table.items()}
    for name, reason in NOT_IN_A_RECIPE.items():
        if name in settings:
            raise InputError(f"{where}: '{name}' cannot be part of a recipe: {reason}", hint="leave it out")
    if not isinstance(settings.get("options", {}), Mapping):
        raise InputError(f"{where}: 'options' must be a table", hint="write [settings.options] and its keys below")
    if isinstance(settings.get("extensions", []), str):
        raise InputError(f"{where}: 'with' must be a list of names", hint='with = ["NAME"]')
    config = validate(RunConfig, _without_options(settings), what="setting", where=where)
    for name in (config.variant, *config.extensions, config.data):
        if "/" in name or "\\" in name or name.endswith((".py", SUFFIX)) or not name.strip("."):
            raise InputError(
                f"{where}: '{name}' is a path, and a recipe names only what is installed",
                hint="leave `data` out if the user has to give it; a variant or an extension becomes a package",
            )
    return settings


def _without_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "options"}


def _expectation(table: Mapping[str, Any], where: str) -> Expectation:
    intervals = {}
    for name, value in _table(table, "scores", where).items():
        if not isinstance(value, Mapping) or not {"low", "high"} & value.keys():
            raise InputError(f"{where}: '{name}' is no interval", hint=f"{name} = {{ value = 2, low = 1, high = 3 }}")
        interval = validate(Interval, value, what="key", where=f"'{name}' in {where}")
        if interval.low is not None and interval.high is not None and interval.low > interval.high:
            raise InputError(f"{where}: '{name}' has low above high", hint="low is the smaller number")
        intervals[name] = interval
    found = validate(Expectation, {**table, "scores": intervals}, what="key", where=where)
    if intervals and not found.source:
        raise InputError(f"{where}: the scores have no source", hint='source = "measured on …", or an address')
    return found


def _fit(table: Mapping[str, Any], where: str) -> Fit:
    rules = tuple(_rule(part, f"[[advise.rules]] in {where}") for part in _tables(table, "rules", where))
    return validate(Fit, {**table, "rules": rules}, what="key", where=where)


def _rule(table: Mapping[str, Any], where: str) -> Rule:
    when = validate(Condition, _table(table, "when", where), what="key", where=f"'when' of {where}")
    settings = _settings(_table(table, "settings", where), f"'settings' of {where}")
    if {"variant", "data", "size"} & settings.keys():
        raise InputError(f"{where}: a rule changes neither variant, data nor size", hint="write another recipe")
    return validate(Rule, {**table, "when": when, "settings": settings}, what="key", where=where)


def _table(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: '{key}' must be a table", hint=f"write [{key}] and its keys below")
    return value


def _tables(table: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(part, Mapping) for part in value):
        raise InputError(f"{where}: '{key}' must be a list of tables", hint=f"write [[{key}]] and its keys below")
    return value


def _or_any(limit: int | None) -> float:
    return float("inf") if limit is None else limit
