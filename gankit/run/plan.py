"""What a run is going to be: plugins, configuration and data, before anything is built or written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gankit import core
from gankit.data import Dataset, load_dataset, parse_size
from gankit.errors import InputError
from gankit.host import discovery
from gankit.host.composition import Composition, canonical
from gankit.settings.config import RunConfig
from gankit.settings.layers import Layer, Resolved, chosen, extension_options, resolve
from gankit.settings.option import to_json
from gankit.store.run_folder import RunFolder


@dataclass(frozen=True)
class Plan:
    """What a run is going to be, before anything is allocated or written."""

    composition: Composition
    resolved: Resolved

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self.resolved.config

    @property
    def configuration(self) -> dict[str, Any]:
        """config.json: everything that decides what the run computes."""
        return {"config": to_json(self.config), "options": self.options}

    @property
    def options(self) -> dict[str, Any]:
        """The variant's options, and those of extensions as 'extension.option', as JSON values."""
        return {**to_json(self.resolved.options), **self.composition.extension_options}


def stored_settings(run: RunFolder, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, as a layer below what is `given` now.

    A variant or extension that was a file must be given again: nothing is imported because a run folder says so.
    """
    if not run.exists:
        raise InputError(f"{run.path} is not the folder of a run", hint="runs lie below runs/, each with a run.json")
    stored = run.configuration()
    saved = {**stored["config"], "options": stored["options"]}
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
    """Find the plugins, compose and check them, and resolve the configuration. Nothing is written."""
    name, names = chosen(layers, "variant", RunConfig().variant), chosen(layers, "extensions", ())
    name = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(name, str) or not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        raise InputError("variant must be a name and extensions a list of names", hint="see examples/run.toml")
    variant = discovery.find(name, discovery.VARIANTS)
    extensions = [discovery.find(extension, discovery.EXTENSIONS) for extension in names]
    composition = core.compose(variant, extensions, extension_options(layers))
    resolved = resolve(layers, composition.info.config, composition.info.options)
    own = {f"options.{name}": "extension" for name in composition.extension_options}
    given = {f"options.{canonical(name)}": source for name, source in _extension_sources(layers).items()}
    resolved = replace(resolved, sources={**resolved.sources, **own, **given})
    _check_game(resolved.config, composition)
    return Plan(
        composition, replace(resolved, config=_with_absolute_paths(resolved.config, variant, extensions, composition))
    )


def _extension_sources(layers: list[Layer]) -> dict[str, str]:
    return {name: layer.source for layer in layers for name in extension_options([layer])}


def _check_game(config: RunConfig, composition: Composition) -> None:
    info = composition.info
    because = f": {info.conditional_note}" if info.conditional_note else ""
    if config.conditional and info.conditional == "no":
        raise InputError(f"{info.title} is not trained conditionally{because}", hint="leave out --conditional")
    if not config.conditional and info.conditional == "required":
        raise InputError(f"{info.title} is conditional{because}", hint="leave out conditional = false")
    penalised = info.penalised or any(extension.penalised for extension in composition.declared.values())
    if config.penalty_every > 1 and not penalised:
        raise InputError(f"{info.title} has no gradient penalty to leave out", hint="leave out --penalty-every")


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
    size = parse_size(config.size) if config.size is not None else None
    catalogue = plan.composition.catalogue("gankit_datasets")
    return load_dataset(config.data, catalogue, size=size, on_bad_image=config.on_bad_image)
