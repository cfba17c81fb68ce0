"""Composes one plugin manager per run: core, one variant, the named extensions; checked one by one."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from gankit import hookspecs
from gankit.base.text import did_you_mean
from gankit.contracts import API_VERSION, ExtensionInfo, VariantInfo
from gankit.errors import InputError, PluginError
from gankit.host.discovery import EXTENSIONS, Plugin, normalise
from gankit.host.importing import load_plugin, one_line
from gankit.host.live import live
from gankit.settings.option import to_json
from gankit.settings.schedule import Schedule
from gankit.settings.validate import validate

if TYPE_CHECKING:
    from torch import Tensor

CORE = "core"


SUPPORTED_API = frozenset({API_VERSION})


BUILDERS = (
    "gankit_variant",
    "gankit_generator",
    "gankit_discriminator",
    "gankit_loss",
    "gankit_training_loop",
    "gankit_sample_grid",
)


NETWORKS = ("gankit_generator", "gankit_discriminator")


@dataclass(frozen=True)
class Supplier:
    """One plugin's own implementation of a builder."""

    impl: pluggy.HookImpl

    @property
    def name(self) -> str:
        """'core', the variant's or the extension's name."""
        return self.impl.plugin_name

    def answer(self, **arguments: object) -> object:
        """What this implementation answers, without wrappers."""
        return self.impl.function(*(arguments[name] for name in self.impl.argnames))


@dataclass(frozen=True)
class BuiltBy:
    """The plugin that answers a builder, and the extensions that wrap its answer."""

    name: str
    wrappers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " + ".join((self.name, *self.wrappers))


@dataclass(frozen=True)
class Catalogues:
    """Core and extensions without a variant: their data sets, feature spaces and metrics, and core's own networks."""

    manager: pluggy.PluginManager
    extensions: tuple[Plugin, ...]
    declared: Mapping[str, ExtensionInfo]
    """By name, what the extensions that have options declare."""
    chosen: Mapping[str, Any]
    """Extension name -> an instance of its options."""
    following: Mapping[str, tuple[Schedule, Tensor]]
    """'extension.option' of each that follows a schedule -> the schedule, and the tensor that the extension has."""
    deprecated: tuple[str, ...]
    """What these plugins use that a later gankit will drop, a line each."""

    @property
    def hook(self) -> Any:
        """pluggy's hook relay; typed by `gankit.hookspecs`."""
        return self.manager.hook

    def catalogue(self, hook: str) -> dict[str, Any]:
        """The merged answers to a catalogue hook: name -> factory, core's first."""
        merged: dict[str, Any] = {}
        for answer in reversed(getattr(self.manager.hook, hook)()):
            if not isinstance(answer, Mapping):
                raise PluginError(f"{hook} returned {type(answer).__name__}", hint="it must return name -> factory")
            for name, factory in answer.items():
                if name in merged:
                    raise PluginError(f"two plugins answer {hook} with '{name}'", hint="drop one of them from --with")
                merged[name] = factory
        return merged


@dataclass(frozen=True)
class Composition(Catalogues):
    """The plugins of one run, checked: `hook.gankit_…` asks them, `suppliers` lists who may answer a builder."""

    variant: Plugin
    info: VariantInfo
    """What the variant declares."""

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The variant, then the extensions; without core."""
        return (self.variant, *self.extensions)

    @property
    def host_bound(self) -> list[str]:
        """Names of the plugins that do not declare their steps `capturable`."""
        able = {name for name, info in self.declared.items() if info.capturable}
        if self.info.capturable:
            able.add(self.variant.name)
        return [plugin.name for plugin in self.plugins if plugin.name not in able]

    @property
    def extension_options(self) -> dict[str, dict[str, Any]]:
        """Extension -> its options as JSON values, defaults included."""
        return {name: to_json(chosen) for name, chosen in self.chosen.items()}

    def suppliers(self, builder: str) -> list[Supplier]:
        """Who may answer a builder, the first to be asked first; an answer of None leaves it to the next one."""
        return [Supplier(impl) for impl in reversed(_plain(self.manager, builder))]

    def refuse_two(self, builder: str, names: Sequence[str]) -> None:
        """Raise PluginError when two plugins (core aside) answer a builder."""
        names = [name for name in names if name != CORE]
        if len(names) > 1:
            owners = [plugin for plugin in self.plugins if plugin.name in names]
            what = builder.removeprefix("gankit_").replace("_", " ")
            listing = " and ".join(f"{plugin.kind} '{plugin.name}' ({plugin.origin})" for plugin in owners)
            raise PluginError(
                f"two plugins bring a {what} of their own: {listing}",
                hint="drop one of them; an extension that only changes what is there should wrap the hook",
            )

    def wrappers(self, builder: str) -> list[str]:
        """Names of the extensions that wrap a builder, innermost first."""
        hook = getattr(self.manager.hook, builder)
        return [impl.plugin_name for impl in hook.get_hookimpls() if impl.wrapper or impl.hookwrapper]

    def register_observer(self, observer: object, name: str) -> None:
        """Let an object watch the run's events."""
        self.manager.register(observer, name=f"{CORE}:{name}")


def compose(
    core: object, variant: Plugin, extensions: Sequence[Plugin], options: Mapping[str, Mapping[str, Any]]
) -> Composition:
    """Import the plugins of a run, check them one by one and put them into a fresh manager.

    `options` maps the names of extensions to their options; what is absent has its default.
    """
    found = _loaded(core, variant, extensions, options)
    info = _variant_info(found.manager, variant)
    composition = Composition(**vars(found), variant=variant, info=info)
    for builder in BUILDERS:
        # A variant's network may be None, for core's or an extension's: that shows when it is built.
        aside = variant.name if builder in NETWORKS else CORE
        composition.refuse_two(builder, [s.name for s in composition.suppliers(builder) if s.name != aside])
    return composition


def compose_catalogues(core: object, extensions: Sequence[Plugin]) -> Catalogues:
    """Import extensions, check them one by one and put them into a fresh manager, with the defaults of their options.

    Which of them answers a builder is not asked: two that do are a matter for the run that has both.
    """
    return _loaded(core, None, extensions, {})


def _loaded(
    core: object, variant: Plugin | None, extensions: Sequence[Plugin], options: Mapping[str, Mapping[str, Any]]
) -> Catalogues:
    """A manager with core, the variant if there is one, and the extensions."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(core, name=CORE)
    plugins = tuple(extensions) if variant is None else (variant, *extensions)
    given = {normalise(name): table for name, table in options.items()}
    _check_extensions(given, extensions, variant)
    declared: dict[str, ExtensionInfo] = {}
    chosen: dict[str, Any] = {}
    following: dict[str, tuple[Schedule, Tensor]] = {}
    deprecated: list[str] = []
    for plugin in plugins:
        module = load_plugin(plugin)
        info = _extension_info(plugin, module) if plugin.group == EXTENSIONS else None
        if info is not None:
            where = f"extension '{plugin.name}'"
            declared[plugin.name] = info
            chosen[plugin.name] = validate(info.options, given.pop(plugin.name, {}), what="option", where=where)
            given_to_it = live(chosen[plugin.name])
            following |= {f"{plugin.name}.{name}": pair for name, pair in given_to_it.following.items()}
            module = info.make(given_to_it.options)
        deprecated += _register(manager, plugin, module)
    given = {name: table for name, table in given.items() if table}
    if given:
        name = next(iter(given))
        raise InputError(f"extension '{name}' has no options", hint=f"leave out -s {name}.{next(iter(given[name]))}")
    return Catalogues(manager, tuple(extensions), declared, chosen, following, tuple(deprecated))


def _check_extensions(
    given: Mapping[str, Mapping[str, Any]], extensions: Sequence[Plugin], variant: Plugin | None
) -> None:
    """InputError for options of an extension that is no part of the run."""
    names = [plugin.name for plugin in extensions]
    for name, options in given.items():
        if options and name not in names:
            option = next(iter(options))
            hint = f"{did_you_mean(name, names)}add --with {name}, or leave the option out"
            if variant is not None and name == variant.name:
                hint = f"an option of the variant has no name in front: -s {option}=…"
            raise InputError(f"option '{name}.{option}': no extension '{name}' is part of this run", hint=hint)


def _extension_info(plugin: Plugin, module: object) -> ExtensionInfo | None:
    """What an extension with options says of itself; None for one without."""
    declare = getattr(module, "gankit_extension", None)
    if declare is None:
        return None
    who = f"extension '{plugin.name}' from {plugin.origin}"
    info = declare()
    if not isinstance(info, ExtensionInfo):
        returned = type(info).__name__
        raise PluginError(f"{who}: gankit_extension returned {returned}", hint="it must return an ExtensionInfo")
    _check_api(who, info.api, plugin)
    return info


def _check_api(who: str, api: int, plugin: Plugin) -> None:
    if api not in SUPPORTED_API:
        newer = api > max(SUPPORTED_API)
        raise PluginError(
            f"{who} speaks plugin API {api}; this gankit speaks {', '.join(map(str, sorted(SUPPORTED_API)))}",
            hint="upgrade gankit" if newer else f"upgrade {plugin.dist or plugin.path}",
        )


def _register(manager: pluggy.PluginManager, plugin: Plugin, module: object) -> list[str]:
    """Add a plugin's hooks; a line for each that hookspecs declares with `warn_on_impl` or `warn_on_impl_args`."""
    who = f"{plugin.kind} '{plugin.name}' from {plugin.origin}"
    if manager.has_plugin(plugin.name):
        hint = "name each extension once; a file must not be called as another plugin of the run, or 'core'"
        raise InputError(f"{who}: the name '{plugin.name}' is taken in this run", hint=hint)
    if not _implements_anything(module):
        raise PluginError(f"{who} implements no gankit hook", hint="mark its functions with @gankit.plugin.hookimpl")
    for name, member in inspect.getmembers(module, inspect.isroutine):
        if name in vars(hookspecs) and name.startswith("gankit_") and not hasattr(member, f"{hookspecs.PROJECT}_impl"):
            raise PluginError(f"{who} has a {name} that nobody would call", hint="mark it with @hookimpl")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            manager.register(module, name=plugin.name)
    except pluggy.PluginValidationError as error:
        hook = re.search(r"for hook '(\w+)'", str(error))
        spec = getattr(hookspecs, hook[1], None) if hook else None
        arguments = (
            f"{hook[1]} may take {', '.join(inspect.signature(spec).parameters)}; else " if hook and spec else ""
        )
        raise PluginError(
            f"{who} does not fit this gankit's hooks: {one_line(error)}",
            hint=f"{arguments}upgrade gankit, or the plugin",
        ) from error
    for impl in manager.get_hookcallers(module) or ():
        if impl.spec is None:
            known = [name for name in vars(hookspecs) if name.startswith("gankit_")]
            hint = f"{did_you_mean(impl.name, known)}hooks: {', '.join(known)}"
            raise PluginError(f"{who} implements '{impl.name}', which is not a hook", hint=hint)
    return [f"{who}: {' '.join(str(warning.message).split())}" for warning in caught]


def _implements_anything(module: object) -> bool:
    members = inspect.getmembers(module, inspect.isroutine)
    return any(hasattr(member, f"{hookspecs.PROJECT}_impl") for _, member in members)


def _plain(manager: pluggy.PluginManager, builder: str) -> list[pluggy.HookImpl]:
    """Implementations that answer by themselves, in pluggy's order: the last one is asked first."""
    impls: Iterable[pluggy.HookImpl] = getattr(manager.hook, builder).get_hookimpls()
    return [impl for impl in impls if not (impl.wrapper or impl.hookwrapper)]


def _variant_info(manager: pluggy.PluginManager, variant: Plugin) -> VariantInfo:
    who = f"variant '{variant.name}' from {variant.origin}"
    for required in ("gankit_variant", "gankit_loss"):
        if not _plain(manager, required):
            raise PluginError(
                f"{who} does not implement {required}", hint="a variant needs gankit_variant and gankit_loss"
            )
    try:
        info = manager.hook.gankit_variant()
    except Exception as error:
        raise PluginError(f"{who}: gankit_variant failed: {one_line(error)}{variant.place_of(error)}") from error
    if not isinstance(info, VariantInfo):
        raise PluginError(f"{who}: gankit_variant returned {type(info).__name__}", hint="it must return a VariantInfo")
    _check_api(who, info.api, variant)
    if info.conditional == "required" and not info.config.conditional:
        raise PluginError(
            f"{who} requires conditions and does not recommend them",
            hint="its author gives VariantInfo config=TrainConfig(conditional=True)",
        )
    return info
