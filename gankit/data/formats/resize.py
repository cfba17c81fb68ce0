"""Resizing: a centre crop to the new aspect ratio, then Lanczos."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import PIL
from PIL import Image
from torch import Tensor

from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.colour import MODES, WHITE, Colour, colour_name, converted
from gankit.data.formats.levels import Levels, levels_of
from gankit.data.formats.limits import in_parallel
from gankit.data.preparation import Preparation
from gankit.errors import InputError
from gankit.modality.modality import colours

REDUCED_TO = 2


def crop_box(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest centred box (left, top, right, bottom) with the aspect ratio of `size`, in whole pixels."""
    new_height, new_width = size
    box_height = max(1, min(height, round(width * new_height / new_width)))
    box_width = max(1, min(width, round(height * new_width / new_height)))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def reduction(full: tuple[int, int], size: tuple[int, int]) -> int:
    """1, 2, 4 or 8: the part of its height and width at which a JPEG of `full` is decoded for images of `size`.

    What is decoded is at least `REDUCED_TO` times as large as what is wanted, so that Lanczos has the last word.
    """
    left, top, right, bottom = crop_box(*full, size)
    ratio = min((bottom - top) / size[0], (right - left) / size[1])
    return next(part for part in (8, 4, 2, 1) if part == 1 or ratio >= REDUCED_TO * part)


def fit(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None) -> Image.Image:
    """The image at (height, width) `size`: what lies in `box` (left, top, right, bottom), by default `crop_box`."""
    height, width = size
    left, top, right, bottom = box or crop_box(image.height, image.width, size)
    outer = math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
    # Not resize(box=...) alone, whose filter also reads pixels outside the box.
    cropped = image if outer == (0, 0, *image.size) else image.crop(outer)
    inner = left - outer[0], top - outer[1], right - outer[0], bottom - outer[1]
    if inner == (0, 0, width, height):
        return cropped
    return cropped.resize((width, height), Image.Resampling.LANCZOS, inner)


def resize_note(sizes: list[tuple[int, int]], size: tuple[int, int]) -> str:
    """'218x178 and 3 other sizes -> 64x64 centre crop, Lanczos', with the most common size first."""
    height, width = sizes[0]
    more = f" and {len(sizes) - 1:,} other size{'s' if len(sizes) > 2 else ''}" if len(sizes) > 1 else ""
    return f"{height}x{width}{more} -> {size[0]}x{size[1]} centre crop, Lanczos"


@dataclass(frozen=True)
class DatasetRows:
    """The images of a data set, at another size or unchanged (see `Rows`). All of them can be decoded."""

    source: Dataset
    shape: tuple[int, int, int]
    levels: Levels = Levels(0, 255)
    background: Colour | None = None

    infers_levels = False  # the data set has been made of what its source says

    @property
    def where(self) -> str:
        """The data set, as shown to people."""
        return f"'{self.source.name}'"

    def __len__(self) -> int:
        return len(self.source)

    def identity(self) -> str:
        """sha256 (hex) of the images, what they become, and Pillow's version."""
        text = (
            f"data set {self.source.fingerprint} {self.shape} {self.levels} {self.background} Pillow {PIL.__version__}"
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def decode(self, rows: range, into: Array) -> dict[int, str]:
        """The images of some rows [n, C, H, W]."""
        source, size = self.source.samples.numpy()[rows.start : rows.stop], (self.shape[1], self.shape[2])
        if source.shape[1:] == self.shape and self.levels.unchanged:
            into[: len(rows)] = source
            return {}

        def one(place: int) -> None:
            pixels = converted(source[place], self.shape[0], self.background or WHITE)
            if not self.levels.unchanged:
                colours = 3 if len(pixels) == 4 else len(pixels)  # a fourth channel is alpha
                pixels = np.concatenate([self.levels.table[pixels[:colours]], pixels[colours:]])
            if pixels.shape[1:] == size:
                into[place] = pixels
                return
            into[place] = resized(pixels, size)

        for _ in in_parallel(one, range(len(rows)), "resizing"):
            pass
        return {}

    def check(self, broken: Mapping[int, str]) -> None:
        """Nothing to check: these images are already decoded."""

    def dataset(self, samples: Tensor, broken: Mapping[int, str]) -> Dataset:
        """The same data set with these images."""
        (_, *old), (_, *new) = self.source.spec.shape, self.shape
        notes = [] if old == new else [resize_note([(old[0], old[1])], (new[0], new[1]))]
        before, after = self.source.spec.shape[0], self.shape[0]
        laid = f" on {colour_name(self.background or WHITE)}" if before == 4 else ""
        notes += [f"{colours(before)} became {colours(after)}{laid}"] if before != after else []
        notes += ["nothing is transparent, so --background is not used"] if self.background and before != 4 else []
        notes += [self.levels.note] if self.levels.note else []
        spec = dataclasses.replace(self.source.spec, shape=self.shape)
        levels = self.source.levels if self.levels.unchanged else self.levels.ends
        notes = [*self.source.notes, *notes]
        return dataclasses.replace(self.source, spec=spec, samples=samples, notes=tuple(notes), levels=levels)


def resized(pixels: Array, size: tuple[int, int]) -> Array:
    """One image uint8 [C, H, W] at another (height, width); channels that are no colours one by one."""
    if len(pixels) not in MODES:
        return np.concatenate([resized(channel[None], size) for channel in pixels])
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    array = np.asarray(fit(image, size))
    return array[None] if len(pixels) == 1 else array.transpose(2, 0, 1)


def dataset_rows(dataset: Dataset, how: Preparation) -> DatasetRows:
    """The images of a data set as the user wants them; InputError for other kinds, which have no size and no colour."""
    if not dataset.spec.is_image:
        flags = " and ".join(
            flag
            for flag, value in (
                ("--size", how.size),
                ("--range", how.value_range),
                ("--channels", how.channels),
                ("--background", how.background),
            )
            if value is not None
        )
        raise InputError(f"'{dataset.name}' holds {dataset.spec.kind}: {flags} is for images", hint="leave it out")
    channels, height, width = dataset.spec.shape
    if how.channels not in (None, channels) and channels not in MODES:
        raise InputError(
            f"'{dataset.name}' has images of {channels} channels, which are no colours",
            hint="choose some by number: --channels 0,1,2",
        )
    levels = Levels(0, 255)
    if how.value_range is not None:
        levels = levels_of(dataset.samples.numpy(), how.value_range, f"'{dataset.name}'")
    channels = how.channels or (3 if how.background and channels == 4 else channels)
    return DatasetRows(dataset, (channels, *(how.size or (height, width))), levels, how.background)
