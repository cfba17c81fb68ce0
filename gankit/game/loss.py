"""The objective of a game: what each player minimises, as named terms over (critic, batch)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from gankit.contracts import Batch, CriticOutput
from gankit.errors import PluginError
from gankit.game import whole_batch
from gankit.game.critic import Critic

Terms = Mapping[str, Tensor] | Tensor
"""Named terms, each [N] or a scalar; or one such tensor, which is called 'loss'."""


def named(terms: Terms, where: Callable[..., object]) -> dict[str, Tensor]:
    """The terms by name; PluginError that names the function they come from for anything else."""
    if isinstance(terms, Tensor):
        return {"loss": terms}
    if isinstance(terms, Mapping):
        return dict(terms)
    code = getattr(where, "__code__", None)
    place = f"{Path(code.co_filename).name}:{code.co_firstlineno}, {code.co_qualname}," if code else str(where)
    raise PluginError(
        f"{place} gives {type(terms).__name__} for terms",
        hint="return a tensor, or a dict of named tensors, each [N] or a scalar",
    )


class AdversarialLoss(nn.Module, ABC):
    """Both players' losses. State kept in buffers (BEGAN's k, say) is part of every checkpoint.

    Each method returns terms, each [N] or a scalar, by name or as one tensor; the loop minimises the sum of their means
    and logs every term as `d/<name>` or `g/<name>`. Parameters of the loss, if it has any, train with the generator.
    """

    output = CriticOutput()
    """What the discriminator must give; the builder of that network is given it. Default: scores [N]."""
    boundary: float | None = None
    """The score at which D takes a sample for neither real nor fake: 0 for logits, 1/2 for LSGAN's codes 0 and 1.

    None where a single score says nothing (Wasserstein, relativistic and energy losses): what reads absolute scores, as
    ADA's controller does, refuses such a loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.logged: dict[str, Tensor] = {}
        """What `log` was given in this phase."""

    @abstractmethod
    def discriminator(self, critic: Critic, batch: Batch) -> Terms:
        """Terms the discriminator minimises; `batch.fake` carries no gradient."""

    @abstractmethod
    def generator(self, critic: Critic, batch: Batch) -> Terms:
        """Terms the generator minimises; the discriminator's parameters are frozen meanwhile."""

    def penalties(self, critic: Critic, batch: Batch) -> Terms:
        """Gradient penalties, more terms of the discriminator; a loss without them leaves this method alone.

        With `--penalty-every k` they are asked for in every k-th step of the discriminator only, and weighed k times.
        """
        return {}

    def log(self, name: str, value: Tensor) -> None:
        """Put a number into the statistics of this step; it is not minimised."""
        self.logged[name] = value.detach()

    @staticmethod
    def mean(values: Tensor) -> Tensor:
        """The mean of values [N] over the whole batch, that of other processes included; it carries no gradient.

        For state that depends on the batch (BEGAN's k): every process must come to the same one.
        """
        return whole_batch.mean(values)
