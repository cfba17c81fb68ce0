"""Gaussian noise on the gradients of both players, which fades by default (Neelakantan et al., 2015)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gankit.plugin import ExtensionInfo, Part, Schedule, Step, hookimpl, option


@dataclass(frozen=True)
class Options:
    sigma: float = option(
        Schedule.parse("linear(0.01, 0, 50%)"), ge=0, help="standard deviation; a number, or a schedule"
    )


class GradientNoise(Part):
    """Every process adds the same noise, for its random numbers are drawn from the number of the step alone."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def before_update(self, step: Step) -> None:
        draws = torch.Generator().manual_seed(2 * step.number + (step.name == "generator"))
        for parameter in step.player.parameters.values():
            if parameter.grad is not None:
                noise = torch.randn(parameter.shape, generator=draws)
                parameter.grad += self.sigma * noise.to(parameter.device)


class Extension:
    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self) -> Sequence[Part]:
        return [GradientNoise(self.options.sigma)]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="Gradient noise", options=Options, make=Extension)
