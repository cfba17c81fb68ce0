"""Phases of a step, and parts: the one way to take part in a step beside its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from gankit.contracts import Batch
from gankit.game.critic import Critic
from gankit.game.loss import Terms
from gankit.game.players import Player

Objective = Callable[[Critic, Batch], Terms]
"""(critic, batch) -> terms, each [N] or a scalar, whose means are summed and minimised."""


def always() -> bool:
    """In every step."""
    return True


@dataclass
class Phase:
    """One player's turn in a step: what it minimises, and when.

    The counters `turns` and `last` are part of every checkpoint.
    """

    player: str
    """The name of the player that moves, in `loop.players`."""
    objective: Objective
    """What it minimises."""
    prefix: str = ""
    """Of its terms in the statistics: `<prefix>/<term>`; by default the name of the phase."""
    due: Callable[[], bool] = always
    """Whether it is played in the present step; asked before the first phase of the step."""
    fakes: Literal["detached", "attached", "none"] = "none"
    """What `batch.fake` is: new samples without gradient, with the generator's graph, or not made at all."""
    penalised: bool = False
    """Whether the loss's and the parts' `penalties` are terms of it."""
    frozen: tuple[str, ...] | None = None
    """Players whose parameters get no gradient meanwhile; None: all others."""
    turns: int = field(default=0, compare=False)
    """How often it has been played."""
    last: int = field(default=0, compare=False)
    """The number of batches that had been shown when it was played last."""
    fresh_reals: bool = False
    """Whether its real samples are a batch of their own, `Batch.fresh`; the fakes are then made for its conditions."""


@dataclass
class Step:
    """One phase of one step, as parts see it."""

    phase: Phase
    """The phase that is played."""
    name: str
    """Its name: 'discriminator', 'generator' or that of a phase a variant has added."""
    player: Player
    """The player that moves: its parameters and its optimiser."""
    number: int
    """The number of the batch, from 0."""
    images: int
    """Real images shown so far, this batch included, over all processes."""
    images_since: int
    """Real images shown since this phase was played last, this batch included."""
    penalty_gain: int = 0
    """The weight of gradient penalties in this phase; 0 where they are not due."""
    critic: Critic | None = None
    """The critic of the phase, once it is made: `critic.real` and `critic.fake` are its scores."""
    terms: dict[str, Tensor] = field(default_factory=dict)
    """The terms so far, with their graph."""


class Part(nn.Module):
    """A part of the game beside its loss: augmentation, a regulariser, clipping, a controller.

    A step of the loop, with each method in its place:

        for phase in phases that are due:
            batch = real samples, and fakes where the phase wants them
            critic = the discriminator, which sees what parts' `shown` makes of samples
            critic = part.critic(critic, step)                              for each part
            terms = the loss's, its `penalties` and part.penalties(…) if due, part.terms(critic, batch, step)
            backward; average the gradients over all processes
            part.before_update(step)                                        for each part
            optimiser.step()
            part.after_update(step)                                         for each part
        update the average of the generator

    Every method is optional. Parameters and buffers of a part are in every checkpoint, and it runs in every process.
    Random numbers come from torch's global generators, which the run seeds before every step. Parts come from the hook
    `gankit_parts`: the variant's first, then those of extensions in the order of `--with`.
    """

    def shown(self, samples: Tensor, step: Step) -> Tensor:
        """What D sees of samples [N, *shape], real or fake: the same shape, differentiable (twice, for penalties)."""
        return samples

    def critic(self, critic: Critic, step: Step) -> Critic:
        """The critic of this phase, or a `CriticWrapper` around it."""
        return critic

    def penalties(self, critic: Critic, batch: Batch, step: Step) -> Terms:
        """Gradient penalties of the discriminator: terms that `--penalty-every` leaves out or weighs more."""
        return {}

    def terms(self, critic: Critic, batch: Batch, step: Step) -> Terms:
        """More terms for the player of this phase, each [N] or a scalar."""
        return {}

    def before_update(self, step: Step) -> None:
        """Gradients are there, averaged over all processes: clip or normalise them."""

    def after_update(self, step: Step) -> Mapping[str, Tensor]:
        """The player has moved: clip weights, move a controller; returns more statistics, 0-d tensors."""
        return {}


METHODS = ("shown", "critic", "penalties", "terms", "before_update", "after_update")


def overrides(part: Part, method: str) -> bool:
    """Whether a part takes part at this place."""
    return getattr(type(part), method) is not getattr(Part, method)
