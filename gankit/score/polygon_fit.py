"""The distance from an image to a family of polygons, by descent on the vertices from several starts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gankit.base import progress
from gankit.data.formats import Array
from gankit.data.sets.polygons import BEFORE, FINE, SIDE, PolygonFamily, grey, rasterise

RESTARTS = 5
START_CANDIDATES = 16_384
_DESCENT_STEPS = 25  # damped Gauss-Newton needs about ten
_IMAGES_AT_A_TIME = 64  # images fitted together, each from all of its starts


def distances(
    images: Tensor,
    family: PolygonFamily,
    *,
    restarts: int = RESTARTS,
    seed: int = 0,
    what: str = "precision",
) -> Tensor:
    """uint8 [N, 1, 28, 28] on the CPU -> float64 [N]: squared L2 distance (pixels 0..1) to the nearest polygon.

    Every image is fitted from `restarts` random polygons and from the nearest of a bank. The distance is to the polygon
    as drawn by the data set, so that a polygon of the data set can have distance 0.
    """
    rng = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))  # uses all bits of the seed
    bank = rng.random_sample((START_CANDIDATES, family.n_vertices + 1))
    pixels = _draw(bank, family).astype(np.float32)
    lengths = (pixels**2).sum(axis=1)
    starts = rng.random_sample((len(images), restarts, family.n_vertices + 1))
    targets = images.reshape(len(images), SIDE * SIDE).numpy()
    best = np.empty(len(images))
    for begin in range(0, len(images), _IMAGES_AT_A_TIME):
        target = targets[begin : begin + _IMAGES_AT_A_TIME]
        nearest = np.argmin(lengths - 2 * target.astype(np.float32) @ pixels.T, axis=1)
        u = np.concatenate([starts[begin : begin + _IMAGES_AT_A_TIME], bank[nearest][:, None]], axis=1)
        cost = _descend(u.reshape(-1, u.shape[2]), np.repeat(target, restarts + 1, axis=0), family)
        best[begin : begin + _IMAGES_AT_A_TIME] = cost.reshape(u.shape[:2]).min(axis=1)
        progress.tell(what, min(begin + _IMAGES_AT_A_TIME, len(images)), len(images))
    return torch.from_numpy(best)


def _draw(u: Array, family: PolygonFamily) -> Array:
    """u [P, n + 1] -> images uint8 [P, 784] as in the data set."""
    return grey(rasterise(family.vertices(u))).reshape(len(u), -1)


def _compare(u: Array, target: Array, family: PolygonFamily) -> tuple[Array, Array]:
    """Image of u minus target, float32 [P, 784] in -1..1, and the squared L2 distances float64 [P]."""
    gap = _draw(u, family).astype(np.int32) - target
    return (gap / 255).astype(np.float32), (gap**2).sum(axis=1) / 255**2


def _descend(u: Array, target: Array, family: PolygonFamily) -> Array:
    """Starts u [P, n + 1] and targets uint8 [P, 784] -> the smallest squared distances [P] of the descent.

    Levenberg-Marquardt with projection. Distances are those of the exact raster; only the derivatives use the covered
    area of pixels instead of the count of sub-pixels. A step that does not reduce the distance is undone and damped.
    """
    u = u.copy()
    residual, cost = _compare(u, target, family)
    damping = np.full(len(u), 1e-2)
    for _ in range(_DESCENT_STEPS):
        trial = _project(u + _step(u, residual, damping, family), family)
        new_residual, new_cost = _compare(trial, target, family)
        better = new_cost < cost
        u[better], residual[better], cost[better] = trial[better], new_residual[better], new_cost[better]
        damping *= np.where(better, 0.2, 5.0)
    return cost


def _project(u: Array, family: PolygonFamily) -> Array:
    """The nearest valid polygon; a full rotation is periodic."""
    projected = u.clip(0, 1)
    if not family.as_published:
        projected[:, -1] = u[:, -1] % 1
    return projected


def _step(u: Array, residual: Array, damping: Array, family: PolygonFamily) -> Array:
    """The damped Gauss-Newton step [P, n + 1] from u, without the coordinates that it would push out of the cube."""
    weights, speeds = derivatives(family, u)
    slope = np.einsum("pek,pe->pk", speeds, (weights @ residual[:, :, None])[:, :, 0])
    blocked = ((u <= 0) & (slope > 0)) | ((u >= 1) & (slope < 0))
    if not family.as_published:
        blocked[:, -1] = False
    speeds = np.where(blocked[:, None], 0, speeds)
    curvature = speeds.transpose(0, 2, 1) @ (weights @ weights.transpose(0, 2, 1)) @ speeds
    diagonal = np.einsum("pkk->pk", curvature)
    diagonal += damping[:, None] * diagonal + 1e-6
    step: Array = np.linalg.solve(curvature, -np.where(blocked, 0, slope)[:, :, None])[:, :, 0]
    return step


def derivatives(family: PolygonFamily, u: Array) -> tuple[Array, Array]:
    """d image / d u as a product: weights [N, 2n, 784] of the ends of the edges, and speeds [N, 2n, n + 1] of the ends.

    White is 1 here, and sub-pixels are infinitely small: the covered area of a pixel grows by the area that the edges
    sweep. That is the outward speed, linear between the ends of an edge, integrated over its part within the pixel.
    """
    points, velocity = family.vertices(u), family.velocity(u)
    along = np.roll(points, -1, axis=1) - points
    inward = np.stack([-along[:, :, 1], along[:, :, 0]], axis=-1)  # white pixels gain what the polygon loses
    here = np.einsum("pec,peck->pek", inward, velocity)
    there = np.einsum("pec,peck->pek", inward, np.roll(velocity, -1, axis=1))
    return _in_pixels(points.astype(np.float32), along.astype(np.float32)), np.concatenate([here, there], axis=1)


def _in_pixels(points: Array, along: Array) -> Array:
    """Edges from points [N, n, 2] -> [N, 2n, 784]: integrals of 1 - t and of t over the part t of each in a pixel."""
    borders = np.arange(SIDE + 1, dtype=np.float32) - (BEFORE + 0.5) / FINE
    safe = np.where(np.abs(along) < 1e-6, np.float32(1e-6), along)
    t = ((borders - points[..., None]) / safe[..., None]).clip(0, 1)  # [N, n, 2, 29]
    enter, leave = np.minimum(t[..., :-1], t[..., 1:]), np.maximum(t[..., :-1], t[..., 1:])
    low = np.maximum(enter[:, :, 0, :, None], enter[:, :, 1, None, :])
    high = np.maximum(low, np.minimum(leave[:, :, 0, :, None], leave[:, :, 1, None, :]))
    second = (high**2 - low**2) / 2
    return np.concatenate([high - low - second, second], axis=1).reshape(len(points), -1, SIDE * SIDE)
