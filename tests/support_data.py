"""Small data sets for tests: digits, noise, folders of photographs, packed files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gankit.data import Dataset, Preparation, builtin_datasets, load_dataset
from gankit.data.formats.pack import PackHeader
from gankit.data.formats.packing import pack_dataset


def random_images(n: int, channels: int = 3, height: int = 20, width: int = 16) -> Tensor:
    """Noise, uint8 [n, channels, height, width]."""
    generator = torch.Generator().manual_seed(n + 10 * channels)
    return torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


def save_digits(path: Path, count: int) -> None:
    """The first `count` training images of the digits as an .npz file without labels."""
    dataset = load_dataset("digits", builtin_datasets())
    np.savez(path, images=dataset.samples[:count].permute(0, 2, 3, 1).numpy())


def photos(root: Path, count: int = 12, side: int = 8) -> Path:
    """A folder of noise in three classes."""
    noise = np.random.default_rng(0)
    for number in range(count):
        folder = root / ("cat", "Dog", "été")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (side, side, 3), np.uint8)).save(folder / f"{number:05d}.png")
    return root


def png(value: int) -> bytes:
    """An image by whose first pixel it is known."""
    pixels = np.full((4, 4), 200, np.uint8)
    pixels[0, :3] = value, 0, 255  # all values, so that nothing is stretched
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def table(dataset: Dataset) -> dict[str, list[float]]:
    """Attribute -> its numbers, in the units of the data, by the first pixels of the images."""
    assert dataset.conditions is not None
    order = dataset.samples[:, 0, 0, 0].argsort()
    rows = dataset.conditions[order].T.tolist()
    return {
        a.name: [round(a.mean + a.std * y, 4) for y in row]
        for a, row in zip(dataset.spec.attributes, rows, strict=True)
    }


def pack(source: Path | str, out: Path, **how: Any) -> PackHeader:
    return pack_dataset(str(source), out, builtin_datasets(), Preparation(**how))


def load(path: Path | str, **how: Any) -> Dataset:
    return load_dataset(str(path), builtin_datasets(), how=Preparation(**how))


def assert_same_data(a: Dataset, b: Dataset) -> None:
    assert a.spec == b.spec
    assert a.notes == b.notes
    for name in ("samples", "labels", "conditions"):
        ours, theirs = getattr(a, name), getattr(b, name)
        assert (ours is None and theirs is None) or torch.equal(ours, theirs), name
