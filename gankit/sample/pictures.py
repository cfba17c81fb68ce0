"""From samples to pictures: pixels, contact sheets for images, scatter and density plots for points."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

Pixels = npt.NDArray[np.uint8]

GAP = 2  # pixels between two cells of a grid
LINE = 12  # pixels of a caption
CELL = 56  # pixels; small images are enlarged by a whole factor up to about this side
MAX_GRID = 4096  # largest number of samples in one picture
CANVAS = 512  # pixels; side of a plot of points
REAL, FAKE = (150, 150, 150), (214, 69, 65)


@torch.no_grad()
def generate(generator: nn.Module, z: Tensor, condition: Tensor | None = None, *, batch: int = 64) -> Tensor:
    """z [N, z_dim] (and y [N, K]) -> samples [N, *shape] float32 on the CPU, `batch` at a time on its device."""
    device = next(generator.parameters()).device
    inputs = [z] if condition is None else [z, condition]
    parts = zip(*(torch.split(tensor, batch) for tensor in inputs), strict=True)
    return torch.cat([generator(*(tensor.to(device) for tensor in part)).float().cpu() for part in parts])


def to_pixels(images: Tensor) -> Pixels:
    """Images [N, C, H, W] in [-1, 1] -> uint8 [N, H, W, C]; the exact inverse of the scaling of data."""
    scaled = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous().numpy()


def to_image(pixels: Pixels) -> Image.Image:
    """uint8 [H, W, C] with 1, 3 or 4 channels -> a Pillow image."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def grid(pixels: Pixels, columns: int | None = None, captions: Sequence[str] = ()) -> Image.Image:
    """uint8 [N, H, W, C] -> one contact sheet, row by row; as square as possible without `columns`.

    `captions` [N] are written below the cells.
    """
    n, height, width, _ = pixels.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    scale = max(1, CELL // max(height, width))
    cell_h, cell_w = height * scale + GAP + LINE * bool(captions), width * scale + GAP
    first = to_image(pixels[0])
    sheet = Image.new(first.mode, (columns * cell_w + GAP, rows * cell_h + GAP), color="white")
    draw = ImageDraw.Draw(sheet)
    for index in range(n):
        cell = to_image(pixels[index]).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        x, y = GAP + index % columns * cell_w, GAP + index // columns * cell_h
        sheet.paste(cell, (x, y))
        if captions:
            draw.text((x, y + height * scale), captions[index], fill="black")
    return sheet


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


def picture(samples: Tensor, real: Tensor | None = None, columns: int | None = None) -> Image.Image:
    """A contact sheet of images [N, C, H, W], or a plot of points [N, D]."""
    return grid(to_pixels(samples), columns) if samples.ndim == 4 else plot(samples, real)


def png(image: Image.Image, *, text: dict[str, str] | None = None) -> bytes:
    """PNG bytes; `text` goes into its text chunks."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
