"""BEGAN: the discriminator is an auto-encoder, its losses are kept in balance by k (Berthelot et al., 2017)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Choice,
    Critic,
    CriticOutput,
    LogUniform,
    Part,
    Step,
    TrainConfig,
    TrainingLoop,
    Uniform,
    VariantInfo,
    Vector,
    hookimpl,
    option,
)


@dataclass(frozen=True)
class Options:
    gamma: float = option(
        1.0,
        ge=0,
        le=1,
        help="diversity ratio L(G(z)) / L(x) that is held; less of it is sharper and less diverse",
        search={"wide": Uniform(0, 1), "narrow": Uniform(0.6, 0.9)},
    )
    lambda_k: float = option(
        0.1,
        gt=0,
        help="step of the control of k",
        search={"wide": LogUniform(1e-4, 1e-2), "narrow": Choice((1e-3,))},
    )
    code: int = option(64, ge=1, le=4096, help="numbers in the auto-encoder's code; fewer see less")
    patience_images: int = option(
        50_000, ge=0, help="both learning rates are halved when M has not improved for so many images; 0: never"
    )


class BeganLoss(AdversarialLoss):
    """Section 3.4 of the paper with L(v) = mean |AE(v) - v|; `k` in [0, 1] and `convergence` (M) are its state."""

    k: Tensor
    real: Tensor
    convergence: Tensor

    def __init__(self, gamma: float, lambda_k: float, code: int = 64) -> None:
        super().__init__()
        self.output = CriticOutput(code=code)
        self.gamma, self.lambda_k = gamma, lambda_k
        for name in ("k", "real", "convergence"):
            self.register_buffer(name, torch.zeros(()))

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = (reconstruction_error(critic, samples) for samples in (batch.real, batch.fake))
        self.real.copy_(self.mean(real))
        return {"real": real, "fake": -self.k.clone() * fake}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        fake = reconstruction_error(critic, batch.fake)  # the gradient flows through both ends of the difference
        balance = self.gamma * self.real - self.mean(fake)
        self.k.add_(self.lambda_k * balance).clamp_(0, 1)
        self.convergence.copy_(self.real + balance.abs())
        self.log("k", self.k.clone())
        self.log("convergence", self.convergence.clone())
        return {"fake": fake}


def reconstruction_error(critic: Critic, samples: Tensor) -> Tensor:
    """L(v) [N]: mean over the pixels of |AE(v) - v|."""
    return (critic(samples) - samples).abs().flatten(1).mean(1)


class Patience(Part):
    """Halves the learning rates of both players when the convergence measure M stalls (section 3.4.1)."""

    WINDOWS = 5  # in each of which the mean of M is compared with the best one so far, within the patience

    total: Tensor
    count: Tensor
    best: Tensor
    stalled: Tensor

    def __init__(self, loop: TrainingLoop, loss: BeganLoss, patience_images: int) -> None:
        super().__init__()
        self.players, self.loss = loop.players, [loss]  # in a list, for it is no module of this part
        batch = loop.config.batch
        self.window = batch * max(1, patience_images // (self.WINDOWS * batch))  # in images
        self.register_buffer("total", torch.zeros(()))  # of M in the open window
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("best", torch.tensor(1e30))
        self.register_buffer("stalled", torch.zeros(()))  # windows since the best one

    def after_update(self, step: Step) -> Mapping[str, Tensor]:
        if step.phase.player == "generator":
            self.total += self.loss[0].convergence
            self.count += 1
            if step.images // self.window > (step.images - step.images_since) // self.window:
                self._close_window()  # waits for the device, once in thousands of images
        return {}

    def _close_window(self) -> None:
        mean = self.total / self.count
        better = bool(mean < 0.99 * self.best)
        self.best.copy_(mean if better else self.best)
        self.stalled.copy_(torch.zeros(()) if better else self.stalled + 1)
        self.total.zero_()
        self.count.zero_()
        if self.stalled >= self.WINDOWS:
            self.stalled.zero_()
            for player in self.players.values():
                player.scale_lr(0.5)


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        title="BEGAN",
        paper="https://arxiv.org/abs/1703.10717",
        options=Options,
        config=TrainConfig(z_prior="uniform", d_lr=5e-5),
        conditional="no",
        conditional_note="its score is how well a sample is reconstructed, whatever the class",
    )


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return BeganLoss(options.gamma, options.lambda_k, options.code)


@hookimpl
def gankit_parts(loop: TrainingLoop, options: Options) -> Sequence[Part]:
    assert isinstance(loop.loss, BeganLoss)
    return [Patience(loop, loop.loss, options.patience_images)] if options.patience_images else []


class _Zero(nn.Module):
    """AE(v) = 0, so that L(v) = |v|."""

    def forward(self, v: Tensor) -> Tensor:
        return 0 * v


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    def case(
        name: str, errors: tuple[float, float], k: float, gamma: float, step: float, expected: dict[str, float]
    ) -> Vector:
        return Vector(
            name=name,
            loss=lambda: BeganLoss(gamma, step),
            critic=_Zero,
            real=[[errors[0]]],
            fake=[[errors[1]]],
            state={"k": k},
            expected=expected,
        )

    k, m = "state/k", "state/convergence"
    return [
        case("k grows", (0.4, 0.1), 0.2, 0.75, 1e-3, {"d": 0.38, "g": 0.1, k: 0.2002, m: 0.6}),
        case("k stops at 0", (0.375, 0.2), 0.0, 0.5, 1e-3, {"d": 0.375, "g": 0.2, k: 0.0, m: 0.3875}),
        case("k stops at 1", (0.5, 0.05), 0.9999, 1.0, 1.0, {"d": 0.450005, "g": 0.05, k: 1.0, m: 0.95}),
        case("in balance", (0.3, 0.15), 0.4, 0.5, 1e-3, {"d": 0.24, "g": 0.15, k: 0.4, m: 0.3}),
    ]
