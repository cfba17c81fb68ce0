"""One way to another size: a centre crop to the new aspect, then Lanczos."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import torch
from PIL import Image

from gankit.contracts import DataSpec
from gankit.data.dataset import Dataset
from gankit.data.limits import Progress, check_memory, in_parallel
from gankit.errors import InputError

MAX_SIZE = 4096


def parse_size(text: str) -> tuple[int, int]:
    """'64' -> (64, 64), '64x48' -> (64, 48): height and width in pixels, 1..4096."""
    match = re.fullmatch(r"([0-9]{1,4})(?:x([0-9]{1,4}))?", text.strip().lower())
    if match is not None:
        size = int(match[1]), int(match[2] or match[1])
        if min(size) >= 1 and max(size) <= MAX_SIZE:
            return size
    raise InputError(
        f"'{text}' is not an image size", hint=f"write SIZE or HEIGHTxWIDTH, each from 1 to {MAX_SIZE}: 64 or 64x48"
    )


def crop_box(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest centred box (left, top, right, bottom) with the aspect of `size`, in whole pixels."""
    wanted_height, wanted_width = size
    box_height = max(1, min(height, round(width * wanted_height / wanted_width)))
    box_width = max(1, min(width, round(height * wanted_width / wanted_height)))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image of (height, width) `size`, unchanged if it already has it."""
    height, width = size
    if image.size == (width, height):
        return image
    # Not resize(box=...): there the filter also looks at what lies outside of the box.
    cropped = image.crop(crop_box(image.height, image.width, size))
    return cropped if cropped.size == (width, height) else cropped.resize((width, height), Image.Resampling.LANCZOS)


def resize_note(sizes: list[tuple[int, int]], size: tuple[int, int]) -> str:
    """'218x178 and 3 other sizes -> 64x64 centre crop, Lanczos', the commonest size first."""
    height, width = sizes[0]
    more = f" and {len(sizes) - 1:,} other size{'s' if len(sizes) > 2 else ''}" if len(sizes) > 1 else ""
    return f"{height}x{width}{more} -> {size[0]}x{size[1]} centre crop, Lanczos"


def resize_dataset(dataset: Dataset, size: tuple[int, int], progress: Progress | None = None) -> Dataset:
    """A decoded data set at another size (height, width)."""
    if not dataset.spec.is_image:
        raise InputError(f"'{dataset.name}' holds points, which have no size", hint="leave --size out")
    channels, *old = dataset.spec.shape
    if tuple(old) == size:
        return dataset
    count = len(dataset)
    check_memory(count * channels * size[0] * size[1], f"'{dataset.name}'")
    source = dataset.samples.numpy()
    target = np.empty((count, channels, *size), np.uint8)

    def one(index: int) -> None:
        pixels = source[index]
        image = Image.fromarray(pixels[0] if channels == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        resized = np.asarray(fit(image, size))
        target[index] = resized if channels == 1 else resized.transpose(2, 0, 1)

    for _ in in_parallel(one, range(count), "resizing", progress):
        pass
    return dataclasses.replace(
        dataset,
        spec=DataSpec(shape=(channels, *size), classes=dataset.spec.classes),
        samples=torch.from_numpy(target),
        notes=(*dataset.notes, resize_note([(old[0], old[1])], size)),
    )
