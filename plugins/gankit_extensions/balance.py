"""Balance: the gradient that G gets from D is divided by its own running norm (Adversarial Flow Models, 2025).

A term that does not pass D (a transport cost, a reconstruction) then weighs the same however steep D is, at every size
of image and all through the run. Terms that come through D (InfoGAN's codes, ACGAN's class) are scaled with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gankit.plugin import ExtensionInfo, Part, Step, TrainingLoop, batch_mean, hookimpl, option
from gankit_extensions.scores import require_scores


@dataclass(frozen=True)
class Options:
    decay: float = option(0.9, ge=0, lt=1, schedule=False, help="of the running mean of squared norms, per step of G")
    norm: float = option(1.0, gt=0, help="of the gradient of one sample's loss at G's output, root mean square")


class Balance(Part):
    """In the generator's phase: dL/dx * norm / sqrt(running mean of |dL_i/dx_i|^2), where x is what D is shown.

    L_i is the loss of sample i, whose mean over the batch is minimised. The running mean includes the present batch of
    all processes. It is a sum with a weight of its own, so that the first batches count in full.
    """

    squares: Tensor
    counted: Tensor

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("squares", torch.zeros(()))
        self.register_buffer("counted", torch.zeros(()))

    def shown(self, samples: Tensor, step: Step) -> Tensor:
        if step.phase.player != "generator" or not samples.requires_grad:
            return samples
        scale = step.player.scaler.scale(torch.ones((), device=samples.device))  # 1 but for fp16
        assert isinstance(scale, Tensor)
        balanced: Tensor = _Balanced.apply(samples, scale, self)  # type: ignore[no-untyped-call]
        return balanced

    def balance(self, gradient: Tensor, scale: Tensor) -> Tensor:
        """The gradient [N, …] of the scaled mean loss -> what G is given in its place."""
        n = len(gradient)
        squares = (n * gradient.float() / scale).flatten(1).square().sum(1)
        mean = batch_mean(squares)
        # fp16 overflows now and then, and such a step is not made: it must not stay in the running mean either.
        grows = torch.where(mean.isfinite(), 1 - self.options.decay, 0.0)
        self.squares.lerp_(mean.nan_to_num(0, 0, 0), grows)
        self.counted.lerp_(torch.ones_like(self.counted), grows)
        rms = (self.squares / self.counted.clamp(min=1e-12)).sqrt()
        return gradient * (self.options.norm / rms.clamp(min=1e-12)).to(gradient.dtype)

    def after_update(self, step: Step) -> Mapping[str, Tensor]:
        if step.phase.player != "generator":
            return {}
        return {"balance/norm": (self.squares / self.counted.clamp(min=1e-12)).sqrt()}


class _Balanced(torch.autograd.Function):
    """The identity, whose gradient a part balances."""

    @staticmethod
    def forward(ctx: Any, samples: Tensor, scale: Tensor, part: Balance) -> Tensor:
        ctx.scale, ctx.part = scale, part
        return samples.view_as(samples)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.part.balance(gradient, ctx.scale), None, None


class Extension:
    """Adds the part to games whose discriminator judges what it is shown."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self, loop: TrainingLoop) -> Sequence[Part]:
        require_scores(loop, "balance", "divides the gradient of scores")
        return [Balance(self.options)]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="Balance", options=Options, make=Extension)
