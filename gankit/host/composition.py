"""Composes one plugin manager per run from core, one variant and the named extensions, and checks each of them."""

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
EVENTS = ("gankit_run_start", "gankit_record", "gankit_checkpoint", "gankit_run_end")


@dataclass(frozen=True)
class Supplier:
    """The implementation of a builder by one plugin, without wrappers."""

    impl: pluggy.HookImpl

    @property
    def name(self) -> str:
        """'core', or the name of the variant or extension."""
        return self.impl.plugin_name

    def answer(self, **arguments: object) -> object:
        """The answer of this implementation, without wrappers."""
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
    """Core and extensions without a variant: their data sets, feature spaces and metrics, and core's networks."""

    manager: pluggy.PluginManager
    extensions: tuple[Plugin, ...]
    declared: Mapping[str, ExtensionInfo]
    """Name of an extension with options -> its declaration."""
    chosen: Mapping[str, Any]
    """Extension name -> an instance of its options."""
    following: Mapping[str, tuple[Schedule, Tensor]]
    """'extension.option' that follows a schedule -> the schedule, and the tensor in the extension's options."""
    deprecated: tuple[str, ...]
    """Deprecated features that these plugins use, one line each."""

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
    """The checked plugins of one run: `hook.gankit_…` calls them, `suppliers` lists who implements a builder."""

    variant: Plugin
    info: VariantInfo
    """The declaration of the variant."""

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The variant and the extensions, without core."""
        return (self.variant, *self.extensions)

    @property
    def host_bound(self) -> list[str]:
        """Names of the plugins that do not declare their steps `capturable`."""
        capturable = {name for name, info in self.declared.items() if info.capturable}
        if self.info.capturable:
            capturable.add(self.variant.name)
        return [plugin.name for plugin in self.plugins if plugin.name not in capturable]

    @property
    def extension_options(self) -> dict[str, dict[str, Any]]:
        """Extension -> its options as JSON values, defaults included."""
        return {name: to_json(options) for name, options in self.chosen.items()}

    def hooks_of(self, plugin: Plugin) -> set[str]:
        """The hooks that a plugin implements or wraps."""
        return {caller.name for caller in self.manager.get_hookcallers(self.manager.get_plugin(plugin.name)) or ()}

    def suppliers(self, builder: str) -> list[Supplier]:
        """The implementations of a builder in the order of their calls; the first answer that is not None counts."""
        return [Supplier(impl) for impl in reversed(_implementations(self.manager, builder))]

    def refuse_two(self, builder: str, names: Sequence[str]) -> None:
        """Raise PluginError when two of these plugins, apart from core, implement a builder."""
        names = [name for name in names if name != CORE]
        if len(names) > 1:
            owners = [plugin for plugin in self.plugins if plugin.name in names]
            what = builder.removeprefix("gankit_").replace("_", " ")
            listing = " and ".join(f"{plugin.kind} '{plugin.name}' ({plugin.origin})" for plugin in owners)
            raise PluginError(
                f"two plugins supply a {what}: {listing}",
                hint="drop one of them; an extension that only changes what is there should wrap the hook",
            )

    def wrappers(self, builder: str) -> list[str]:
        """Names of the extensions that wrap a builder, innermost first."""
        hook = getattr(self.manager.hook, builder)
        return [impl.plugin_name for impl in hook.get_hookimpls() if impl.wrapper or impl.hookwrapper]

    def register_observer(self, observer: object, name: str) -> None:
        """Add an object that receives the events of the run."""
        self.manager.register(observer, name=f"{CORE}:{name}")


def compose(
    core: object, variant: Plugin, extensions: Sequence[Plugin], options: Mapping[str, Mapping[str, Any]]
) -> Composition:
    """Import the plugins of a run, check each of them and put them into a new manager.

    `options` maps the names of extensions to their options; absent options have their defaults.
    """
    catalogues = _load(core, variant, extensions, options)
    info = _variant_info(catalogues.manager, variant)
    composition = Composition(**vars(catalogues), variant=variant, info=info)
    for builder in BUILDERS:
        # A variant may answer None for a network and leave it to core or an extension, which is checked in the build.
        exempt = variant.name if builder in NETWORKS else CORE
        composition.refuse_two(builder, [s.name for s in composition.suppliers(builder) if s.name != exempt])
    return composition


def compose_catalogues(core: object, extensions: Sequence[Plugin]) -> Catalogues:
    """Import extensions, check each of them and put them into a new manager, with the defaults of their options.

    Two extensions may supply the same builder here; only a run refuses them.
    """
    return _load(core, None, extensions, {})


def _load(
    core: object, variant: Plugin | None, extensions: Sequence[Plugin], options: Mapping[str, Mapping[str, Any]]
) -> Catalogues:
    """A manager with core, the variant if there is one, and the extensions."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(core, name=CORE)
    plugins = tuple(extensions) if variant is None else (variant, *extensions)
    unused = {normalise(name): table for name, table in options.items()}
    _check_extensions(unused, extensions, variant)
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
            chosen[plugin.name] = validate(info.options, unused.pop(plugin.name, {}), what="option", where=where)
            received = live(chosen[plugin.name])
            following |= {f"{plugin.name}.{name}": pair for name, pair in received.following.items()}
            module = info.make(received.options)
        deprecated += _register(manager, plugin, module)
    unused = {name: table for name, table in unused.items() if table}
    if unused:
        name = next(iter(unused))
        raise InputError(f"extension '{name}' has no options", hint=f"leave out -s {name}.{next(iter(unused[name]))}")
    return Catalogues(manager, tuple(extensions), declared, chosen, following, tuple(deprecated))


def _check_extensions(
    options: Mapping[str, Mapping[str, Any]], extensions: Sequence[Plugin], variant: Plugin | None
) -> None:
    """InputError for options of an extension that is not part of the run."""
    names = [plugin.name for plugin in extensions]
    for name, table in options.items():
        if table and name not in names:
            option = next(iter(table))
            hint = f"{did_you_mean(name, names)}add --with {name}, or leave the option out"
            if variant is not None and name == variant.name:
                hint = f"options of the variant have no prefix: -s {option}=…"
            raise InputError(f"option '{name}.{option}': no extension '{name}' is part of this run", hint=hint)


def _extension_info(plugin: Plugin, module: object) -> ExtensionInfo | None:
    """The declaration of an extension with options; None for an extension without."""
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
    """Register a plugin's hooks; returns one line for each that is deprecated in hookspecs (`warn_on_impl…`)."""
    who = f"{plugin.kind} '{plugin.name}' from {plugin.origin}"
    if manager.has_plugin(plugin.name):
        hint = "name each extension once; a file must not have the name of another plugin of the run, or 'core'"
        raise InputError(f"{who}: the name '{plugin.name}' is taken in this run", hint=hint)
    if not _implements_anything(module):
        raise PluginError(f"{who} implements no gankit hook", hint="mark its functions with @gankit.plugin.hookimpl")
    for name, member in inspect.getmembers(module, inspect.isroutine):
        if name in vars(hookspecs) and name.startswith("gankit_") and not hasattr(member, f"{hookspecs.PROJECT}_impl"):
            raise PluginError(f"{who} has a {name} that is never called", hint="mark it with @hookimpl")
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
    for caller in manager.get_hookcallers(module) or ():
        if caller.spec is None:
            known = [name for name in vars(hookspecs) if name.startswith("gankit_")]
            hint = f"{did_you_mean(caller.name, known)}hooks: {', '.join(known)}"
            raise PluginError(f"{who} implements '{caller.name}', which is not a hook", hint=hint)
        own = next(impl for impl in caller.get_hookimpls() if impl.plugin is module)
        if (own.wrapper or own.hookwrapper) and caller.name not in BUILDERS:
            raise PluginError(
                f"{who} wraps {caller.name}, which only answers", hint=f"what can be wrapped: {', '.join(BUILDERS)}"
            )
    return [f"{who}: {' '.join(str(warning.message).split())}" for warning in caught]


def _implements_anything(module: object) -> bool:
    members = inspect.getmembers(module, inspect.isroutine)
    return any(hasattr(member, f"{hookspecs.PROJECT}_impl") for _, member in members)


def _implementations(manager: pluggy.PluginManager, builder: str) -> list[pluggy.HookImpl]:
    """Implementations other than wrappers, in pluggy's order: the last one is called first."""
    impls: Iterable[pluggy.HookImpl] = getattr(manager.hook, builder).get_hookimpls()
    return [impl for impl in impls if not (impl.wrapper or impl.hookwrapper)]


def _variant_info(manager: pluggy.PluginManager, variant: Plugin) -> VariantInfo:
    who = f"variant '{variant.name}' from {variant.origin}"
    for required in ("gankit_variant", "gankit_loss"):
        if not _implementations(manager, required):
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
            hint="set VariantInfo(config=TrainConfig(conditional=True))",
        )
    return info
