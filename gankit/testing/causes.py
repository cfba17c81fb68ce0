"""What made checks fail: one mistake stops many of them, and is worth one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gankit.run.build import own_streams
from gankit.testing import networks
from gankit.testing.subject import Subject
from gankit.testing.suite import Outcome, root_of

CHECK_OF = {"gankit_generator": networks.generator_shapes, "gankit_discriminator": networks.discriminator_output}
"""The check of each network by the hook that builds it."""


@dataclass(frozen=True)
class Cause:
    """One mistake: what was seen, what to do, and the outcomes of the checks that fail because of it."""

    reason: str
    hint: str
    outcomes: tuple[Outcome, ...]


def causes(outcomes: Sequence[Outcome], subject: Subject) -> list[Cause]:
    """The failures grouped by what they have in common, in the order of the first check of each.

    Checks that end with the same exception have one cause. Where a network does not fit the data, that is the cause of
    its own check and of every exception.
    """
    failed = [outcome for outcome in outcomes if outcome.reason is not None]
    if not failed:
        return []
    with own_streams(subject.device):
        misfit = subject.misfit
    groups: dict[object, list[Outcome]] = {}
    for outcome in failed:
        key: object = outcome.raised or outcome.check
        if misfit is not None:
            its_own = outcome.check.run is CHECK_OF[misfit.builder]
            follows = outcome.raised is not None and (misfit.__cause__ is None or outcome.raised == root_of(misfit))
            key = misfit if its_own or follows else key
        groups.setdefault(key, []).append(outcome)
    return [
        Cause(misfit.message, misfit.hint or "", tuple(group))
        if misfit is not None and key is misfit
        else Cause(group[0].reason or "", group[0].hint, tuple(group))
        for key, group in groups.items()
    ]
