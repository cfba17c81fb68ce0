"""CycleGAN on points: two domains without pairs, a translator and a critic for each (https://arxiv.org/abs/1703.10593).

Zhu et al., 2017: four networks with an optimiser each, and two real batches a step. The data set `two-domains` of this
file has points b of one domain as samples, and beside each a point a of the other as its condition: the generator is
the translator G(a), and the inverse F(b) another player. `gankit sample` translates.

gankit train --variant ./examples/cycle_gan.py --data two-domains --images 200k
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    CriticOutput,
    Dataset,
    DatasetFactory,
    DataSpec,
    InputError,
    Networks,
    Phase,
    PointDiscriminator,
    PointGenerator,
    TrainConfig,
    TrainingLoop,
    VariantInfo,
    hookimpl,
    option,
)


@dataclass(frozen=True)
class Options:
    cycle: float = option(10.0, ge=0, help="weight of |F(G(a)) - a| and |G(F(b)) - b|")


class Translator(nn.Module):
    """Points [N, D] of one domain -> points [N, D] of the other. As the generator it is called with (z, a)."""

    def __init__(self, dim: int, condition: int) -> None:
        super().__init__()
        self.layers = PointGenerator(dim, condition)

    def forward(self, z: Tensor, points: Tensor | None = None) -> Tensor:
        translated: Tensor = self.layers(z if points is None else points)
        return translated


class LeastSquares(AdversarialLoss):
    """The paper's game on the domain of the samples; D is not given the condition."""

    output = CriticOutput(condition="none")
    boundary = 0.5

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return judged(critic(batch.real), critic(batch.fake))

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": (critic(batch.fake) - 1).square()}


def judged(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """What a critic minimises."""
    return {"real": (real - 1).square(), "fake": fake.square()}


class Game:
    """The objectives of both translators, and of the critic of the other domain."""

    def __init__(self, loop: TrainingLoop, options: Options) -> None:
        self.loop, self.options = loop, options

    def inverse(self, points: Tensor) -> Tensor:
        """F(b) [N, D]."""
        return self.loop.call(self.loop.networks.extra["inverse"], points)

    def judge(self, points: Tensor) -> Tensor:
        """Scores [N] of the other domain's critic."""
        return self.loop.call(self.loop.networks.extra["inverse_critic"], points)

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {**self.loop.loss.generator(critic, batch), **self.cycles(batch)}

    def translate_back(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": (self.judge(self.inverse(batch.real)) - 1).square(), **self.cycles(batch)}

    def judge_back(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        with torch.no_grad():
            fake = self.inverse(batch.real)
        return judged(self.judge(batch.condition), self.judge(fake))

    def cycles(self, batch: Batch) -> dict[str, Tensor]:
        """Equation 2: both ways there and back."""
        there = (self.inverse(batch.fake) - batch.condition).abs().mean(1)
        back = (self.loop.generate(batch.z, self.inverse(batch.real)) - batch.real).abs().mean(1)
        return {"cycle_a": self.options.cycle * there, "cycle_b": self.options.cycle * back}


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        title="CycleGAN",
        paper="https://arxiv.org/abs/1703.10593",
        options=Options,
        config=TrainConfig(conditional=True, g_lr="linear(1e-3, 0, 50%-100%)", d_lr="linear(1e-3, 0, 50%-100%)"),
        conditional="required",
        conditional_note="the condition is the point to translate",
    )


@hookimpl
def gankit_datasets() -> Mapping[str, DatasetFactory]:
    return {"two-domains": two_domains}


def two_domains() -> Dataset:
    """4,000 points of two half moons, and as conditions the same moons turned by a right angle, in another order."""
    draws = np.random.default_rng(0)
    angle = draws.uniform(0, np.pi, 4_000)
    upper = draws.random(4_000) < 0.5
    moons = np.where(upper[:, None], [0.5, -0.25], [-0.5, 0.25]) + np.where(upper, -1, 1)[:, None] * np.stack(
        [np.cos(angle), -np.sin(angle)], axis=1
    )
    points = (moons + 0.05 * draws.normal(size=moons.shape)).astype(np.float32)
    turned = draws.permutation(points) @ np.array([[0, 1], [-1, 0]], np.float32)
    return Dataset.from_arrays("two-domains", points, conditions=turned)


@hookimpl
def gankit_generator(data: DataSpec) -> nn.Module:
    if data.is_image:
        raise InputError("this CycleGAN translates points", hint="--data two-domains")
    return Translator(data.shape[0], data.condition)


@hookimpl
def gankit_loss() -> AdversarialLoss:
    return LeastSquares()


@hookimpl
def gankit_training_loop(
    networks: Networks, loss: AdversarialLoss, config: TrainConfig, options: Options, data: DataSpec
) -> TrainingLoop:
    loop = TrainingLoop(networks, loss, config)
    loop.add_player("inverse", {"inverse": Translator(data.condition, data.shape[0])})
    loop.add_player("inverse critic", {"inverse_critic": PointDiscriminator(data.condition)}, lr=config.d_lr)
    game = Game(loop, options)
    loop.phases["inverse critic"] = Phase("inverse critic", game.judge_back)
    loop.phases["generator"].objective = game.generator
    loop.phases["inverse"] = Phase("inverse", game.translate_back, fakes="attached")
    return loop
