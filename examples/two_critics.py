"""Phases of its own: two critics, each trained on a batch of fakes of its own; G plays against their mean.

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
    Phase,
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
        given = () if condition is None else (condition,)
        if self.active is not None:
            return self.critics[self.active](samples, *given)
        return torch.stack([critic(samples, *given) for critic in self.critics]).mean(0)


class TwoCriticsLoss(AdversarialLoss):
    """The non-saturating game of the original GAN."""

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"real": softplus(-critic(batch.real)), "fake": softplus(critic(batch.fake))}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": softplus(-critic(batch.fake))}


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
    """The discriminator's phase twice, each time for one of the critics; then the generator's."""
    loop = TrainingLoop(networks, loss, config)

    def of_critic(number: int) -> Phase:
        def objective(critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
            networks.discriminator.active = number
            terms = loss.discriminator(critic, batch)
            networks.discriminator.active = None
            return terms

        return Phase("discriminator", objective, prefix=f"d{number}", fakes="detached", frozen=())

    loop.phases = {"critic 0": of_critic(0), "critic 1": of_critic(1), "generator": loop.phases["generator"]}
    return loop
