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
    Networks,
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


class ClippedLoop(TrainingLoop):
    """Algorithm 1 of the paper: step, then clip; so the generator meets a critic within its bounds."""

    def __init__(
        self, networks: Networks, loss: AdversarialLoss, config: TrainConfig, clip: float, warm_up: bool
    ) -> None:
        super().__init__(networks, loss, config)
        self.clip = clip
        self.warm_up = warm_up

    def d_steps(self) -> int:
        """The critic is brought close to its optimum at the start, and now and then later."""
        warming = self.warm_up and (self.g_steps < 25 or self.g_steps % 500 == 0)
        return 100 if warming else self.config.d_steps

    @torch.no_grad()
    def clip_weights(self) -> None:
        """All parameters of the critic, biases and gains included, into [-c, c]."""
        weights: list[Tensor] = list(self.players["discriminator"].values())
        torch._foreach_clamp_min_(weights, -self.clip)
        torch._foreach_clamp_max_(weights, self.clip)

    def d_step(self, real: Tensor, labels: Tensor | None, condition: Tensor | None) -> dict[str, Tensor]:
        stats = super().d_step(real, labels, condition)
        self.clip_weights()
        return stats


@hookimpl
def gankit_variant() -> VariantInfo:
    config = TrainConfig(batch=32, optimizer="rmsprop", d_lr=5e-5)
    return VariantInfo(
        api=1, capturable=True, title="WGAN", paper="https://arxiv.org/abs/1701.07875", options=Options, config=config
    )


@hookimpl
def gankit_loss() -> AdversarialLoss:
    return WassersteinLoss()


@hookimpl
def gankit_training_loop(
    networks: Networks, loss: AdversarialLoss, config: TrainConfig, options: Options
) -> TrainingLoop:
    return ClippedLoop(networks, loss, config, options.clip, options.warm_up)


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
