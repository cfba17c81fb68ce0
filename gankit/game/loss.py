"""The objective of a game: what each player minimises, as named terms over (critic, batch)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from gankit.contracts import Batch, CriticOutput
from gankit.machine import processes

Critic = Callable[[Tensor], Tensor]
"""The discriminator with everything else of the phase (labels, precision, augmentation) already bound.

Samples [N, …] -> whatever the discriminator returns; scores come in float32.
"""


class AdversarialLoss(nn.Module, ABC):
    """Both players' losses. State kept in buffers (BEGAN's k, say) is part of every checkpoint.

    Each method returns named terms, each [N] or a scalar; the loop minimises the sum of their means and logs every term
    as `d/<name>` or `g/<name>`. Parameters of the loss, if it has any, are trained with the generator.
    """

    output = CriticOutput()
    """What the discriminator must give; whoever builds that network is told. Default: scores [N]."""

    def __init__(self) -> None:
        super().__init__()
        self.logged: dict[str, Tensor] = {}
        """What `log` was given in this phase."""
        self.penalty_gain = 1
        """The factor of gradient penalties in this step of the discriminator.

        With `penalty_every` k it is k in every k-th step, so that their mean stays what it was, and 0 in the others,
        where nothing need be computed.
        """

    def log(self, name: str, value: Tensor) -> None:
        """Put a number beside the terms into the statistics of this step; nobody minimises it."""
        self.logged[name] = value.detach()

    @staticmethod
    def mean(values: Tensor) -> Tensor:
        """The mean of values [N] over the whole batch, that of other processes included; it carries no gradient.

        For state that depends on the batch (BEGAN's k): every process must come to the same one.
        """
        found = values.detach().mean()
        processes.average([found], "a value that the loss keeps")
        return found

    @abstractmethod
    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        """Terms the discriminator minimises; `batch.fake` carries no gradient."""

    @abstractmethod
    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        """Terms the generator minimises; the discriminator's parameters are frozen meanwhile."""
