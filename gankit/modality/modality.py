"""The interface of a kind of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from gankit.contracts import CriticOutput, DataSpec, Kind
from gankit.game.networks import AutoEncoder, Discriminator, Generator

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]


class Modality(ABC):
    """What gankit knows of a kind of sample.

    A sample has three forms: *floats* are what the networks see and make, [N, *shape]; *stored* is a data set in
    memory, [N, *shape] in `dtype`; an *array* is what people bring and get back, with the channels last.
    """

    name: ClassVar[Kind]
    """'images': as `--kind` names it."""
    one: ClassVar[str]
    """'image': the noun for one of them."""
    rank: ClassVar[int]
    """Numbers in the shape of a sample."""
    dtype: ClassVar[torch.dtype]
    """Of stored samples."""
    layouts: ClassVar[str]
    """The arrays that are read, for people."""
    has_levels = True
    """Whether `--range` says which values are black and white, or -1 and 1."""

    @abstractmethod
    def problem(self, shape: tuple[int, ...]) -> str | None:
        """Why no data set has samples of this shape; None where it may."""

    @abstractmethod
    def describe(self, data: DataSpec) -> str:
        """A sample in a few words: 'RGB 64x64'."""

    @abstractmethod
    def floats(self, samples: Tensor) -> Tensor:
        """Stored samples -> what the networks see."""

    @abstractmethod
    def stored(self, samples: Tensor) -> Tensor:
        """What a network made, float32 [N, *shape] -> stored samples; the inverse of `floats`."""

    @abstractmethod
    def units(self, samples: Tensor, data: DataSpec) -> Tensor:
        """Stored samples [N, *shape] -> those that people get: channels last, in the units of the data."""

    def array(self, samples: Tensor, data: DataSpec) -> Array:
        """`units` as an array."""
        return self.units(samples, data).numpy()

    @abstractmethod
    def of_array(self, array: Array, data: DataSpec) -> Tensor:
        """The inverse of `array`."""

    @abstractmethod
    def picture(
        self,
        samples: Tensor,
        *,
        real: Tensor | None = None,
        columns: int | None = None,
        captions: Sequence[str] = (),
    ) -> Image.Image:
        """Stored samples [N, *shape] in one picture, row by row with `captions` [N] where samples have cells.

        `real` samples are drawn with them where both share one plot.
        """

    def thumbnails(self, samples: Tensor) -> Tensor | None:
        """Stored samples -> uint8 [N, P], small enough to compare all with all; None where distances mean little."""
        return None

    @abstractmethod
    def generator(self, data: DataSpec, z_dim: int) -> nn.Module:
        """Core's generator."""

    @abstractmethod
    def discriminator(self, data: DataSpec, output: CriticOutput) -> nn.Module:
        """Core's discriminator or auto-encoder; no layer of it couples the samples of a batch."""


class Convolutional(Modality):
    """What kinds with channels and one to three axes share: [N, C, …] in [-1, 1], convolutions."""

    def units(self, samples: Tensor, data: DataSpec) -> Tensor:
        return samples.movedim(1, -1).contiguous()

    def of_array(self, array: Array, data: DataSpec) -> Tensor:
        return torch.from_numpy(array).movedim(-1, 1).contiguous()

    def generator(self, data: DataSpec, z_dim: int) -> nn.Module:
        return Generator(data.shape, z_dim, condition=data.condition)

    def discriminator(self, data: DataSpec, output: CriticOutput) -> nn.Module:
        if output.code:
            return AutoEncoder(data.shape, output.code)
        return Discriminator(data.shape, condition=data.condition, output=output)


class EightBit(Convolutional):
    """Kinds whose values are the 256 levels of a pixel."""

    dtype = torch.uint8

    def problem(self, shape: tuple[int, ...]) -> str | None:
        return None if min(shape) >= 1 else "a side is 0"

    def floats(self, samples: Tensor) -> Tensor:
        """uint8 -> float32 in [-1, 1]."""
        return samples.to(torch.float32).div_(127.5).sub_(1)

    def stored(self, samples: Tensor) -> Tensor:
        """[-1, 1] -> uint8, the exact inverse of the scaling."""
        return ((samples + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def colours(channels: int) -> str:
    """'RGB' of 3."""
    return {1: "grey", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels} channels")


def shown_channels(channels: int) -> int:
    """How many of a sample's channels a picture shows: the first three of more than four, the first of two."""
    return channels if channels in (1, 3, 4) else 3 if channels > 4 else 1
