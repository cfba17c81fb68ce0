"""What a feature space is: a fixed network that turns samples into vectors in which sets of samples are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from gankit.data import Dataset

Protocol = Mapping[str, str | int | float | bool]


class FeatureSpace(nn.Module):
    """A fixed network in eval mode, and everything needed to compute the same vectors elsewhere.

    Two scores are comparable only when all of it is equal.
    """

    published = False
    """Whether scores in this space are compared with those of papers: then no feature is rescaled."""

    def __init__(self, *, name: str, sha256: str, dim: int, protocol: Protocol) -> None:
        super().__init__()
        self.name = name
        """The network and its argument: 'lite0@96'."""
        self.sha256 = sha256
        """Which weights."""
        self.dim = dim
        """Length of a feature vector."""
        self.protocol = dict(protocol)
        """How samples are prepared (resize, …)."""

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 images [N, C, H, W] or float32 points [N, D] -> features [N, dim] and class logits [N, K] or None."""
        raise NotImplementedError


FeatureFactory = Callable[[Dataset, str], FeatureSpace]
"""(data set, what stands behind the @ in the name) -> the space. Called once per evaluation."""
