"""BiGAN: an encoder learns the inverse of the generator, because D judges pairs of a sample and its code.

Donahue et al., 2017 (https://arxiv.org/abs/1605.09782), eq. 3, with the non-saturating game of both sides: a third
network that moves with the generator, and a part that gives the critic codes. `reconstructions.png` in the run folder
has real images, and below each row what G makes of their codes.

gankit train --variant ./examples/bigan.py
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    CriticOutput,
    CriticWrapper,
    DataSpec,
    Discriminator,
    Part,
    PointDiscriminator,
    Run,
    Step,
    TrainConfig,
    TrainingLoop,
    VariantInfo,
    hookimpl,
)

FEATURES = 128  # what the encoder and D see in a sample


class PairLoss(AdversarialLoss):
    """D tells pairs (x, E(x)) from pairs (G(z), z); E and G want each to be taken for the other."""

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"real": softplus(-critic(batch.real)), "fake": softplus(critic(batch.fake))}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"real": softplus(critic(batch.real)), "fake": softplus(-critic(batch.fake))}


class PairDiscriminator(nn.Module):
    """Samples [N, *shape] and codes z [N, z_dim] -> scores [N]: features of a sample meet the code in a perceptron."""

    def __init__(self, data: DataSpec, z_dim: int, features: int = FEATURES) -> None:
        super().__init__()
        self.look = network(data, features)
        self.judge = PointDiscriminator(features + z_dim)

    def forward(self, samples: Tensor, z: Tensor) -> Tensor:
        scores: Tensor = self.judge(torch.cat([self.look(samples), z], dim=1))
        return scores


def network(data: DataSpec, numbers: int) -> nn.Module:
    """Samples [N, *shape] -> [N, numbers], numbers > 1: the core's discriminator with heads beside the score."""
    output = CriticOutput(heads=numbers - 1)
    return Discriminator(data.shape, output=output) if data.is_image else PointDiscriminator(*data.shape, output=output)


class PairCritic(CriticWrapper):
    """Gives D the code beside each sample: E(x) of a real one, the z that made a fake one."""

    def __init__(self, inner: Critic, loop: TrainingLoop) -> None:
        super().__init__(inner)
        self.loop = loop

    def __call__(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        if samples is self.batch.real:
            return self.inner(samples, self.loop.call(self.loop.networks.extra["encoder"], samples))
        return self.inner(samples, self.batch.z)


class Pairs(Part):
    """D judges pairs in every phase."""

    def __init__(self, loop: TrainingLoop) -> None:
        super().__init__()
        self.loop = loop

    def critic(self, critic: Critic, step: Step) -> Critic:
        return PairCritic(critic, self.loop)


@hookimpl
def gankit_variant() -> VariantInfo:
    note = "the discriminator is given codes, not labels"
    return VariantInfo(
        api=1,
        title="BiGAN",
        paper="https://arxiv.org/abs/1605.09782",
        config=TrainConfig(z_dim=16),
        scores="logits",
        conditional="no",
        conditional_note=note,
    )


@hookimpl
def gankit_discriminator(data: DataSpec, z_dim: int) -> nn.Module:
    """(samples, z) -> scores [N]."""
    return PairDiscriminator(data, z_dim)


@hookimpl
def gankit_loss() -> AdversarialLoss:
    return PairLoss()


@hookimpl
def gankit_parts(loop: TrainingLoop, data: DataSpec) -> Sequence[Part]:
    z_dim = loop.config.z_dim
    # Codes have mean 0 and variance 1, as z has: else E begins with one code for all samples, and stays there.
    last = [nn.LeakyReLU(0.2), nn.Linear(FEATURES, z_dim), nn.BatchNorm1d(z_dim, affine=False)]
    loop.add_network("generator", "encoder", nn.Sequential(network(data, FEATURES), *last))
    return [Pairs(loop)]


@hookimpl
def gankit_checkpoint(run: Run) -> None:
    """The picture of G(E(x)), beside each checkpoint."""
    if not run.data.is_image:
        return
    real = run.dataset.real(torch.arange(min(16, len(run.dataset)))).to(run.loop.device)
    encoder = run.loop.networks.extra["encoder"].eval()
    with torch.no_grad():
        again = run.loop.generator(encoder(real))
    encoder.train()
    run.save_picture("reconstructions.png", torch.cat([real, again]), columns=len(real))
