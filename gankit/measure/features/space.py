"""Feature spaces: fixed networks that turn samples into vectors, by which sets of samples are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from gankit.data import Dataset

Protocol = Mapping[str, str | int | float | bool]


class FeatureSpace(nn.Module):
    """A fixed network in eval mode, and everything that is needed to compute the same vectors elsewhere.

    Two scores are comparable only when all of it is equal.
    """

    published = False
    """Whether scores in this space are compared with those of papers; features are then never rescaled."""

    def __init__(self, *, name: str, sha256: str, dim: int, protocol: Protocol) -> None:
        super().__init__()
        self.name = name
        """Name of the network and its argument: 'lite0@96'."""
        self.sha256 = sha256
        """Hash of the weights in hex."""
        self.dim = dim
        """Length of a feature vector."""
        self.protocol = dict(protocol)
        """The preparation of samples: resize, …"""

    @property
    def feature_space(self) -> str:
        """The name without its argument: 'lite0'. Scores of a game whose critic holds this space are marked in it."""
        return self.name.partition("@")[0]

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """Stored samples (uint8 images [N, C, H, W]) -> features [N, dim] and class logits [N, K] or None."""
        raise NotImplementedError


FeatureFactory = Callable[[Dataset, str], FeatureSpace]
"""(data set, argument after the @ in the name) -> the space. Called once per evaluation."""


def known_to_the_critic(space: str) -> str:
    """What is said wherever something is measured in the space on which the critic of a generator was built."""
    return f"the critic of these samples was built on '{space}': what it measures of them is too good to be compared"
