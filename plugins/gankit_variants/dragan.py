"""DRAGAN: the original game, with the critic's gradient held near 1 around the real data (Kodali et al., 2017)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    LinearCritic,
    LogUniform,
    TrainConfig,
    VariantInfo,
    Vector,
    batch_std,
    gradient_penalty,
    hookimpl,
    leaf,
    option,
)
from gankit_variants.gan import GanLoss


@dataclass(frozen=True)
class Options:
    penalty: float = option(
        10.0,
        ge=0,
        help="lambda: weight of (||grad D|| - 1)^2",
        search={"wide": LogUniform(0.1, 100), "narrow": LogUniform(0.1, 10)},
    )
    noise: Literal["one-sided", "centred"] = option(
        "one-sided",
        help="one-sided: x + std/2 U[0, 1), the authors' code; centred: x + std U[-1/2, 1/2), within [-1, 1]",
    )


def perturb(real: Tensor, noise: str, u: Tensor, alpha: Tensor) -> Tensor:
    """x + alpha * noise: u [N, …] in [0, 1) per element, alpha [N, 1, …] in [0, 1) per sample.

    The standard deviation is that of all elements of the whole batch, as numpy's in the authors' notebook.
    """
    std = batch_std(real)
    if noise == "one-sided":
        return real + alpha * 0.5 * std * u
    moved = (real + std * (u - 0.5)).clamp(-1, 1) if real.ndim > 2 else real + std * (u - 0.5)
    return real + alpha * (moved - real)


class DraganLoss(GanLoss):
    """The non-saturating losses, and a two-sided penalty on the raw score near real samples only."""

    def __init__(self, penalty: float = 10.0, noise: str = "one-sided") -> None:
        super().__init__()
        self.penalty = penalty
        self.noise = noise

    def penalties(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real = batch.real
        alpha = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
        points = leaf(perturb(real, self.noise, torch.rand_like(real), alpha))
        return {"penalty": self.penalty * gradient_penalty(critic, points)}


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        capturable=True,
        scores="logits",
        title="DRAGAN",
        paper="https://arxiv.org/abs/1705.07215",
        options=Options,
        config=TrainConfig(),
    )


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return DraganLoss(options.penalty, options.noise)


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    critic = lambda: LinearCritic(3.0, 4.0)  # noqa: E731
    centred = lambda: DraganLoss(1.0, "centred")  # noqa: E731
    real, fake = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]
    return [
        Vector(
            name="one-sided noise", loss=DraganLoss, critic=critic, real=real, fake=fake, expected={"d/penalty": 160.0}
        ),
        Vector(name="centred noise", loss=centred, critic=critic, real=real, fake=fake, expected={"d/penalty": 16.0}),
    ]
