"""A metric that keeps the vectors of both sets until it is computed."""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.measure.torchmetrics import Metric


class TwoSets(Metric):
    """Base of metrics that need every vector: a subclass computes its score from `sets()` in `compute`.

    Processes that synchronise get the union of their sets. The vectors are kept on the CPU.
    """

    is_differentiable = False
    """The scores have no gradient."""
    full_state_update = False
    """An update does not depend on the updates before it."""
    real: list[Tensor]
    """Vectors of the reference so far, one tensor per update."""
    fake: list[Tensor]
    """Vectors of the samples so far, one tensor per update."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("real", default=[], dist_reduce_fx="cat")
        self.add_state("fake", default=[], dist_reduce_fx="cat")

    def update(self, values: Tensor, real: bool) -> None:
        """Vectors [n, d]: features, logits or pixels of the real reference, or of the samples."""
        (self.real if real else self.fake).append(values.detach().cpu())

    def sets(self) -> tuple[Tensor, Tensor]:
        """The vectors of the reference and of the samples, each [n, d]."""
        real, fake = (torch.cat([*part]) if isinstance(part, list) else part for part in (self.real, self.fake))
        return real, fake
