"""Wasserstein GAN: the critic's weights are clipped, its mean scores compared (Arjovsky et al., 2017)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    LogUniform,
    Part,
    Step,
    TrainConfig,
    TrainingLoop,
    VariantInfo,
    Vector,
    hookimpl,
    option,
)


@dataclass(frozen=True)
class Options:
    clip: float = option(
        0.01,
        gt=0,
        help="c: after each of its steps every weight of the critic is clamped to [-c, c]",
        search={"wide": LogUniform(1e-3, 1), "narrow": LogUniform(1e-2, 1)},
    )
    warm_up: bool = option(
        False,
        help="the authors' schedule: 100 critic steps before each of the first 25 generator steps and each 500th",
    )


class WassersteinLoss(AdversarialLoss):
    """Equations 2 and 3 of the paper: no sigmoid, no logarithm. `wasserstein` estimates the distance up to a factor."""

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = critic(batch.real), critic(batch.fake)
        self.log("wasserstein", real.mean() - fake.mean())
        return {"real": -real, "fake": fake}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": -critic(batch.fake)}


class Clip(Part):
    """Algorithm 1 of the paper: step, then clip; so the generator meets a critic within its bounds."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.bound = bound

    @torch.no_grad()
    def after_update(self, step: Step) -> Mapping[str, Tensor]:
        """All parameters of the critic, biases and gains included, into [-c, c]."""
        if step.phase.player == "discriminator":
            weights: list[Tensor] = list(step.player.parameters.values())
            if isinstance(self.bound, Tensor):  # it follows a schedule
                for weight in weights:
                    weight.clamp_(-self.bound, self.bound)
            else:
                torch._foreach_clamp_min_(weights, -self.bound)
                torch._foreach_clamp_max_(weights, self.bound)
        return {}


def warm_up(loop: TrainingLoop) -> int:
    """The authors' schedule of critic steps: the critic is brought close to its optimum first, and now and then."""
    turns = loop.phases["generator"].turns
    return 100 if turns < 25 or turns % 500 == 0 else loop.config.d_steps


@hookimpl
def gankit_variant() -> VariantInfo:
    config = TrainConfig(optimizer="rmsprop", g_lr=5e-4, d_lr=5e-5)
    return VariantInfo(
        api=1, capturable=True, title="WGAN", paper="https://arxiv.org/abs/1701.07875", options=Options, config=config
    )


@hookimpl
def gankit_loss() -> AdversarialLoss:
    return WassersteinLoss()


@hookimpl
def gankit_parts(loop: TrainingLoop, options: Options) -> Sequence[Part]:
    if options.warm_up:
        loop.d_steps = lambda: warm_up(loop)
    return [Clip(options.clip)]


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    return [
        Vector(
            name="Wasserstein",
            loss=WassersteinLoss,
            real=[2.0, 0.5, -1.0],
            fake=[-1.5, 0.0, 1.0],
            expected={"d": -2 / 3, "g": 1 / 6, "wasserstein": 2 / 3},
        )
    ]
