"""What a run is going to be: plugins, configuration and data, before anything is built or written."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from gankit import __version__, core
from gankit.base.files import sha256
from gankit.base.text import printable
from gankit.data import Dataset, Preparation, load_dataset
from gankit.errors import InputError
from gankit.host import discovery
from gankit.host.composition import Composition
from gankit.host.live import Live, live
from gankit.host.recipes import RecipeFile, with_recipe
from gankit.settings.config import RunConfig
from gankit.settings.layers import EXTENSION, Layer, Resolved, chosen, resolve
from gankit.settings.option import schedules_in, to_json
from gankit.settings.schedule import SHARES, Schedule
from gankit.store.run_folder import RunFolder

log = logging.getLogger("gankit")

# Settings that only some optimisers use.
ADAM = ("adam", "adamw")
USED_BY = {"betas": ADAM, "d_betas": ADAM, "momentum": ("sgd", "rmsprop"), "weight_decay": ("adamw",)}


@dataclass(frozen=True)
class Plan:
    """What a run is going to be, before anything is allocated or written."""

    composition: Composition
    resolved: Resolved
    recipe: RecipeFile | None = None

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self.resolved.config

    @property
    def configuration(self) -> dict[str, Any]:
        """config.json: everything that decides what the run computes."""
        return {"config": to_json(self.config), "options": self.options, "extension_options": self.extension_options}

    @property
    def options(self) -> dict[str, Any]:
        """The variant's options as JSON values."""
        return to_json(self.resolved.options)

    @property
    def extension_options(self) -> dict[str, dict[str, Any]]:
        """Extension -> its options as JSON values."""
        return self.composition.extension_options

    @cached_property
    def live(self) -> Live:
        """The variant's options as its hooks are given them."""
        return live(self.resolved.options)

    @property
    def following(self) -> dict[str, tuple[Schedule, Tensor]]:
        """The options that follow a schedule, each with the tensor that plugins have: 'gamma', 'ada.target'."""
        return {**self.live.following, **self.composition.following}

    @property
    def schedules(self) -> dict[str, Schedule]:
        """What follows a schedule in this run: 'g_lr', 'betas.1', 'options.gamma', 'options.ada.target'."""
        found = schedules_in(self.config)
        found |= {f"options.{name}": schedule for name, schedule in schedules_in(self.resolved.options).items()}
        for extension, options in self.composition.chosen.items():
            found |= {f"options.{extension}.{name}": schedule for name, schedule in schedules_in(options).items()}
        return found

    def schedule_table(self, shares: Sequence[float] = SHARES) -> dict[str, list[float]]:
        """The values of each schedule at shares of the budget; at the first only, where time alone ends the run."""
        total = self.config.total_images
        shares = shares if total is not None else shares[:1]
        return {
            name: [schedule.at(share * (total or 0), total) for share in shares]
            for name, schedule in self.schedules.items()
        }

    @cached_property
    def code(self) -> dict[str, str]:
        """'the code of NAME' -> the start of the hash of its file, for each plugin; read before the first step."""
        return {
            f"the code of {plugin.name}": sha256(plugin.source.read_bytes())[:12]
            for plugin in self.composition.plugins
            if plugin.source is not None and plugin.source.is_file()
        }

    def shared_facts(self, dataset: Dataset) -> dict[str, Any]:
        """What all processes of a run have in common: settings, plugins and data, wherever their files lie."""
        own = ("data", "device", "init_from", "variant", "extensions")
        facts = {name: row["value"] for name, row in self.settings_table().items() if name not in own}
        plugins = ", ".join(plugin.name for plugin in self.composition.plugins)
        return {
            "plugins": plugins,
            "gankit's version": __version__,
            "the fingerprint of the data": dataset.fingerprint[:16],
            **self.code,
            **facts,
        }

    def settings_table(self) -> dict[str, dict[str, Any]]:
        """Setting -> its value and the source of it; options are 'options.NAME' and 'options.EXTENSION.NAME'."""
        values = dict(self.configuration["config"])
        values |= {f"options.{name}": value for name, value in self.options.items()}
        for extension, options in self.extension_options.items():
            values |= {f"options.{extension}.{name}": value for name, value in options.items()}
        sources = self.resolved.sources
        return {name: {"value": value, "source": sources.get(name, EXTENSION)} for name, value in values.items()}


def stored_settings(run: RunFolder, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, as a layer below what is `given` now.

    A variant or extension that was a file must be given again: nothing is imported because a run folder says so.
    """
    if not run.exists:
        inside = [folder for folder in run.path.parents if RunFolder(folder).exists]
        hint = f"{printable(inside[0])} is one" if inside else "runs lie below runs/, each with a run.json"
        raise InputError(f"{printable(run.path)} is not the folder of a run", hint=hint)
    stored = run.configuration()
    saved = {**stored["config"], "options": stored["options"], "extension_options": stored["extension_options"]}
    for key, flag in (("variant", "--variant"), ("extensions", "--with")):
        names = saved[key] if isinstance(saved[key], list) else [saved[key]]
        if key not in given and any(str(name).endswith(".py") for name in names):
            raise InputError(
                f"{run.path} was trained with {key} {saved[key]}, a file", hint=f"pass it again: {flag} FILE.py"
            )
    passed = None  # the variant, where it is given
    if "variant" in given:
        trained, name = run.identity().get("variant"), discovery.find(str(given["variant"]), discovery.VARIANTS).name
        if name != trained:
            raise InputError(
                f"{run.path} was trained with variant '{trained}', not '{name}'",
                hint="a file is called as its plugin, my_gan.py or gankit_my_gan.py",
            )
        passed = name
    for plugin in run.identity().get("plugins", []):
        if plugin["name"] != passed:
            _require_installed(run, plugin["kind"], plugin["name"], plugin["origin"])
    return saved


def _require_installed(run: RunFolder, kind: str, name: str, origin: str) -> None:
    """PluginError that says what to install, when a plugin of the run is gone; one that was a file is passed again."""
    if not origin.endswith(".py"):
        dist, _, version = origin.partition(" ")
        group = discovery.VARIANTS if kind == "variant" else discovery.EXTENSIONS
        discovery.require(name, group, dist, version, run.path)


def plan_run(layers: list[Layer]) -> Plan:
    """Find recipe and plugins, compose and check them, and resolve the configuration. Nothing is written."""
    layers, recipe = with_recipe(layers)
    name, names = chosen(layers, "variant", RunConfig().variant), chosen(layers, "extensions", ())
    name = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(name, str) or not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        raise InputError("variant must be a name and extensions a list of names", hint="see examples/run.toml")
    variant = discovery.find(name, discovery.VARIANTS)
    extensions = [discovery.find(extension, discovery.EXTENSIONS) for extension in names]
    options, sources = _extension_options(layers)
    composition = core.compose(variant, extensions, options)
    resolved = resolve(layers, composition.info.config, composition.info.options)
    resolved = replace(resolved, sources={**resolved.sources, **sources})
    _check_game(resolved.config, composition)
    _check_optimizers(resolved)
    config = _with_absolute_paths(resolved.config, variant, extensions, composition)
    plan = Plan(composition, replace(resolved, config=config), recipe)
    _check_budget(plan)
    return plan


def _extension_options(layers: list[Layer]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Extension -> its options, the last layer wins; and the source of each, by the name of `settings_table`."""
    options: dict[str, dict[str, Any]] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        for written, table in layer.extension_options.items():
            extension = discovery.normalise(written)
            options.setdefault(extension, {}).update(table)
            sources |= {f"options.{extension}.{name}": layer.source for name in table}
    return options, sources


def _check_game(config: RunConfig, composition: Composition) -> None:
    info = composition.info
    because = f": {info.conditional_note}" if info.conditional_note else ""
    if config.conditional and info.conditional == "no":
        raise InputError(f"{info.title} is not trained conditionally{because}", hint="leave out --conditional")
    if not config.conditional and info.conditional == "required":
        raise InputError(f"{info.title} is conditional{because}", hint="leave out conditional = false")


def _check_optimizers(resolved: Resolved) -> None:
    """InputError for a setting the user chose and that no optimiser of this run uses."""
    config = resolved.config
    for name, optimizers in USED_BY.items():
        its_own = {config.d_optimizer or config.optimizer} if name == "d_betas" else config.optimizers
        if resolved.is_chosen(name) and not its_own & set(optimizers):
            used = " and ".join(sorted(its_own))
            who = "D is" if name == "d_betas" else "the players are"
            flag = f"--{name.replace('_', '-')}"
            raise InputError(
                f"{name} has no effect: {who} trained with {used}, not with {' or '.join(optimizers)}",
                hint=f"leave out {flag}, or choose --optimizer {optimizers[0]}",
            )


def _check_budget(plan: Plan) -> None:
    """InputError for a schedule that this budget does not define; a warning when it ends before G moves once."""
    config, total = plan.config, plan.config.total_images
    for name, schedule in plan.schedules.items():
        try:
            schedule.check_budget(total)
        except ValueError as error:
            raise InputError(
                f"{name}={schedule}: {error}", hint="give --images or --steps, or points in images"
            ) from None
    if total is not None and (steps := -(-total // config.batch)) < config.d_steps:
        log.warning(
            "the generator never moves: the budget is %d steps, and it moves after %d of the discriminator (--d-steps)",
            steps,
            config.d_steps,
        )


def _with_absolute_paths(
    config: RunConfig,
    variant: discovery.Plugin,
    extensions: list[discovery.Plugin],
    composition: Composition,
) -> RunConfig:
    """Files are recorded so that the run can be resumed from any folder and recognised however they were spelt."""
    data = config.data
    if data and data not in composition.catalogue("gankit_datasets") and _exists(data):
        data = str(Path(data).absolute())
    return replace(
        config,
        data=data,
        init_from=None if config.init_from is None else str(Path(config.init_from).absolute()),
        variant=str(variant.path or config.variant),
        extensions=tuple(str(p.path or name) for p, name in zip(extensions, config.extensions, strict=True)),
    )


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, or with a NUL byte
        return False


def load_data(plan: Plan) -> Dataset:
    """The data set of a plan, decoded."""
    config = plan.config
    catalogue = plan.composition.catalogue("gankit_datasets")
    return load_dataset(config.data, catalogue, how=Preparation.of(vars(config)))
