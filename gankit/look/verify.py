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
    """The checked values of some variants on one device."""

    device: str
    precision: str
    checked: tuple[tuple[str, Checked], ...]  # (variant, value)
    without: tuple[str, ...]  # variants that offer no vectors

    @property
    def wrong(self) -> int:
        """The number of values that disagree."""
        return sum(not value.ok for _, value in self.checked)


def verify(
    variants: Sequence[str] = (), *, extensions: Sequence[str] = (), device: str = "auto", precision: str = "auto"
) -> Verified:
    """Check the vectors of the named variants, by default of all installed ones, and of the extensions.

    `precision` is fp64 or a precision of training, in which the critic runs; 'auto' is the default of training.
    """
    target = choose_device(device)
    name = Precision("auto", target).name if precision == "auto" else precision
    if name not in TOLERANCE:
        raise InputError(f"unknown precision '{precision}'", hint=f"auto, {', '.join(TOLERANCE)}")
    named = [discovery.find(extension, discovery.EXTENSIONS) for extension in extensions]
    plugins = [discovery.find(variant, discovery.VARIANTS) for variant in variants] or discovery.discover(
        discovery.VARIANTS
    )
    checked: list[tuple[str, Checked]] = []
    without = []
    for plugin in plugins:
        answers = core.compose(plugin, named).hook.gankit_vectors()
        vectors = [vector for answer in answers for vector in answer]
        if not all(isinstance(vector, Vector) for vector in vectors):
            raise PluginError(f"gankit_vectors of '{plugin.name}' did not return vectors", hint="return Vector objects")
        checked += [(plugin.name, value) for vector in vectors for value in check(vector, target, name)]
        if not vectors:
            without.append(plugin.name)
    return Verified(str(target), name, tuple(checked), tuple(without))
