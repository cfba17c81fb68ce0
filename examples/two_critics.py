"""A training loop of its own: two critics, each trained on a batch of fakes of its own; G plays against their mean.

gankit train --variant ./examples/two_critics.py
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    DataSpec,
    Discriminator,
    Networks,
    PointDiscriminator,
    TrainConfig,
    TrainingLoop,
    VariantInfo,
    hookimpl,
)


class Pair(nn.Module):
    """Samples [N, *shape] -> scores [N]: the mean of both critics, or those of the `active` one."""

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        kind, shape = (Discriminator, data.shape) if data.is_image else (PointDiscriminator, data.shape[0])
        self.critics = nn.ModuleList(kind(shape, condition=data.condition) for _ in range(2))
        self.active: int | None = None

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        told = () if condition is None else (condition,)
        if self.active is not None:
            return self.critics[self.active](samples, *told)
        return torch.stack([critic(samples, *told) for critic in self.critics]).mean(0)


class TwoCriticsLoss(AdversarialLoss):
    """The non-saturating game of the original GAN."""

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"real": softplus(-critic(batch.real)), "fake": softplus(critic(batch.fake))}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": softplus(-critic(batch.fake))}


class TwoCriticsLoop(TrainingLoop):
    """The discriminator's phase is played twice; everything else is the core's."""

    def d_step(self, real: Tensor, labels: Tensor | None, condition: Tensor | None) -> dict[str, Tensor]:
        pair, stats = self.networks.discriminator, {}
        for active in range(2):
            pair.active = active
            found = super().d_step(real, labels, condition)
            stats.update({f"{name}/{active}": value for name, value in found.items()})
        pair.active = None
        return stats


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(api=1, title="Two critics", scores="logits")


@hookimpl
def gankit_discriminator(data: DataSpec) -> nn.Module:
    return Pair(data)


@hookimpl
def gankit_loss() -> AdversarialLoss:
    return TwoCriticsLoss()


@hookimpl
def gankit_training_loop(networks: Networks, loss: AdversarialLoss, config: TrainConfig) -> TrainingLoop:
    return TwoCriticsLoop(networks, loss, config)
