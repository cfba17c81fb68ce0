"""Instance noise: Gaussian noise on what D sees, real and fake, that fades (Sønderby et al., 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.plugin import ExtensionInfo, Part, Schedule, Step, hookimpl, option


@dataclass(frozen=True)
class Options:
    sigma: float = option(
        Schedule.parse("linear(0.1, 0, 100k)"), ge=0, help="standard deviation; images lie in [-1, 1]"
    )


class Noise(Part):
    """x + sigma N(0, I)."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def shown(self, samples: Tensor, step: Step) -> Tensor:
        return samples + self.sigma * torch.randn_like(samples)


class Extension:
    """Adds the noise to the game."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self) -> Sequence[Part]:
        return [Noise(self.options.sigma)]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="Instance noise", options=Options, make=Extension)
