"""What a check is given: the plugin under test, and tiny games to play with it."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gankit.base.text import did_you_mean
from gankit.contracts import Batch, DataSpec, VariantInfo
from gankit.errors import InputError, PluginError
from gankit.game.conditions import one_hot
from gankit.game.loop import TrainingLoop
from gankit.game.state import State
from gankit.host import discovery, importing
from gankit.machine.device import choose_device
from gankit.run.build import build_loop
from gankit.run.plan import Plan, plan_run
from gankit.run.rehearsal import DoesNotFitError
from gankit.settings.config import RunConfig
from gankit.settings.layers import Layer
from gankit.settings.option import NoOptions

REFUSALS = (InputError, PluginError)  # a plugin may say no in words; a signal, also a GankitError, is not its word
BATCH = 8
FRESH = 1_000_000  # added to the number of a step for the seed of its other real batch
CLASSES = ("a", "b", "c")
IMAGES = DataSpec((1, 16, 16), CLASSES)
POINTS = DataSpec((2,), CLASSES)


class CheckFailed(AssertionError):  # noqa: N818 - what it says
    """A requirement is not met: `reason` is what was seen, `hint` what to do."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"{reason} — {hint}")
        self.reason = reason
        self.hint = hint


def require(met: bool, reason: str, hint: str) -> None:
    """Raise CheckFailed unless the requirement is met."""
    if not met:
        raise CheckFailed(reason, hint)


@dataclass(frozen=True)
class Subject:
    """A variant with the extensions named beside it, on one device. An extension is tested with the default variant."""

    plugin: discovery.Plugin  # what is tested
    variant: str
    extensions: tuple[str, ...]
    device: torch.device

    @classmethod
    def of(cls, name: str, *, extensions: tuple[str, ...] = (), device: str = "cpu") -> Subject:
        """The subject for a variant or an extension, given as NAME, DIST:NAME or ./file.py."""
        plugin = _find(name)
        if plugin.group == discovery.EXTENSIONS:
            return cls(plugin, RunConfig().variant, (name, *extensions), choose_device(device))
        return cls(plugin, name, extensions, choose_device(device))

    def plan(self, **settings: object) -> Plan:
        """A plan with small batches in fp32; the variant's recommendation for everything that is not given."""
        own = {"variant": self.variant, "extensions": self.extensions, "device": str(self.device)}
        return plan_run([Layer("check", {**own, "batch": BATCH, "precision": "fp32", **settings})])

    @cached_property
    def info(self) -> VariantInfo:
        """What the variant says of itself."""
        return self.plan().composition.info

    @cached_property
    def deprecated(self) -> tuple[str, ...]:
        """What it uses that will go, a line each; nothing for a plugin that cannot be loaded."""
        try:
            return self.plan().composition.deprecated
        except REFUSALS:
            return ()

    @cached_property
    def data(self) -> DataSpec:
        """Small images, or points in the plane where images are refused."""
        try:
            self.loop(data=IMAGES)
        except REFUSALS as refusal:
            try:
                self.loop(data=POINTS)
            except REFUSALS:
                raise refusal from None
            return POINTS
        return IMAGES

    @cached_property
    def options(self) -> type:
        """The options of the plugin that is tested; none for an extension without."""
        if self.plugin.group == discovery.VARIANTS:
            return self.info.options
        declared = self.plan().composition.declared.get(self.plugin.name)
        return NoOptions if declared is None else declared.options

    def options_setting(self, **options: object) -> dict[str, object]:
        """The setting `options` that gives some to the plugin under test."""
        return options if self.plugin.group == discovery.VARIANTS else {self.plugin.name: options}

    def loop(self, *, data: DataSpec | None = None, rehearsed: bool = False, **settings: object) -> TrainingLoop:
        """A new loop, initialised from the seed of the settings; whether its networks fit is for the checks to say."""
        plan = self.plan(**settings)
        spec = self.with_condition(data or self.data, plan.config.conditional)
        return build_loop(plan, spec, self.device, rehearsed=rehearsed)

    @cached_property
    def misfit(self) -> DoesNotFitError | None:
        """What a run would say before its first step of a network that does not fit; None if both do."""
        try:
            self.loop(rehearsed=True)
        except DoesNotFitError as error:
            return error
        except Exception:  # what else is wrong is for the checks to say
            return None
        return None

    @staticmethod
    def with_condition(data: DataSpec, conditional: bool) -> DataSpec:
        """The same data as a conditional run sees it."""
        return replace(data, condition=len(data.classes)) if conditional else data

    def batch(self, loop: TrainingLoop, step: int) -> Batch:
        """Batch number `step`: real samples that depend on their class, labels, and y in a conditional run.

        It has another one in `fresh`, where a phase takes real samples of its own.
        """
        data = self._batch(loop, torch.Generator().manual_seed(step))
        if loop.takes_fresh_reals:
            data.fresh = self._batch(loop, torch.Generator().manual_seed(FRESH + step))
        return data

    def _batch(self, loop: TrainingLoop, draws: torch.Generator) -> Batch:
        labels = torch.arange(BATCH) % len(CLASSES)
        shift = (labels * 0.2 - 0.5).reshape(-1, *[1] * len(self.data.shape))
        real = torch.rand(BATCH, *self.data.shape, generator=draws) * 0.5 + shift
        y = one_hot(labels, len(CLASSES)).to(self.device) if loop.config.conditional else None
        return Batch(real.to(self.device), labels=labels.to(self.device), condition=y)

    def play(self, loop: TrainingLoop, steps: range) -> list[dict[str, Tensor]]:
        """The statistics of some steps, each seeded by its number as in a run."""
        stats = []
        for step in steps:
            torch.manual_seed(step)
            stats.append(loop.step(self.batch(loop, step)))
        return stats

    def enough(self, loop: TrainingLoop) -> range:
        """So many steps that the generator moves at least once, and no more than a few."""
        return range(min(max(3, loop.d_steps() + 1), 8))

    @cached_property
    def said(self) -> str:
        """What the plugin writes to stdout while it is imported (again, if it is a file), built and played."""
        with redirect_stdout(io.StringIO()) as stdout:
            loop = self.loop()
            self.play(loop, self.enough(loop))
        return stdout.getvalue()


def _find(name: str) -> discovery.Plugin:
    """The plugin of this name: a variant, else an extension; a file is a variant if it says who it is."""
    variants = [plugin for plugin in discovery.installed(discovery.VARIANTS) if plugin.is_called(name)]
    extensions = [plugin for plugin in discovery.installed(discovery.EXTENSIONS) if plugin.is_called(name)]
    if extensions and not variants:
        return discovery.find(name, discovery.EXTENSIONS)
    if not variants and not extensions and not name.endswith(".py") and os.sep not in name:
        groups = (discovery.VARIANTS, discovery.EXTENSIONS)
        names = sorted({plugin.name for group in groups for plugin in discovery.discover(group)})
        hint = f"{did_you_mean(name, names)}installed: {', '.join(names)}; a file works too: ./my_plugin.py"
        raise InputError(f"unknown variant or extension '{name}'", hint=hint)
    plugin = discovery.find(name, discovery.VARIANTS)
    if plugin.path and not hasattr(importing.load_plugin(plugin), "gankit_variant"):
        return replace(plugin, group=discovery.EXTENSIONS)
    return plugin


def same_state(one: State, other: State) -> str | None:
    """The first name whose values differ in any bit, or that only one of the states has; None when they are equal."""
    for name in sorted({*one, *other}):
        a, b = one.get(name), other.get(name)
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            if a.dtype != b.dtype or not torch.equal(a.cpu(), b.cpu()):
                return name
        elif type(a) is not type(b) or a != b:
            return name
    return None


def copy_of(state: Mapping[str, Tensor | int | float | str | bool]) -> State:
    """A state that later steps do not change."""
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()}
