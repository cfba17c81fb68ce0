"""Checks of one step of the game: what the losses give, and what it does to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from gankit.game.loop import TrainingLoop
from gankit.testing.subject import BATCH, Subject, require

See = Callable[[str, Mapping[str, Tensor]], None]


def terms(subject: Subject) -> None:
    """Each player's loss is a mapping of names to finite terms, each [N] or a scalar."""
    loop = subject.loop()

    def see(player: str, found: Mapping[str, Tensor]) -> None:
        require(
            isinstance(found, Mapping) and len(found) > 0,
            f"the {player}'s loss gave {type(found).__name__}",
            "return a dict of named terms, not empty",
        )
        for name, term in found.items():
            require(isinstance(term, Tensor), f"{player}: '{name}' is a {type(term).__name__}", "a term is a tensor")
            require(
                tuple(term.shape) in ((), (BATCH,)),
                f"{player}: '{name}' is {list(term.shape)} for a batch of {BATCH}",
                "a term is [N] or a scalar; scores [N] and [N, 1] make [N, N] of a difference",
            )
            require(
                bool(term.isfinite().all()), f"{player}: '{name}' is not finite", "look for log(0), x / 0 and overflow"
            )

    with _losses_seen(loop, see):
        _play_both(subject, loop)


def trained_terms(subject: Subject) -> None:
    """Every term carries a gradient to its player's parameters, a penalty through a double backward."""
    loop = subject.loop()

    def see(player: str, found: Mapping[str, Tensor]) -> None:
        parameters = [p for p in loop.players[player].values() if p.requires_grad]
        for name, term in found.items():
            reached = term.requires_grad and any(
                gradient is not None
                for gradient in torch.autograd.grad(term.mean(), parameters, retain_graph=True, allow_unused=True)
            )
            require(
                reached,
                f"'{name}' has no gradient for the {player}: it is logged, but trains nothing",
                "a penalty needs create_graph=True, as in gankit.plugin.input_gradients; constants belong in self.log",
            )

    with _losses_seen(loop, see):
        _play_both(subject, loop)


def gradients(subject: Subject) -> None:
    """In each player's steps all its parameters receive a finite gradient."""
    loop = subject.loop()
    found: dict[str, Tensor] = {}
    for player, optimizer in loop.optimizers.items():

        def record(*_: object, player: str = player) -> None:
            for name, parameter in loop.players[player].items():
                if parameter.grad is not None:  # a player may move in several steps, a part of it in each
                    found[f"{player}: {name}"] = parameter.grad

        optimizer.register_step_pre_hook(record)
    _play_both(subject, loop)
    wanted = {f"{player}: {name}" for player, names in loop.players.items() for name in names}
    missing = sorted(wanted - found.keys())
    require(
        not missing,
        f"no gradient for {_listing(missing)}",
        "use the parameter, or remove it; what shall not be trained is a buffer",
    )
    infinite = sorted(name for name, gradient in found.items() if not _finite(gradient))
    require(not infinite, f"the gradient is not finite for {_listing(infinite)}", "add an epsilon inside square roots")


def separate_players(subject: Subject) -> None:
    """The discriminator's step leaves the generator alone, and the reverse; nobody stays frozen."""
    loop = subject.loop()
    trainable = {name for player in loop.players.values() for name, p in player.items() if p.requires_grad}
    for player, other, step in (
        ("discriminator", "generator", loop.d_step),
        ("generator", "discriminator", loop.g_step),
    ):
        before = {name: p.detach().clone() for name, p in loop.players[other].items()}
        step(*subject.batch(loop, 0))
        moved = sorted(name for name, p in loop.players[other].items() if not torch.equal(p, before[name]))
        require(
            not moved,
            f"the {player}'s step moved the {other}: {_listing(moved)}",
            "a step changes its own player's parameters only",
        )
        frozen = trainable - {name for one in loop.players.values() for name, p in one.items() if p.requires_grad}
        require(
            not frozen,
            f"after the {player}'s step {_listing(sorted(frozen))} no longer require grad",
            "thaw what you freeze",
        )


def bf16(subject: Subject) -> None:
    """Steps with networks in bf16 give finite statistics and parameters."""
    loop = subject.loop(precision="bf16")
    stats = subject.play(loop, subject.enough(loop))
    bad = [name for step in stats for name, value in step.items() if not _finite(value)]
    bad += [name for player in loop.players.values() for name, parameter in player.items() if not _finite(parameter)]
    require(
        not bad,
        f"{_listing(bad)} not finite",
        "bf16 has eight bits: small differences of large numbers vanish; compute them after .float()",
    )


def _play_both(subject: Subject, loop: TrainingLoop) -> None:
    """A step of each player, whatever their ratio."""
    subject.play(loop, range(1))
    loop.g_step(*subject.batch(loop, 1))


@contextmanager
def _losses_seen(loop: TrainingLoop, see: See) -> Iterator[None]:
    """Within the block `see` gets the player's name and the terms of each loss, while their graph is alive."""
    with ExitStack() as stack:
        objectives: dict[str, Any] = {"discriminator": loop.loss.discriminator, "generator": loop.loss.generator}
        for player, objective in objectives.items():

            def seen(
                critic: object, batch: object, player: str = player, objective: Any = objective
            ) -> Mapping[str, Tensor]:
                found: Mapping[str, Tensor] = objective(critic, batch)
                see(player, found)
                return found

            stack.enter_context(mock.patch.object(loop.loss, player, seen))
        yield


def _finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())


def _listing(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
