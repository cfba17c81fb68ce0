"""A file and the pixels that it must give, and what several of them are made of."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from reliability.encoders import Array

H, W = 13, 18  # neither a multiple of 8 nor square


@dataclass(frozen=True)
class Case:
    """One file, or a few that belong together."""

    name: str
    files: Mapping[str, bytes]
    expected: Array
    """uint8 [N, H, W, C]."""
    tolerance: int = 0
    how: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Preparation`."""
    data: str = "set"
    """What is read, of the files."""


def numbers(*shape: int, bits: int = 8, seed: int = 0) -> Array:
    """Random numbers below 2^bits in which the smallest and the largest are among them."""
    values = np.random.default_rng(seed).integers(0, 2**bits, shape)
    values.ravel()[:2] = 0, 2**bits - 1
    return values


def smooth(channels: int = 3) -> Array:
    """A soft picture uint8 [48, 64, C], for lossy kinds."""
    y, x = np.mgrid[0:48, 0:64]
    planes = [127.5 + 127.5 * np.sin(x / (9 + 4 * c) + c) * np.cos(y / (13 + c)) for c in range(channels)]
    return np.rint(np.stack(planes, -1)).astype(np.uint8)


def scaled(values: Array, white: int) -> Array:
    """0..white -> 0..255."""
    return np.rint(values * (255 / white)).astype(np.uint8)


def one(name: str, content: bytes, expected: Array, tolerance: int = 0, **how: Any) -> Case:
    """A folder of one file; expected pixels [H, W] or [H, W, C]."""
    pixels = expected[..., None] if expected.ndim == 2 else expected
    suffix = name.split(" ", 1)[0].lower()
    return Case(name, {f"set/a.{suffix}": content}, pixels[None].astype(np.uint8), tolerance, how)


def saved(pixels: Array, kind: str, mode: str | None = None, **options: Any) -> bytes:
    """By Pillow's writer."""
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()
