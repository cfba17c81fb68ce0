"""`gankit verify`: the hand-worked values of plugins, computed again on this machine."""

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
    """What was checked, and where. `without` names the variants that offer no vectors."""

    device: str
    precision: str
    checked: tuple[tuple[str, Checked], ...]  # (variant, value)
    without: tuple[str, ...]

    @property
    def wrong(self) -> int:
        """How many values disagree."""
        return sum(not value.ok for _, value in self.checked)


def verify(
    variants: Sequence[str] = (), *, extensions: Sequence[str] = (), device: str = "auto", precision: str = "auto"
) -> Verified:
    """Compute the vectors of the named variants (none: of all installed ones) and of extensions that bring some.

    `precision` is fp64, or one of training, in which the critic then runs; 'auto' is what training would take.
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
            raise PluginError(f"gankit_vectors of '{plugin.name}' gave something else", hint="return a list of Vector")
        checked += [(plugin.name, value) for vector in vectors for value in check(vector, target, name)]
        if not vectors:
            without.append(plugin.name)
    return Verified(str(target), name, tuple(checked), tuple(without))
