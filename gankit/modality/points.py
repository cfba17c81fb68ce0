"""Points [N, D]: densities and scatter plots."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from gankit.contracts import CriticOutput, DataSpec
from gankit.game.networks import PointAutoEncoder, PointDiscriminator, PointGenerator
from gankit.modality.modality import Array, Modality

CANVAS = 512  # pixels; side of a plot
REAL, FAKE = (150, 150, 150), (214, 69, 65)


class Points(Modality):
    """float32 [N, D], in the units of the data."""

    name = "points"
    one = "point"
    rank = 1
    dtype = torch.float32
    layouts = "[N, D] floats"
    has_levels = False

    def problem(self, shape: tuple[int, ...]) -> str | None:
        return None if shape[0] >= 1 else "points have no coordinate"

    def describe(self, data: DataSpec) -> str:
        return f"{data.shape[0]}-D"

    def floats(self, samples: Tensor) -> Tensor:
        """Unchanged."""
        return samples

    def stored(self, samples: Tensor) -> Tensor:
        """Unchanged."""
        return samples

    def units(self, samples: Tensor, data: DataSpec) -> Tensor:
        return samples

    def of_array(self, array: Array, data: DataSpec) -> Tensor:
        return torch.from_numpy(array)

    def picture(
        self,
        samples: Tensor,
        *,
        real: Tensor | None = None,
        columns: int | None = None,
        captions: Sequence[str] = (),
    ) -> Image.Image:
        return plot(samples, real)

    def generator(self, data: DataSpec, z_dim: int) -> nn.Module:
        return PointGenerator(data.shape[0], z_dim, condition=data.condition)

    def discriminator(self, data: DataSpec, output: CriticOutput) -> nn.Module:
        if output.code:
            return PointAutoEncoder(data.shape[0])
        return PointDiscriminator(data.shape[0], condition=data.condition, output=output)


def plot(points: Tensor, real: Tensor | None = None) -> Image.Image:
    """Points [N, D] -> densities for D = 1, else a scatter plot of the first two axes. Real is grey, fake red."""
    everything = points if real is None else torch.cat([real, points])
    everything = everything[torch.isfinite(everything).all(dim=1)]
    if len(everything) == 0:
        everything = torch.zeros(1, points.shape[1])
    low, high = everything.min(dim=0).values, everything.max(dim=0).values
    margin = 0.08 * (high - low).clamp_min(1e-3)
    low, high = low - margin, high + margin
    canvas = Image.new("RGB", (CANVAS, CANVAS), "white")
    draw = ImageDraw.Draw(canvas)
    layers = [(points, FAKE)] if real is None else [(real, REAL), (points, FAKE)]
    for samples, color in layers:
        if samples.shape[1] == 1:
            _density(draw, samples[:, 0], float(low[0]), float(high[0]), color)
        else:
            _scatter(draw, samples[:, :2], low[:2], high[:2], color)
    return canvas


def _density(draw: ImageDraw.ImageDraw, values: Tensor, low: float, high: float, color: tuple[int, int, int]) -> None:
    bins = 64
    counts = torch.histc(values, bins=bins, min=low, max=high) / max(1, len(values))
    heights = (counts * bins / 8).clamp(max=1)  # a density of 8 times the uniform one fills the canvas
    xs = (torch.arange(bins) + 0.5) / bins * CANVAS
    ys = (1 - 0.95 * heights) * (CANVAS - 1)
    draw.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=color, width=3)


def _scatter(draw: ImageDraw.ImageDraw, xy: Tensor, low: Tensor, high: Tensor, color: tuple[int, int, int]) -> None:
    scaled = (xy - low) / (high - low) * (CANVAS - 1)
    for x, y in scaled[torch.isfinite(scaled).all(dim=1)].tolist():
        draw.ellipse((x - 2, CANVAS - y - 2, x + 2, CANVAS - y + 2), fill=color)
