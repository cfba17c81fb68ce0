"""Signals [N, C, T]: sound, series of measurements. Drawn as curves over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from PIL import Image, ImageDraw
from torch import Tensor

from gankit.base.text import plural
from gankit.contracts import DataSpec
from gankit.modality.images import sheet
from gankit.modality.modality import Array, Convolutional

WIDTH, HEIGHT = 120, 56  # pixels of a curve
FINE = 2  # curves are drawn so many times larger
COLOURS = ("#1f6fb4", "#d64541", "#2e8b57", "#8e44ad", "#d98200", "#555555")
THUMBNAIL = 128  # steps


class Signals(Convolutional):
    """float32 [N, C, T] in [-1, 1]; `DataSpec.units` are the values of the source that became -1 and 1."""

    name = "signals"
    one = "signal"
    rank = 2
    dtype = torch.float32
    layouts = "[N, T, C] or [N, C, T] (or [N, T] with --kind signals)"

    def problem(self, shape: tuple[int, ...]) -> str | None:
        return None if min(shape) >= 1 else "a signal has no step"

    def describe(self, data: DataSpec) -> str:
        channels, steps = data.shape
        seconds = f", {steps / data.rate:.3g} s at {data.rate:,} Hz" if data.rate else ""
        return f"{plural(steps, 'step')}, {plural(channels, 'channel')}{seconds}"

    def floats(self, samples: Tensor) -> Tensor:
        """Unchanged: they are stored in [-1, 1]."""
        return samples

    def stored(self, samples: Tensor) -> Tensor:
        """Clamped to [-1, 1]."""
        return samples.clamp(-1, 1)

    def units(self, samples: Tensor, data: DataSpec) -> Tensor:
        """float32 [N, T, C] in the units of the source."""
        low, high = data.units
        return super().units(samples.add(1).mul_((high - low) / 2).add_(low), data)

    def of_array(self, array: Array, data: DataSpec) -> Tensor:
        low, high = data.units
        return super().of_array(((array - low) * (2 / (high - low)) - 1).astype(np.float32), data)

    def picture(
        self,
        samples: Tensor,
        *,
        real: Tensor | None = None,
        columns: int | None = None,
        captions: Sequence[str] = (),
    ) -> Image.Image:
        return sheet([curves(signal.nan_to_num(0)) for signal in samples], columns, captions)

    def thumbnails(self, samples: Tensor) -> Tensor:
        small = F.adaptive_avg_pool1d(samples, min(samples.shape[2], THUMBNAIL))
        return small.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8).flatten(1)


def curves(signal: Tensor) -> Image.Image:
    """[C, T] in [-1, 1] -> its channels over time, one colour each; where steps share a pixel, all they reach."""
    width, height = WIDTH * FINE, HEIGHT * FINE
    image = Image.new("RGB", (width, height), "#f4f4f4")
    draw = ImageDraw.Draw(image)
    draw.line((0, height / 2, width, height / 2), fill="#d0d0d0", width=1)
    across = min(width, signal.shape[1])
    for channel, color in reversed(list(zip(signal, COLOURS, strict=False))):
        highest, lowest = (
            F.adaptive_max_pool1d(channel[None], across)[0],
            -F.adaptive_max_pool1d(-channel[None], across)[0],
        )
        xs = np.linspace(0, width - 1, across)
        tops, bottoms = ((1 - values.numpy()) / 2 * (height - 1) for values in (highest, lowest))
        # One line through the upper and the lower end of every column: an envelope of sound, a curve of slow series.
        path = [point for x, a, b in zip(xs, tops, bottoms, strict=True) for point in ((x, a), (x, b))]
        draw.line(path, fill=color, width=FINE)
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
