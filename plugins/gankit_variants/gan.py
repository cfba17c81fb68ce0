"""The original GAN, non-saturating or minimax, with one-sided label smoothing (Goodfellow et al., 2014)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    CriticOutput,
    DataSpec,
    InputError,
    VariantInfo,
    Vector,
    hookimpl,
    option,
)


@dataclass(frozen=True)
class Options:
    objective: Literal["non-saturating", "minimax"] = option(
        "non-saturating", help="what the generator minimises: -log D(G(z)), or log(1 - D(G(z))) as in the minimax game"
    )
    label_smoothing: float = option(
        0.0, ge=0, lt=1, help="s: the real label becomes 1 - s; the fake label stays 0 (one-sided)"
    )
    networks: Literal["core", "original"] = option(
        "core", help="original: the paper's perceptrons, 1200-1200 units, and 240 x 5 maxout with dropout in D"
    )

    def __post_init__(self) -> None:
        s = self.label_smoothing
        if isinstance(s, float) and s > 0.5:  # a schedule and its live value are left alone
            raise InputError(
                f"label_smoothing={s:g}: the label of real samples would be {1 - s:.3g}",
                hint=f"s is taken away from 1; an article's label of {s:g} is -s label_smoothing={1 - s:.3g}",
            )


class GanLoss(AdversarialLoss):
    """Sigmoid cross-entropy on raw scores [N]: log D = logsigmoid(score), log(1 - D) = logsigmoid(-score)."""

    boundary = 0.0

    def __init__(self, objective: str = "non-saturating", label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.objective = objective
        self.label_smoothing = label_smoothing

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"real": self.real_term(critic(batch.real)), "fake": self.fake_term(critic(batch.fake))}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": self.generator_term(critic(batch.fake))}

    def real_term(self, scores: Tensor) -> Tensor:
        """Cross-entropy with the target 1 - s: -(1 - s) log D - s log(1 - D) = -log D + s * score."""
        return -logsigmoid(scores) + self.label_smoothing * scores

    def fake_term(self, scores: Tensor) -> Tensor:
        """-log(1 - D)."""
        return -logsigmoid(-scores)

    def generator_term(self, scores: Tensor) -> Tensor:
        """-log D, or log(1 - D) in the minimax game."""
        return logsigmoid(-scores) if self.objective == "minimax" else -logsigmoid(scores)


class Maxout(nn.Module):
    """x [N, inputs] -> [N, units]: the largest of `pieces` linear functions (Goodfellow et al., 2013)."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.shape = (units, pieces)

    def forward(self, x: Tensor) -> Tensor:
        largest: Tensor = self.linear(x).unflatten(1, self.shape).amax(2)
        return largest


class OriginalGenerator(nn.Sequential):
    """z [N, z_dim] -> images [N, C, H, W]; mnist.yaml of the authors' code, its sigmoid on [0, 1] a tanh on [-1, 1]."""

    def __init__(self, shape: tuple[int, ...], z_dim: int) -> None:
        pixels = math.prod(shape)
        hidden = [nn.Linear(z_dim, 1200), nn.ReLU(), nn.Linear(1200, 1200), nn.ReLU()]
        super().__init__(*hidden, nn.Linear(1200, pixels), nn.Tanh(), nn.Unflatten(1, shape))
        _uniform(self, 0.05)


class OriginalDiscriminator(nn.Sequential):
    """images [N, C, H, W] -> scores [N]; dropout keeps 0.8 of the inputs and 0.5 of the hidden units."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        hidden = [nn.Dropout(0.2), Maxout(math.prod(shape), 240, 5), nn.Dropout(0.5), Maxout(240, 240, 5)]
        super().__init__(nn.Flatten(), *hidden, nn.Dropout(0.5), nn.Linear(240, 1), nn.Flatten(0))
        _uniform(self, 0.005)


def _uniform(net: nn.Module, bound: float) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1, capturable=True, scores="logits", title="GAN", paper="https://arxiv.org/abs/1406.2661", options=Options
    )


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return GanLoss(options.objective, options.label_smoothing)


@hookimpl
def gankit_generator(data: DataSpec, z_dim: int, options: Options) -> nn.Module | None:
    return OriginalGenerator(_unconditional(data), z_dim) if options.networks == "original" else None


@hookimpl
def gankit_discriminator(data: DataSpec, options: Options, output: CriticOutput) -> nn.Module | None:
    return OriginalDiscriminator(_unconditional(data)) if options.networks == "original" else None


def bounded(data: DataSpec) -> tuple[int, ...]:
    """The shape of samples in [-1, 1]; InputError for points, which a tanh cannot reach."""
    if data.kind == "points":
        raise InputError("the original networks end in a tanh, and points are not bounded", hint="-s networks=core")
    return data.shape


def _unconditional(data: DataSpec) -> tuple[int, ...]:
    if data.condition:
        raise InputError("the original networks of the GAN are unconditional", hint="--variant cgan has such networks")
    return bounded(data)


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    real, fake = [2.0, 0.5, -1.0], [-1.5, 0.0, 1.0]
    minimax = lambda: GanLoss("minimax")  # noqa: E731
    smooth = lambda: GanLoss(label_smoothing=0.1)  # noqa: E731
    return [
        Vector(
            name="non-saturating",
            loss=GanLoss,
            real=real,
            fake=fake,
            expected={"d/real": 0.6380888942471007, "d/fake": 0.7359407153536401, "g": 0.902607382020307},
        ),
        Vector(name="minimax", loss=minimax, real=real, fake=fake, expected={"g": -0.7359407153536401}),
        Vector(name="smoothing 0.1", loss=smooth, real=real, fake=fake, expected={"d": 1.424029609600741}),
        Vector(
            name="equilibrium", loss=GanLoss, real=[0.0], fake=[0.0], expected={"d": 2 * math.log(2), "g": math.log(2)}
        ),
        Vector(name="far apart", loss=GanLoss, real=[-1000.0], fake=[1000.0], expected={"d": 2000.0, "g": 0.0}),
    ]
