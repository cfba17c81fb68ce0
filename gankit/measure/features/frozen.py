"""EfficientNet-Lite0 as a fixed part of a critic: differentiable in its images, without parameters and state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from gankit.errors import InputError
from gankit.measure.features.lite0 import MAPS, MAX_SIDE, MIN_SIDE, SIDE, WIDTH, load_network


class FrozenLite0(nn.Module):
    """Images [N, C, H, W] in [-1, 1], grey or RGB -> the features [N, 1280] of the space `lite0`, or its maps.

    The weights are those of the extra `lite0`, read anew wherever a run is built: they are in no checkpoint, no
    optimiser moves them, and batch norm stays in eval mode whatever `train` says. Gradients flow to the images. The
    network computes in float32 in a run in bf16 too: a rounded activation on the other side of one of its many kinks
    has another derivative.

    Raises InputError for a side outside of 32 to 320 pixels, ResourceError where the weights are missing or damaged.
    """

    feature_space = "lite0"
    """The space in which scores of this game are marked, because its critic knows it."""
    dim = WIDTH
    """Length of a feature vector."""
    channels = tuple(MAPS.values())
    """Channels of the four maps."""

    def __init__(self, side: int = SIDE) -> None:
        super().__init__()
        if not MIN_SIDE <= side <= MAX_SIDE:
            raise InputError(f"side={side}: lite0 takes images of {MIN_SIDE} to {MAX_SIDE} pixels", hint=f"side={SIDE}")
        self.side = side
        """Pixels of a side to which images are resized."""
        # In a list, so that what walks through the modules of a critic (optimisers, checkpoints, spectral
        # normalisation, synchronised batch norm) does not find it.
        self._network = [load_network()]

    def forward(self, images: Tensor) -> Tensor:
        """The averaged activations before the last layer, [N, 1280] and >= 0."""
        maps = self.maps(images)
        with torch.autocast(images.device.type, enabled=False):
            return self._network[0].pooled(maps[-1])

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps [N, channels, side / s, side / s] of the strides s = 4, 8, 16 and 32."""
        with torch.autocast(images.device.type, enabled=False):
            size = (self.side, self.side)
            x = images.to(torch.promote_types(images.dtype, torch.float32))
            x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
            grey_levels = 127.5 * (x.expand(-1, 3, -1, -1) + 1)
            return self._network[0].maps((grey_levels - 127) / 128)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._network[0]._apply(fn)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call,no-any-return]
