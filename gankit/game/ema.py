"""Exponential moving average of the generator: the network that is sampled, evaluated and shared."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

RAMP_UP = 0.05  # the half-life never exceeds this share of the images seen, so that the start is forgotten


class Ema:
    """A frozen copy of a module in eval mode that follows it; parameters are averaged, buffers are copied."""

    def __init__(self, module: nn.Module, halflife_images: int) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        """The averaged copy."""
        self.halflife_images = halflife_images
        """Real images after which older weights count half; shorter at the start."""

    @torch.no_grad()
    def update(self, source: nn.Module, *, images: int, images_seen: int) -> None:
        """Move towards `source` after `images` more images; weights older than a half-life count less than half."""
        halflife = min(self.halflife_images, RAMP_UP * images_seen)
        decay = 0.5 ** (images / halflife) if halflife > 0 else 0.0
        averages: list[Tensor] = list(self.module.parameters())
        torch._foreach_lerp_(averages, list(source.parameters()), 1 - decay)  # one kernel for all parameters
        for own, theirs in zip(self.module.buffers(), source.buffers(), strict=True):
            own.copy_(theirs)
