"""Instance noise: Gaussian noise on what D sees, real and fake, that fades (Sønderby et al., 2017)."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gankit.plugin import ExtensionInfo, TrainingLoop, hookimpl, option


@dataclass(frozen=True)
class Options:
    sigma: float = option(0.1, ge=0, help="standard deviation at the beginning; images lie in [-1, 1]")
    images: int = option(100_000, ge=0, help="shown to D while it falls linearly to 0; 0: it stays")


class Noise(nn.Module):
    """x + sigma N(0, I); sigma is a function of the images seen."""

    def __init__(self, sigma: Callable[[], float]) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, samples: Tensor) -> Tensor:
        sigma = self.sigma()
        return samples + sigma * torch.randn_like(samples) if sigma else samples


class InstanceNoise:
    """Adds the noise to the training loop."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl(wrapper=True)
    def gankit_training_loop(self) -> Generator[None, TrainingLoop, TrainingLoop]:
        loop = yield
        sigma, images = self.options.sigma, self.options.images

        def now() -> float:
            seen = loop.steps * loop.config.batch
            return sigma * max(0.0, 1 - seen / images) if images else sigma

        loop.add_augmentation("instance-noise", Noise(now))
        return loop


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="Instance noise", options=Options, make=InstanceNoise)
