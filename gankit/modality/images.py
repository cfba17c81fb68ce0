"""Images [N, C, H, W]: pixels, contact sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812 - its usual name
from PIL import Image, ImageDraw
from torch import Tensor

from gankit.contracts import DataSpec
from gankit.modality.modality import EightBit, Pixels, colours, shown_channels

GAP = 2  # pixels between two cells of a grid
LINE = 12  # pixels of a caption
CELL = 56  # pixels; small images are enlarged by a whole factor up to about this side
THUMBNAIL = 12  # pixels; at this size comparisons ignore noise and fine detail, and are cheap for whole training sets


class Images(EightBit):
    """uint8 [N, C, H, W] of any number of channels."""

    name = "images"
    one = "image"
    rank = 3
    layouts = "[N, H, W], [N, H, W, C] or [N, C, H, W]"

    def describe(self, data: DataSpec) -> str:
        channels, height, width = data.shape
        return f"{colours(channels)} {height}x{width}{partly_shown(channels)}"

    def picture(
        self,
        samples: Tensor,
        *,
        real: Tensor | None = None,
        columns: int | None = None,
        captions: Sequence[str] = (),
    ) -> Image.Image:
        return grid(pixels_of(samples), columns, captions)

    def thumbnails(self, samples: Tensor) -> Tensor:
        height, width = samples.shape[-2:]
        small = F.adaptive_avg_pool2d(samples.float(), (min(height, THUMBNAIL), min(width, THUMBNAIL)))
        return small.round().to(self.dtype).flatten(1)


def partly_shown(channels: int) -> str:
    """' (pictures show the first three)', '' where they show all."""
    shown = shown_channels(channels)
    return "" if shown == channels else f" (pictures show the first{' three' if shown == 3 else ''})"


def pixels_of(samples: Tensor) -> Pixels:
    """uint8 [N, C, H, W] -> uint8 [N, H, W, C] of the channels that are shown."""
    pixels: Pixels = samples[:, : shown_channels(samples.shape[1])].movedim(1, -1).contiguous().numpy()
    return pixels


def to_image(pixels: Pixels) -> Image.Image:
    """uint8 [H, W, C] with 1, 3 or 4 channels -> a Pillow image."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def grid(pixels: Pixels, columns: int | None = None, captions: Sequence[str] = ()) -> Image.Image:
    """uint8 [N, H, W, C] -> one contact sheet, row by row; as square as possible without `columns`.

    `captions` [N] are written below the cells.
    """
    scale = max(1, CELL // max(pixels.shape[1:3]))
    size = (pixels.shape[2] * scale, pixels.shape[1] * scale)
    return sheet([to_image(image).resize(size, Image.Resampling.NEAREST) for image in pixels], columns, captions)


def sheet(cells: Sequence[Image.Image], columns: int | None = None, captions: Sequence[str] = ()) -> Image.Image:
    """Images of one size on white, row by row; as square as possible without `columns`."""
    columns = columns or math.ceil(math.sqrt(len(cells)))
    rows = math.ceil(len(cells) / columns)
    width, height = cells[0].size
    cell_h, cell_w = height + GAP + LINE * bool(captions), width + GAP
    whole = Image.new(cells[0].mode, (columns * cell_w + GAP, rows * cell_h + GAP), color="white")
    draw = ImageDraw.Draw(whole)
    for index, cell in enumerate(cells):
        x, y = GAP + index % columns * cell_w, GAP + index // columns * cell_h
        whole.paste(cell, (x, y))
        if captions:
            draw.text((x, y + height), captions[index], fill="black")
    return whole
