"""WGAN-GP: the critic's gradient is held near 1 between real and fake samples (Gulrajani et al., 2017)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    CriticOutput,
    DataSpec,
    Discriminator,
    LinearCritic,
    LogUniform,
    TrainConfig,
    VariantInfo,
    Vector,
    between,
    gradient_penalty,
    hookimpl,
    option,
)
from gankit_variants.wgan import WassersteinLoss


@dataclass(frozen=True)
class Options:
    penalty: float = option(
        10.0,
        ge=0,
        help="lambda: weight of (||grad D|| - 1)^2",
        search={"wide": LogUniform(0.1, 100), "narrow": LogUniform(0.1, 10)},
    )
    one_sided: bool = option(False, help="max(0, ||grad D|| - 1)^2: only gradients above 1 cost something (WGAN-LP)")
    norm: Literal["none", "layer"] = option(
        "none", help="normalisation in core's critic; batch norm would couple the samples whose gradients are penalised"
    )


class WassersteinGpLoss(WassersteinLoss):
    """Equation 3: per-sample norms at one uniform point per pair; no epsilon under the root."""

    def __init__(self, penalty: float = 10.0, one_sided: bool = False) -> None:
        super().__init__()
        self.penalty = penalty
        self.one_sided = one_sided

    def penalties(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        points = between(batch.real, batch.fake)
        return {"penalty": self.penalty * gradient_penalty(critic, points, one_sided=self.one_sided)}


@hookimpl
def gankit_variant() -> VariantInfo:
    config = TrainConfig(g_lr=5e-4, d_lr=5e-4, betas=(0.0, 0.9), d_steps=2)
    return VariantInfo(
        api=1,
        capturable=True,
        title="WGAN-GP",
        paper="https://arxiv.org/abs/1704.00028",
        options=Options,
        config=config,
    )


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return WassersteinGpLoss(options.penalty, options.one_sided)


@hookimpl
def gankit_discriminator(data: DataSpec, options: Options, output: CriticOutput) -> nn.Module | None:
    if options.norm == "none" or data.kind == "points":
        return None
    return Discriminator(data.shape, condition=data.condition, output=output, norm=options.norm)


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    linear, flat = lambda: LinearCritic(3.0, 4.0), lambda: LinearCritic(0.6, 0.8)
    zero = lambda: LinearCritic(0.0, 0.0)  # noqa: E731
    real, fake = [[1.0, 0.0]], [[0.0, 1.0]]
    gp = WassersteinGpLoss
    lp = lambda: WassersteinGpLoss(10.0, one_sided=True)  # noqa: E731
    return [
        Vector(name="w = (3, 4)", loss=gp, critic=linear, real=real, fake=fake, expected={"d": 161, "d/penalty": 160}),
        Vector(name="w = (0.6, 0.8)", loss=gp, critic=flat, real=real, fake=fake, expected={"d/penalty": 0}),
        Vector(name="w = 0", loss=gp, critic=zero, real=real, fake=fake, expected={"d/penalty": 10}),
        Vector(name="one-sided", loss=lp, critic=linear, real=real, fake=fake, expected={"d/penalty": 160}),
        Vector(name="one-sided, w = 0", loss=lp, critic=zero, real=real, fake=fake, expected={"d/penalty": 0}),
    ]
