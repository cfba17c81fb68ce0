"""R1 for any variant: the squared gradient of D's score at real samples is penalised (Mescheder et al., 2018).

With `at=fake` it is R2, with `at=both` both; with `at=between` the gradient is penalised on the segments between real
and fake samples (Thanh-Tung et al., 2019), which keeps D flat between the modes of the data too. `estimate=finite`
replaces the second derivative by finite differences (Adversarial Flow Models, 2025).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gankit.plugin import (
    Batch,
    Critic,
    ExtensionInfo,
    LinearCritic,
    Part,
    Step,
    TrainingLoop,
    Vector,
    between,
    finite_differences,
    hookimpl,
    leaf,
    option,
    scores_of,
    squared_gradients,
)
from gankit_extensions.scores import require_scores


@dataclass(frozen=True)
class Options:
    gamma: float = option(1.0, ge=0, help="weight: gamma/2 E|grad D(x)|^2; with --penalty-every k, k times that")
    at: Literal["real", "fake", "both", "between"] = option(
        "real", help="where: at real samples, at fake ones, at both, or at one uniform point between each two of them"
    )
    estimate: Literal["autograd", "finite"] = option(
        "autograd",
        help="the exact squared gradient, or its estimate by finite differences, without a second derivative",
    )
    sigma: float = option(
        0.01, ge=1e-3, le=0.1, schedule=False, help="standard deviation of the noise of estimate=finite"
    )
    share: float = option(
        1.0, gt=0, le=1, schedule=False, help="of the batch that is penalised, the first of it; the weight stays"
    )


class R1(Part):
    """The penalty as one more term of the discriminator."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    def penalties(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        n = max(1, round(self.options.share * len(batch.real)))
        condition = batch.condition[:n] if batch.condition is not None and critic.conditional else None
        points = self.points(batch.real[:n], batch.fake[:n])
        if condition is not None and len(points) > n:
            condition = condition.repeat(2, 1)
        if self.options.estimate == "finite":
            squares = finite_differences(critic, points, self.options.sigma, condition)
        else:
            squares = squared_gradients(scores_of(critic(points, condition)), points)
        squares = self.options.gamma / 2 * squares
        if self.options.at == "both":
            found = dict(zip(("r1-extension", "r2-extension"), squares.chunk(2), strict=True))
        else:
            found = {"r2-extension" if self.options.at == "fake" else "r1-extension": squares}
        # A term is one number for each sample, or their mean.
        return found if n == len(batch.real) else {name: term.mean() for name, term in found.items()}

    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        """Leaves [N, …], or [2N, …] where both are penalised, real ones first."""
        if self.options.at == "between":
            return between(real, fake)
        if self.options.at == "both":
            return leaf(torch.cat([real, fake]))
        return leaf(fake if self.options.at == "fake" else real)


class Extension:
    """Adds the penalty to games whose discriminator gives scores."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self, loop: TrainingLoop) -> Sequence[Part]:
        require_scores(loop, "r1", "penalises a score")
        return [R1(self.options)]

    @hookimpl
    def gankit_vectors(self) -> Sequence[Vector]:
        return [
            Vector(
                name="R1 and R2 of a linear critic, gamma 4",
                part=lambda: R1(Options(gamma=4.0, at="both")),
                critic=lambda: LinearCritic(3.0, 4.0),
                real=[[1.0, 2.0]],
                fake=[[0.0, 1.0]],
                expected={"d/r1-extension": 50.0, "d/r2-extension": 50.0},
                source="Mescheder et al., 2018, equations 9 and 10: gamma / 2 times 3^2 + 4^2",
            )
        ]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="R1", options=Options, make=Extension)
