"""Volumes [N, C, D, H, W]: scans, voxels. Drawn as their three middle slices."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812 - its usual name
from PIL import Image
from torch import Tensor

from gankit.contracts import DataSpec
from gankit.modality.images import CELL, partly_shown, pixels_of, sheet, to_image
from gankit.modality.modality import EightBit, colours

THUMBNAIL = 5  # voxels


class Volumes(EightBit):
    """uint8 [N, C, D, H, W]."""

    name = "volumes"
    one = "volume"
    rank = 4
    layouts = "[N, D, H, W, C], [N, C, D, H, W] or [N, D, H, W]"

    def describe(self, data: DataSpec) -> str:
        channels, depth, height, width = data.shape
        return f"{colours(channels)} {depth}x{height}x{width}{partly_shown(channels)}"

    def picture(
        self,
        samples: Tensor,
        *,
        real: Tensor | None = None,
        columns: int | None = None,
        captions: Sequence[str] = (),
    ) -> Image.Image:
        return sheet([slices(volume) for volume in samples], columns, captions)

    def thumbnails(self, samples: Tensor) -> Tensor:
        depth, height, width = (min(side, THUMBNAIL) for side in samples.shape[2:])
        return F.adaptive_avg_pool3d(samples.float(), (depth, height, width)).round().to(self.dtype).flatten(1)


def slices(volume: Tensor) -> Image.Image:
    """uint8 [C, D, H, W] -> the middle slices across depth, height and width, beside each other."""
    _, depth, height, width = volume.shape
    planes = (volume[:, depth // 2], volume[:, :, height // 2], volume[:, :, :, width // 2])
    scale = max(1, CELL // max(depth, height, width))
    images = []
    for plane in planes:
        image = to_image(pixels_of(plane[None])[0])
        images.append(image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST))
    cell = Image.new(images[0].mode, (sum(i.width for i in images) + 2, max(i.height for i in images)), "white")
    x = 0
    for image in images:
        cell.paste(image, (x, 0))
        x += image.width + 1
    return cell
