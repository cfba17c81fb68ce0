"""What the tests of variants and extensions share: scores worked out by hand, critics of functions, built loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gankit.contracts import Batch, DataSpec
from gankit.game.critic import Critic
from gankit.game.loop import TrainingLoop
from gankit.game.parts import Step
from gankit.machine.precision import Precision
from gankit.run.build import build_loop
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer

CPU = torch.device("cpu")
REAL = [2.0, 0.5, -1.0]  # scores of three real samples
FAKE = [-1.5, 0.0, 1.0]
MNIST = (1, 28, 28)


class Scores(nn.Module):
    """A discriminator from a function of samples."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, samples: Tensor) -> Tensor:
        return self.function(samples)


def critic_of(function: Callable[[Tensor], Tensor], batch: Batch, *, penalties_due: bool = False) -> Critic:
    """A critic that scores samples by a function or a network."""
    network = function if isinstance(function, nn.Module) else Scores(function)
    return Critic(network, batch, Precision("fp32", CPU), penalties_due=penalties_due)


def batch_of(real: Tensor, fake: Tensor) -> Batch:
    """A batch whose latent vectors nobody reads."""
    return Batch(real, fake, z=torch.zeros(len(real), 1))


def double(values: object) -> Tensor:
    """Numbers as float64."""
    return torch.tensor(values, dtype=torch.float64)


def loop_with(
    *extensions: str,
    variant: str = "gan",
    shape: tuple[int, ...] = (3, 16, 16),
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> TrainingLoop:
    """The loop of a variant with extensions, for batches of four."""
    given = {"variant": variant, "extensions": extensions, "batch": 4, "z_dim": 8, "precision": "fp32", **settings}
    return build_loop(plan_run([Layer("test", {**given, "options": options or {}})]), DataSpec(shape), CPU)


def step_of(loop: TrainingLoop, phase: str, *, images: int, images_since: int = 0) -> Step:
    """What parts are given in a phase after so many images."""
    played = loop.phases[phase]
    number = images // loop.config.batch - 1
    return Step(played, phase, loop.players[played.player], number, images, images_since)
