"""Exponential moving average of the generator: the network that is sampled, evaluated and shared."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gankit.settings.schedule import Number, Schedule

RAMP_UP = 0.05  # a constant half-life never exceeds this share of the images seen, so that the start is forgotten


class Ema:
    """A frozen copy of a module in eval mode that follows it: parameters are averaged, buffers are copied.

    Running statistics that are copied belong to the weights of the last steps, not to the average: `refresh` measures
    those of the averaged network.
    """

    def __init__(self, module: nn.Module, halflife_images: Number) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        """The averaged copy."""
        self.halflife = Schedule.parse(halflife_images)
        """Real images after which older weights count half. A constant one is shorter at the start; 0: no average."""

    @torch.no_grad()
    def update(self, source: nn.Module, *, images: int, images_seen: int, total: int | None = None) -> None:
        """Move towards `source` after `images` more images; weights older than a half-life count less than half."""
        decay = self.decay(images, images_seen, total)
        averages: list[Tensor] = list(self.module.parameters())
        torch._foreach_lerp_(averages, list(source.parameters()), 1 - decay)  # one kernel for all parameters
        for own, theirs in zip(self.module.buffers(), source.buffers(), strict=True):
            own.copy_(theirs)

    def decay(self, images: int, images_seen: int, total: int | None) -> float:
        """What is kept of the average in a step after `images` more images."""
        halflife = self.halflife.at(images_seen, total)
        if self.halflife.is_constant:
            halflife = min(halflife, RAMP_UP * images_seen)
        return 0.5 ** (images / halflife) if halflife > 0 else 0.0

    @property
    def has_running_statistics(self) -> bool:
        """Whether the network has batch norm, whose statistics belong to one set of weights."""
        return bool(_with_statistics(self.module))

    def refresh(self, inputs: Iterable[tuple[Tensor, ...]]) -> None:
        """Measure the running statistics of the averaged network on some batches of its inputs."""
        refresh_statistics(self.module, inputs)


@torch.no_grad()
def refresh_statistics(module: nn.Module, inputs: Iterable[tuple[Tensor, ...]]) -> None:
    """Measure the running statistics of a network, which is in eval mode, on some batches of its inputs.

    Afterwards they are the means over these batches, whatever the momentum of the layers: a function of the weights
    and of the inputs alone.
    """
    layers = _with_statistics(module)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
        layer.train()
    try:
        for batch in inputs:
            module(*batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()


def _with_statistics(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
    ]
