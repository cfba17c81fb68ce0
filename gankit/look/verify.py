"""`gankit verify`: the values of plugins worked out by hand, compared with the results of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gankit import core
from gankit.errors import InputError, PluginError
from gankit.game.vectors import TOLERANCE, Checked, Vector, check
from gankit.host import discovery
from gankit.machine.device import choose_device
from gankit.machine.precision import Precision


@dataclass(frozen=True)
class Verified:
    """The checked values of some plugins on one device."""

    device: str
    precision: str
    checked: tuple[tuple[str, Checked], ...]  # (variant or extension, value)
    without: tuple[str, ...]  # variants that offer no vectors

    @property
    def wrong(self) -> int:
        """The number of values that disagree."""
        return sum(not value.ok for _, value in self.checked)


def verify(
    variants: Sequence[str] = (), *, extensions: Sequence[str] = (), device: str = "auto", precision: str = "auto"
) -> Verified:
    """Check the vectors of the named variants, or of all installed ones, and of the named extensions.

    Without any name those of all installed extensions are checked too.

    `precision` is fp64 or a precision of training, in which the critic runs; 'auto' is the default of training.
    """
    target = choose_device(device)
    name = Precision("auto", target).name if precision == "auto" else precision
    if name not in TOLERANCE:
        raise InputError(f"unknown precision '{precision}'", hint=f"auto, {', '.join(TOLERANCE)}")
    plugins = [discovery.find(variant, discovery.VARIANTS) for variant in variants]
    plugins = plugins or discovery.discover(discovery.VARIANTS)
    if variants or extensions:
        plugins += [discovery.find(extension, discovery.EXTENSIONS) for extension in extensions]
    else:
        plugins += discovery.discover(discovery.EXTENSIONS)
    checked: list[tuple[str, Checked]] = []
    without = []
    for plugin in plugins:
        vectors = _vectors(plugin)
        checked += [(plugin.name, value) for vector in vectors for value in check(vector, target, name)]
        if not vectors and plugin.group == discovery.VARIANTS:
            without.append(plugin.name)
    return Verified(str(target), name, tuple(checked), tuple(without))


def _vectors(plugin: discovery.Plugin) -> list[Vector]:
    """The vectors of one plugin; an extension's are asked for with the defaults of its options."""
    vectors = [vector for answer in core.compose_single(plugin).hook.gankit_vectors() for vector in answer]
    if not all(isinstance(vector, Vector) for vector in vectors):
        raise PluginError(f"gankit_vectors of '{plugin.name}' did not return vectors", hint="return Vector objects")
    return vectors
