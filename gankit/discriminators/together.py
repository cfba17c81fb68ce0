"""Several discriminators as one, and the matching of what they see."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from gankit.discriminators.layers import alike
from gankit.game.critic import frozen


class Several(nn.Module):
    """Different discriminators of the same samples, side by side: -> [N, number, positions], all counting alike."""

    def __init__(self, *each: nn.Module) -> None:
        super().__init__()
        self.each = nn.ModuleList(each)

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations of all of them."""
        return [found for one in self.each for found in one.features(samples)]  # type: ignore[operator]

    def forward(self, samples: Tensor) -> Tensor:
        """Samples [N, C, …] -> scores [N, number, positions]."""
        return alike([one(samples).flatten(1) for one in self.each])


def feature_matching(discriminator: nn.Module, fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of the activations for fake and real samples that belong together, a scalar.

    The mean over layers of means over numbers (Wang et al. 2018, eq. 4). D gets no gradient; `fake` does.
    """
    with frozen(discriminator.parameters()):
        with torch.no_grad():
            wanted = discriminator.features(real)  # type: ignore[operator]
        found = discriminator.features(fake)  # type: ignore[operator]
    return torch.stack([F.l1_loss(a, b) for a, b in zip(found, wanted, strict=True)]).mean()
