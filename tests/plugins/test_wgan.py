"""WGAN: what is clipped, when, and the authors' schedule of critic steps."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from gankit.contracts import Batch
from gankit.game.critic import Critic
from gankit.game.game import Networks
from gankit.game.loop import TrainingLoop
from gankit.game.parts import Part, Step
from gankit.settings.config import TrainConfig
from gankit_variants import wgan


class Line(nn.Module):
    """D(x) = a + b x for points [N, 1]; far outside the clipping at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor([0.5])), nn.Parameter(torch.tensor([-0.02, 0.003, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.a + x[:, 0] * self.b.sum()


def clipped_loop(*, warm_up: bool = False, **settings: object) -> TrainingLoop:
    torch.manual_seed(0)
    config = TrainConfig(batch=4, z_dim=4, **settings)
    loop = TrainingLoop(Networks(nn.Linear(4, 1), Line()), wgan.WassersteinLoss(), config)
    (clip,) = wgan.gankit_parts(loop, wgan.Options(warm_up=warm_up))
    loop.add_part("clip", clip)
    return loop


def test_clipping_clamps_every_parameter_of_the_critic() -> None:
    loop = clipped_loop(d_lr=0.0)
    generator = [parameter.clone() for parameter in loop.networks.generator.parameters()]
    loop.networks.generator.requires_grad_(False)
    loop.play("discriminator", Batch(torch.zeros(4, 1)))
    discriminator = loop.networks.discriminator
    assert isinstance(discriminator, Line)
    assert discriminator.a.tolist() == pytest.approx([0.01])
    assert discriminator.b.tolist() == pytest.approx([-0.01, 0.003, 0.0])
    assert all(map(torch.equal, generator, loop.networks.generator.parameters()))


class LargestWeight(Part):
    """Remembers the largest weight of the critic whenever a phase begins."""

    def __init__(self, loop: TrainingLoop) -> None:
        super().__init__()
        self.weights = list(loop.players["discriminator"].parameters.values())
        self.found: list[float] = []

    def terms(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        if step.name == "generator":
            self.found.append(max(float(weight.detach().abs().max()) for weight in self.weights))
        return {}


def test_the_generator_meets_a_clipped_critic() -> None:
    loop = clipped_loop(optimizer="rmsprop", d_lr=0.5)  # one step leaves the bounds by far
    largest = LargestWeight(loop)
    loop.add_part("largest", largest)
    for _ in range(3):
        loop.step(Batch(torch.randn(4, 1)))
    assert largest.found == pytest.approx([0.01] * 3)


def test_the_warm_up_is_that_of_the_authors() -> None:
    """100 steps of the critic before each of the first 25 of the generator, and before each 500th."""
    loop = clipped_loop(warm_up=True, d_steps=5)
    generator = loop.phases["generator"]

    def moves(steps: int, turns: int) -> list[int]:
        generator.turns, generator.last = turns, loop.steps
        return [step for step in range(steps) if "g/fake" in loop.step(Batch(torch.zeros(4, 1)))]

    assert moves(12, turns=25) == [4, 9]
    assert moves(211, turns=23) == [99, 199, 204, 209]
    assert moves(106, turns=500) == [99, 104]
