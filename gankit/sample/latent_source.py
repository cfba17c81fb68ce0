"""Samples of a generator by number."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gankit.game.latent import LatentSpace
from gankit.measure.features.extract import Source
from gankit.sample.generator import draw


def latent_source(module: nn.Module, space: LatentSpace, first: int, device: torch.device) -> Source:
    """Samples of a generator by number: sample i is that of latent seed `first + i`, as `gankit sample` makes it."""

    def source(start: int, stop: int) -> Tensor:
        samples = torch.from_numpy(draw(module, space.inputs(range(first + start, first + stop)), device))
        return samples.permute(0, 3, 1, 2) if samples.ndim == 4 else samples

    return source
