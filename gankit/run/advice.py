"""Advice: which recipe and which settings fit the user's data, with the reason for each.

The rules for kinds of data are in the recipes ([advise] in their files); here are only those that hold for all of them:
the size from the files, the batch, the labels. Advice depends on the data and the installed recipes alone, never on the
machine, so that the same command continues the same run.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gankit import core
from gankit.base.text import plural
from gankit.data import Preparation
from gankit.data.loading import Survey, survey
from gankit.errors import InputError
from gankit.host import discovery, recipes
from gankit.host.recipes import RecipeFile
from gankit.measure.metrics.duplicates import repeated
from gankit.run.plan import plan_run, stored_settings
from gankit.settings.config import BUDGETS, SETTINGS, RunConfig
from gankit.settings.layers import ADVICE, RUN, Layer, below
from gankit.settings.recipes import DataFacts, Fit
from gankit.store.run_folder import RunFolder

PRECLUDES = ("variant", "recipe", "extensions", "options", "init_from")
"""Settings that choose a game: whoever sets one of them gets no advice."""

SIDES = (32, 64)
"""Sizes at which images are trained where the recipe names none, in pixels."""
PER_CLASS = 100  # images of the smallest class from which labels are used
LOOKED_AT = 2_000  # images among which near-duplicates are sought
FEW = 1_000  # images below which a generator can only vary what it has seen
_COLOURS: dict[int, Literal["none", "grey", "rgb", "rgba"]] = {1: "grey", 3: "rgb", 4: "rgba"}

log = logging.getLogger("gankit")


@dataclass(frozen=True)
class Reason:
    """One choice: a setting, its value and why."""

    setting: str
    value: Any
    because: str


@dataclass(frozen=True)
class Advice:
    """What to train on some data."""

    data: str
    facts: DataFacts
    survey: Survey
    recipe: RecipeFile | None
    named: str | None
    """The recipe as a command names it: NAME, or PACKAGE:NAME where several packages have that name."""
    settings: Mapping[str, Any]
    """Settings that differ from the recipe's."""
    reasons: tuple[Reason, ...]
    quality: str = ""
    watch: tuple[str, ...] = field(default=())
    """What to look at during and after training, as commands with their reason."""

    @property
    def layer(self) -> Layer:
        """The advice as the lowest layer of a run; it names the recipe."""
        return _layer(self.named, self.settings)

    @property
    def command(self) -> str:
        """The same as one command line."""
        words = ["gankit", "train", "--data", self.data]
        words += ["--recipe", self.named] if self.named is not None else []
        for name, value in self.settings.items():
            words += _flags(name, value)
        return shlex.join(words)


def advised(layers: Sequence[Layer], folder: Path | None = None) -> list[Layer]:
    """The layers with the advice for their data below them; unchanged where the game is chosen already.

    If `folder` holds a run, it continues with the settings stored there: newer recipes may advise something else.
    """
    given = {name: value for layer in layers for name, value in layer.settings.items()}
    if any(given.get(name) for name in PRECLUDES):
        return list(layers)
    if folder is not None and RunFolder(folder).exists:
        stored = stored_settings(RunFolder(folder), given)
        if any(name in given for name in BUDGETS):
            stored = {name: value for name, value in stored.items() if name not in BUDGETS}
        return [Layer(RUN, stored), *layers]
    advice = advise(str(given.get("data", RunConfig().data)), given)
    with_advice = below(advice.layer, list(layers))
    plan_run(with_advice)  # a mistake in the settings is said alone
    for reason in advice.reasons:
        if reason.setting not in given:
            log.info("advice: %s %s: %s", reason.setting, _shown(reason.value), reason.because)
    return with_advice


def advise(data: str, given: Mapping[str, Any] | None = None) -> Advice:
    """Advice for a data set; `given` are settings of the user, of which those about data and extensions matter."""
    given = given or {}
    extensions = [discovery.find(name, discovery.EXTENSIONS) for name in given.get("extensions") or ()]
    catalogue = core.compose_catalogues(extensions).catalogue("gankit_datasets")
    found = survey(data, catalogue, Preparation.of({**given, "size": None}))
    facts = DataFacts(
        name=data if data in catalogue else "",
        kind=found.spec.kind,
        images=found.count,
        side=found.side,
        colour=_COLOURS.get(found.spec.shape[0], "none") if found.spec.is_image else "none",
        classes=len(found.classes),
        per_class=min(found.classes, default=0),
    )
    recipe, named = _best(facts)
    fit = recipe.recipe.advise if recipe is not None and recipe.recipe.advise is not None else Fit()
    reasons = []
    if recipe is not None:
        because = fit.because or f"of the recipes for {facts.kind} like these it comes first"
        reasons.append(Reason("recipe", recipe.name, because))
    settings: dict[str, Any] = {}
    if found.spec.is_image:
        own = recipe.recipe.settings.get("size") if recipe is not None and not fit.sides else None
        facts = _choose_size(found, facts, fit, given.get("size", own), settings, reasons)
    _apply_rules(recipe, fit, facts, settings, reasons)
    _fit_to_data(data, recipe, named, facts, len(found.attributes), settings, reasons)
    quality = " ".join(part for part in (fit.quality, _limits(facts)) if part)
    return Advice(data, facts, found, recipe, named, settings, tuple(reasons), quality, _watch(facts))


def near_duplicates(advice: Advice) -> tuple[float, int]:
    """The share of near-duplicates among some of the samples, and how many were looked at: none of points."""
    samples = advice.survey.sample(LOOKED_AT).samples
    share = repeated(advice.survey.spec, samples)
    return (0.0, 0) if share is None else (share, len(samples))


def _best(facts: DataFacts) -> tuple[RecipeFile | None, str | None]:
    """The recipe that fits and how to name it; of several the one of the highest priority, then the first by name."""
    known = recipes.discover()
    fitting = [
        (-found.recipe.advise.priority, found.name, found.dist or "", found)
        for found in known
        if found.recipe.advise is not None and found.recipe.advise.holds(facts)
    ]
    if not fitting:
        return None, None
    best = min(fitting, key=lambda entry: entry[:3])[3]
    alone = sum(found.name == best.name for found in known) == 1
    return best, best.name if alone else f"{best.dist}:{best.name}"


def _choose_size(
    found: Survey, facts: DataFacts, fit: Fit, given: Any, settings: dict[str, Any], reasons: list[Reason]
) -> DataFacts:
    """The size of the images in training, which the files decide unless a size is given."""
    sides = sorted(fit.sides or SIDES)
    height, width = found.sizes[0]
    if given is not None:
        side = int(str(given).partition("x")[0]) if str(given).partition("x")[0].isdecimal() else facts.side
    elif len(found.sizes) == 1 and height == width and height <= sides[-1]:
        side = height  # as they are
    else:
        side = max((side for side in sides if side <= facts.side), default=sides[0])
        settings["size"] = str(side)
        sizes = (
            f"{height}x{width}" if len(found.sizes) == 1 else f"of {len(found.sizes):,} sizes, mostly {height}x{width}"
        )
        why = f"the files are {sizes}; the largest size that is quick enough to begin with and not above theirs"
        reasons.append(Reason("size", str(side), why if side <= facts.side else f"the files are {sizes}: enlarged"))
    return DataFacts(**{**vars(facts), "side": side})


def _apply_rules(
    recipe: RecipeFile | None, fit: Fit, facts: DataFacts, settings: dict[str, Any], reasons: list[Reason]
) -> None:
    """The rules of the recipe, in their order."""
    base = recipe.recipe.settings if recipe is not None else {}
    for rule in fit.rules:
        if not rule.when.holds(facts):
            continue
        for name, value in rule.settings.items():
            if name == "extensions":
                held = settings.get(name, base.get(name, ()))
                settings[name] = [*held, *(extension for extension in value if extension not in held)]
                reasons.append(Reason("with", ", ".join(value), rule.because))
            elif name == "options":
                settings[name] = _merged(settings.get(name, {}), value)
                reasons += [Reason(key, option, rule.because) for key, option in _flat(value)]
            else:
                settings[name] = value
                reasons.append(Reason(name, value, rule.because))


def _fit_to_data(
    data: str,
    recipe: RecipeFile | None,
    named: str | None,
    facts: DataFacts,
    attributes: int,
    settings: dict[str, Any],
    reasons: list[Reason],
) -> None:
    """The batch is not larger than the data; labels are used where there are enough images of each class."""
    plan = plan_run([_layer(named, {"data": data, **settings})])
    if plan.config.batch > facts.images:
        settings["batch"] = 1 << (facts.images.bit_length() - 1)
        reasons.append(Reason("batch", settings["batch"], f"there are {facts.images:,} samples"))
    decided = "conditional" in settings or (recipe is not None and "conditional" in recipe.recipe.settings)
    if attributes and not decided and plan.composition.info.conditional == "optional":
        why = f"the samples have {plural(attributes, 'attribute')}; --conditional trains with them"
        reasons.append(Reason("conditional", False, why))
    if decided or facts.kind == "points" or facts.classes < 2 or plan.composition.info.conditional != "optional":
        return
    if facts.per_class >= PER_CLASS:
        settings["conditional"] = True
        why = f"{facts.classes:,} classes of {facts.per_class:,} or more: labels help, and each class can be asked for"
        reasons.append(Reason("conditional", True, why))
    else:
        few = (
            f"the smallest of {facts.classes:,} classes has {plural(facts.per_class, 'sample')}, fewer than {PER_CLASS}"
        )
        reasons.append(Reason("conditional", False, few))


def _limits(facts: DataFacts) -> str:
    """What no setting can change."""
    if facts.kind == "images" and facts.images < FEW:
        return f"{facts.images:,} images are few: expect variations of them, not new ones."
    return ""


def _watch(facts: DataFacts) -> tuple[str, ...]:
    watch = ["gankit diagnose RUN: collapse, a D that is too sure, vanishing gradients"]
    if facts.kind == "images":
        watch.append("gankit eval RUN: FID beside its floor; duplicates, the share of samples that copy an image")
    watch.append("--eval-every 50k: scores during training, and the best checkpoint is kept")
    return tuple(watch)


def _layer(named: str | None, settings: Mapping[str, Any]) -> Layer:
    return Layer(ADVICE, {**({"recipe": named} if named is not None else {}), **settings})


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables of options, one within another for extensions; the later value wins."""
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _flat(options: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """{'gamma': 1, 'ada': {'p': 0}} -> [('gamma', 1), ('ada.p', 0)]."""
    flat: list[tuple[str, Any]] = []
    for key, value in options.items():
        flat += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return flat


def _flags(name: str, value: Any) -> list[str]:
    """The flags that spell one setting."""
    if name == "options":
        return [word for key, option in _flat(value) for word in ("-s", f"{key}={_shown(option)}")]
    if name not in SETTINGS:
        raise InputError(f"unknown setting '{name}'")
    flag = f"--{SETTINGS[name].flag or name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag] if value else []  # a switch that is off is the default
    if name == "extensions":
        return [word for extension in value for word in (flag, extension)]
    return [flag, _shown(value)]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
