"""Checks of one step of the game: what the losses give, and what it does to whom."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gankit.contracts import Batch
from gankit.errors import InputError, PluginError
from gankit.game.critic import Critic
from gankit.game.loop import TrainingLoop
from gankit.game.parts import Part, Step
from gankit.game.players import Player
from gankit.settings.option import facts_of
from gankit.settings.schedule import Schedule
from gankit.settings.validate import takes_schedule
from gankit.testing.subject import BATCH, CheckFailed, Subject, require

See = Callable[[str, Player, Mapping[str, Tensor]], None]


def terms(subject: Subject) -> None:
    """Each phase has named, finite terms, each [N] or a scalar."""

    def see(phase: str, player: Player, found: Mapping[str, Tensor]) -> None:
        for name, term in found.items():
            require(
                tuple(term.shape) in ((), (BATCH,)),
                f"{phase}: '{name}' is {list(term.shape)} for a batch of {BATCH}",
                "a term is [N] or a scalar; scores [N] and [N, 1] make [N, N] of a difference",
            )
            require(
                bool(term.isfinite().all()), f"{phase}: '{name}' is not finite", "look for log(0), x / 0 and overflow"
            )

    try:
        _play_every_phase(subject, _listening(subject, see))
    except PluginError as error:  # the loop itself refuses what is no term
        raise CheckFailed(error.message, error.hint or "") from error


def trained_terms(subject: Subject) -> None:
    """Every term carries a gradient to its player's parameters, a penalty through a double backward."""

    def see(phase: str, player: Player, found: Mapping[str, Tensor]) -> None:
        parameters = [p for p in player.parameters.values() if p.requires_grad]
        for name, term in found.items():
            reached = term.requires_grad and any(
                gradient is not None
                for gradient in torch.autograd.grad(term.mean(), parameters, retain_graph=True, allow_unused=True)
            )
            require(
                reached,
                f"'{name}' has no gradient for the {phase}: it is logged, but trains nothing",
                "a penalty needs create_graph=True, as in gankit.plugin.input_gradients; constants belong in self.log",
            )

    _play_every_phase(subject, _listening(subject, see))


def gradients(subject: Subject) -> None:
    """In each player's steps all its parameters receive a finite gradient."""
    loop = subject.loop()
    found: dict[str, Tensor] = {}
    for name, player in loop.players.items():

        def record(*_: object, name: str = name, player: Player = player) -> None:
            for key, parameter in player.parameters.items():
                if parameter.grad is not None:  # a player may move in several phases, a part of it in each
                    found[f"{name}: {key}"] = parameter.grad

        player.optimizer.register_step_pre_hook(record)
    _play_every_phase(subject, loop)
    wanted = {f"{name}: {key}" for name, player in loop.players.items() for key in player.parameters}
    missing = sorted(wanted - found.keys())
    require(
        not missing,
        f"no gradient for {_listing(missing)}",
        "use the parameter, or remove it; what shall not be trained is a buffer",
    )
    infinite = sorted(name for name, gradient in found.items() if not _finite(gradient))
    require(not infinite, f"the gradient is not finite for {_listing(infinite)}", "add an epsilon inside square roots")


def separate_players(subject: Subject) -> None:
    """A phase moves its own player only, and leaves no parameter frozen."""
    loop = subject.loop()
    trainable = {f"{name}.{key}" for name, key, p in _parameters(loop) if p.requires_grad}
    for phase, turn in loop.phases.items():
        before = {f"{name}.{key}": p.detach().clone() for name, key, p in _parameters(loop)}
        loop.play(phase, subject.batch(loop, 0))
        moved = sorted(
            f"{name}.{key}"
            for name, key, p in _parameters(loop)
            if name != turn.player and not torch.equal(p, before[f"{name}.{key}"])
        )
        require(
            not moved,
            f"the {phase}'s phase moved {_listing(moved)}",
            "a phase changes the parameters of its own player only",
        )
        frozen = trainable - {f"{name}.{key}" for name, key, p in _parameters(loop) if p.requires_grad}
        require(
            not frozen,
            f"after the {phase}'s phase {_listing(sorted(frozen))} no longer require grad",
            "thaw what you freeze",
        )


def bf16(subject: Subject) -> None:
    """Steps with networks in bf16 give finite statistics and parameters."""
    loop = subject.loop(precision="bf16")
    stats = subject.play(loop, subject.enough(loop))
    bad = [name for step in stats for name, value in step.items() if not _finite(value)]
    bad += [f"{name}.{key}" for name, key, parameter in _parameters(loop) if not _finite(parameter)]
    require(
        not bad,
        f"{_listing(bad)} not finite",
        "bf16 has eight bits: small differences of large numbers vanish; compute them after .float()",
    )


def schedules(subject: Subject) -> None:
    """Each option that may follow a schedule is used in the steps alone, so that it can follow one."""
    hints = typing.get_type_hints(subject.options)
    for field in dataclasses.fields(subject.options):
        if not takes_schedule(hints[field.name], facts_of(field)) or field.default is None:
            continue
        value = Schedule.parse(field.default).values[-1]
        options = subject.options_setting(**{field.name: f"linear({value!r}, {value!r}, 1k)"})
        try:
            loop = subject.loop(options=options)
            subject.play(loop, subject.enough(loop))
        except PluginError as error:
            raise CheckFailed(error.message, error.hint or "") from error
        except InputError as error:
            if field.name not in error.message:  # else it is refused in words: for these sizes of data, say
                raise
        except TypeError as error:
            raise CheckFailed(
                f"option '{field.name}' as a tensor: {error}", "a scheduled option is a 0-d tensor; or schedule=False"
            ) from error


def _parameters(loop: TrainingLoop) -> list[tuple[str, str, Tensor]]:
    """(player, name, parameter) of all players."""
    return [(name, key, p) for name, player in loop.players.items() for key, p in player.parameters.items()]


def _play_every_phase(subject: Subject, loop: TrainingLoop) -> None:
    """A step, and each phase that was not due in it."""
    subject.play(loop, range(1))
    for name, phase in loop.phases.items():
        if phase.turns == 0:
            loop.play(name, subject.batch(loop, 1))


class _Listener(Part):
    """Shows the terms of every phase, while their graph is alive."""

    def __init__(self, see: See) -> None:
        super().__init__()
        self.see = see

    def terms(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        self.see(step.name, step.player, step.terms)
        return {}


def _listening(subject: Subject, see: See) -> TrainingLoop:
    """A loop whose last part shows the terms of every phase."""
    loop = subject.loop()
    loop.add_part("conformance", _Listener(see))
    return loop


def _finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())


def _listing(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
