"""Convex polygons on 28x28 pixels, whose manifold is known ("Are GANs Created Equal?", Lucic et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gankit.base.text import did_you_mean, printable
from gankit.contracts import DataSpec
from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.errors import InputError

SIDE = 28  # pixels
RADIUS = 10.5  # pixels; radius of the circle through the vertices
FINE = 8  # sub-pixels along one side of a pixel
POLYGONS = 80_000
SPLITS = {"train": slice(0, 60_000), "test": slice(60_000, 70_000), "holdout": slice(70_000, POLYGONS)}

# The box filter of the original has even length: pixel i covers the sub-pixels 8i - 3 ... 8i + 4.
BEFORE = 3
_SEED = 0
_MIN_ANGLE = 20.0  # degrees; intended distance of neighbouring vertices
_NAMES = {3: "triangles", 4: "squares"}
_CHUNK = 256


@dataclass(frozen=True)
class PolygonFamily:
    """All polygons with one vertex per segment of a circle, rotated, with the mean of the vertices at (14, 14).

    A polygon is a point u of the unit cube [n_vertices + 1]: the positions of the vertices in their segments, and the
    rotation. `as_published` keeps two errors of the original program: neighbours are at least 10 degrees apart, not the
    intended 20, and radians are taken for degrees, so that the rotation is below 6.29 degrees instead of 360. Without
    it both are corrected.
    """

    n_vertices: int
    as_published: bool = True

    def __post_init__(self) -> None:
        if not 3 <= self.n_vertices <= 360 / _MIN_ANGLE:
            raise InputError(f"polygons with {self.n_vertices} vertices", hint="3 to 18 vertices fit on the circle")

    @property
    def name(self) -> str:
        """'triangles', 'squares', '5-gons' ..., with '-fixed' when the errors are corrected."""
        return _NAMES.get(self.n_vertices, f"{self.n_vertices}-gons") + ("" if self.as_published else "-fixed")

    @property
    def segment(self) -> float:
        """Degrees from the start of one vertex's range to the start of the next."""
        return 360 / self.n_vertices

    @property
    def jitter(self) -> float:
        """Degrees by which a vertex can move within its segment, starting at `10 + i * segment`."""
        return self.segment - (_MIN_ANGLE / 2 if self.as_published else _MIN_ANGLE)

    @property
    def rotation(self) -> float:
        """Largest rotation in radians; it is clockwise, from the second axis towards the first."""
        return float(np.radians(2 * np.pi)) if self.as_published else 2 * np.pi

    def angles(self, u: Array) -> Array:
        """u [N, n + 1] in [0, 1] -> angles [N, n] of the vertices before the rotation, in radians, ascending."""
        starts = np.arange(self.n_vertices) * self.segment + _MIN_ANGLE / 2
        radians: Array = (starts + u[:, :-1] * self.jitter) * np.pi / 180
        return radians

    def vertices(self, u: Array) -> Array:
        """u [N, n + 1] in [0, 1] -> vertices [N, n, 2] float64 in pixels."""
        angles, theta = self.angles(u), u[:, -1:] * self.rotation
        # The square [0, 1]^2 and the mean at the end reproduce the original's numbers to the last bits.
        x, y = (np.cos(angles) + 1) / 2, (np.sin(angles) + 1) / 2
        cos, sin = np.cos(theta), np.sin(theta)
        points: Array = np.stack([x * cos + y * sin, y * cos - x * sin], axis=-1) * (2 * RADIUS)
        points += SIDE / 2 - points.mean(axis=1, keepdims=True)
        return points

    def velocity(self, u: Array) -> Array:
        """d vertices / d u: [N, n, 2, n + 1] in pixels."""
        phi, n = self.angles(u) - u[:, -1:] * self.rotation, self.n_vertices
        tangent = RADIUS * np.stack([-np.sin(phi), np.cos(phi)], axis=-1)  # [N, n, 2]
        jitter = (np.eye(n) - 1 / n)[:, None] * tangent.transpose(0, 2, 1)[:, None]  # the mean does not move
        turn = (tangent - tangent.mean(axis=1, keepdims=True))[..., None]
        return np.concatenate([jitter * np.radians(self.jitter), -turn * self.rotation], axis=-1)


FAMILIES = {family.name: family for n in (3, 4) for family in (PolygonFamily(n), PolygonFamily(n, as_published=False))}


def polygons(family: PolygonFamily, split: str = "train") -> Dataset:
    """60,000 'train', 10,000 'test' or 10,000 'holdout' polygons of the paper's 80,000: black on white, no labels."""
    if split not in SPLITS:
        known = ", ".join(SPLITS)
        raise InputError(
            f"{family.name}: no split '{printable(split)}'", hint=f"{did_you_mean(split, SPLITS)}there are {known}"
        )
    images = grey(rasterise(family.vertices(parameters(family)[SPLITS[split]])))[:, None]
    return Dataset(family.name, DataSpec(shape=(1, SIDE, SIDE)), torch.from_numpy(images))


def parameters(family: PolygonFamily) -> Array:
    """u [80000, n + 1] of the data set's polygons, in order."""
    stream = np.random.RandomState(_SEED)  # the stream of the original: all polygons first, then their order
    u = stream.random_sample((POLYGONS, family.n_vertices + 1))
    return u[stream.permutation(POLYGONS)]


def grey(white: Array) -> Array:
    """Counts of white sub-pixels 0..64 -> uint8 grey levels 0..255, rounded to the nearest."""
    levels = (np.arange(FINE**2 + 1) * 255 + FINE**2 // 2) // FINE**2
    return levels.astype(np.uint8)[white]


def rasterise(vertices: Array) -> Array:
    """Convex polygons [N, n, 2] float64 in pixels -> int16 [N, 28, 28]: sub-pixels 0..64 outside, axis 0 first."""
    white = np.empty((len(vertices), SIDE, SIDE), dtype=np.int16)
    for start in range(0, len(vertices), _CHUNK):  # chunks fit the processor's cache, which is twice as fast
        white[start : start + _CHUNK] = FINE**2 - _inside(*_scan(vertices[start : start + _CHUNK] * FINE))
    return white


def _scan(corners: Array) -> tuple[Array, Array]:
    """Corners [N, n, 2] in sub-pixels -> integers first, end [N, 224]: the polygon covers first..end-1 of each line."""
    lines = np.arange(-BEFORE, SIDE * FINE - BEFORE, dtype=np.float64)
    x, y = corners[:, :, 0, None], corners[:, :, 1, None]
    next_x, next_y = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    run = np.where(next_x == x, 1.0, next_x - x)  # an edge parallel to the lines crosses none of them
    slope = (next_y - y) / run
    crossing = y + (lines - x) * slope
    crossed = (x <= lines) != (next_x <= lines)
    first = np.ceil(np.where(crossed, crossing, np.inf).min(axis=1))
    end = np.floor(np.where(crossed, crossing, -np.inf).max(axis=1)) + 1
    first, end = (np.clip(ends, 0, SIDE * FINE).astype(np.int64) for ends in (first, end))
    end[:, :BEFORE] = 0  # everything outside the canvas is white
    return first, np.maximum(first, end)


def _inside(first: Array, end: Array) -> Array:
    """Covered stretches [N, 224] of lines -> uint8 [N, 28, 28]: covered sub-pixels 0..64."""
    covered = (_UP_TO[end] - _UP_TO[first]).reshape(len(first), SIDE, FINE, -1)
    # Eight pixels share a 64-bit word: no count exceeds 64, so no byte overflows into the next.
    counts: Array = covered.sum(axis=2).view(np.uint8)[:, :, :SIDE]
    return counts


def _up_to() -> Array:
    """Table uint64 [225, 4]: byte j of row t is the number of sub-pixels 0..t-1 that belong to pixel j."""
    starts = np.arange(SIDE + 4) * FINE - BEFORE
    ends = np.arange(SIDE * FINE + 1)[:, None]
    table: Array = (np.clip(ends, starts.clip(0), starts + FINE) - starts.clip(0)).astype(np.uint8).view(np.uint64)
    return table


_UP_TO = _up_to()
