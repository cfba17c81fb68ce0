"""Affine maps of images without aliasing, the geometric core of ADA (Karras et al., 2020, appendix B).

An image is upsampled twofold with the wavelet filter sym6, looked up bilinearly at mapped places, and downsampled
with the same filter. The filter is orthonormal, so that what is not moved comes back as it was. Outside of the image
lies its reflection, which is periodic: one period is upsampled, and no place is too far away. Everything is linear in
the image and made of products with matrices and of gathers, which PyTorch differentiates any number of times.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
"""The lowpass filter of the symlet with six vanishing moments (Daubechies, 1992): it sums to sqrt(2)."""
CENTRE = sum(i * tap for i, tap in enumerate(SYM6)) / sum(SYM6)
"""The centroid of the filter in taps: with it even a slope that is turned and scaled stays straight."""


class Affine(NamedTuple):
    """Where each pixel of the result comes from: (x, y) -> (xx x + xy y + x0, yx x + yy y + y0), each entry [N].

    Coordinates are in pixels from the middle of the image.
    """

    xx: Tensor
    xy: Tensor
    yx: Tensor
    yy: Tensor
    x0: Tensor
    y0: Tensor


def warp(images: Tensor, affine: Affine) -> Tensor:
    """images [N, C, H, W] in float32 or float64 -> same shape: each mapped by its own affine map."""
    height, width = images.shape[2:]
    up_rows, down_rows = filters(height, images.device, images.dtype)
    up_columns, down_columns = filters(width, images.device, images.dtype)
    y, x = places(height, images)[:, None], places(width, images)
    xx, xy, yx, yy, x0, y0 = (entry[:, None, None] for entry in affine)
    rows = yx * x + yy * y + (y0 + (height - 1) / 2)
    columns = xx * x + xy * y + (x0 + (width - 1) / 2)
    looked_up = lookup(up_rows @ images @ up_columns.T, 2 * rows + CENTRE, 2 * columns + CENTRE)
    return down_rows @ looked_up @ down_columns.T


def places(size: int, like: Tensor) -> Tensor:
    """The coordinates [2 size + 10], from the middle, of what is downsampled to `size` pixels."""
    steps = torch.arange(2 * size + len(SYM6) - 2, device=like.device, dtype=like.dtype)
    return (steps - CENTRE) / 2 - (size - 1) / 2


def lookup(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """images [N, C, H + 1, W + 1] of period H and W, rows and columns [N, h, w] -> [N, C, h, w], bilinear."""
    width, flat = images.shape[3], images.flatten(2)
    rows, columns = rows.remainder(images.shape[2] - 1), columns.remainder(width - 1)
    # A remainder may be rounded up to the period itself.
    top, left = rows.floor().clamp(max=images.shape[2] - 2), columns.floor().clamp(max=width - 2)
    down, right = (rows - top).flatten(1)[:, None], (columns - left).flatten(1)[:, None]
    first = (top * width + left).long().flatten(1)[:, None].expand(-1, images.shape[1], -1)
    above = torch.lerp(flat.gather(2, first), flat.gather(2, first + 1), right)
    below = torch.lerp(flat.gather(2, first + width), flat.gather(2, first + width + 1), right)
    return torch.lerp(above, below, down).reshape(*images.shape[:2], *rows.shape[1:])


@lru_cache(maxsize=16)
def filters(size: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The matrices [4 size - 3, size] and [size, 2 size + 10] that resample a column of `size` pixels.

    Row j of the upsampled column lies at pixel (j - CENTRE) / 2; the last row is the first of the next period. `places`
    are those of the column that is downsampled.
    """
    taps = torch.tensor(SYM6, dtype=torch.float64)
    up = torch.zeros(4 * max(size - 1, 1) + 1, size, dtype=torch.float64)
    down = torch.zeros(size, 2 * size + len(SYM6) - 2, dtype=torch.float64)
    for j in range(len(up)):
        for tap in range(j % 2, len(SYM6), 2):
            up[j, reflected((j - tap) // 2, size)] += math.sqrt(2) * taps[tap]
    for pixel in range(size):
        down[pixel, 2 * pixel : 2 * pixel + len(SYM6)] = taps / math.sqrt(2)
    return up.to(device, dtype), down.to(device, dtype)


@lru_cache(maxsize=16)
def bands(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The matrices [4, size, size] that split a reflected column into frequency bands, of which the sum is the column.

    From low to high, with borders at pi/8, pi/4 and pi/2: a half-band filter made of sym2 and its rest, three times.
    """
    root = math.sqrt(3)
    sym2 = torch.tensor([1 + root, 3 + root, 3 - root, 1 - root], dtype=torch.float64) / (4 * math.sqrt(2))
    low = torch.conv1d(sym2[None, None], sym2[None, None], padding=3)[0, 0] / 2  # its product with its own reverse
    taps = torch.zeros(4, 1, dtype=torch.float64)
    taps[0] = 1
    for band in (1, 2, 3):
        spread = torch.zeros(4, 2 * taps.shape[1] - 1, dtype=torch.float64)
        spread[:, ::2] = taps
        taps = torch.conv1d(spread[:, None], low[None, None], padding=6)[:, 0]
        middle = taps.shape[1] // 2
        taps[band, middle] += 1
        taps[band, middle - 3 : middle + 4] -= low
    matrices = torch.zeros(4, size, size, dtype=torch.float64)
    for pixel in range(size):
        for tap in range(taps.shape[1]):
            matrices[:, pixel, reflected(pixel + tap - taps.shape[1] // 2, size)] += taps[:, tap]
    return matrices.to(device, dtype)


def reflected(pixel: int, size: int) -> int:
    """A pixel that lies anywhere, reflected at the outermost pixels, which are not repeated."""
    last = max(size - 1, 1)
    return min(last - abs(pixel % (2 * last) - last), size - 1)
