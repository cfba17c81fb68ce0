"""The meaning of an array: its layout, range and labels are inferred here, and a note reports what was inferred."""

from __future__ import annotations

import numpy as np

from gankit.data.formats import Array
from gankit.data.formats.columns import class_order
from gankit.data.formats.levels import levels_of
from gankit.data.formats.limits import allocate
from gankit.errors import InputError

CHANNELS = (1, 3, 4)
_LAYOUTS = "[N, H, W], [N, H, W, C] or [N, C, H, W] with 1, 3 or 4 channels for images, [N, D] floats for points"


def as_samples(
    array: Array, what: str, value_range: tuple[float, float] | None = None
) -> tuple[Array, tuple[str, ...]]:
    """Any accepted array -> uint8 images [N, C, H, W] or float32 points [N, D], and what was inferred.

    `value_range` are the values of black and white; None: see `levels`.
    """
    if array.dtype.kind not in "uifb":
        raise InputError(f"{what}: arrays of type {array.dtype} are not read", hint="store uint8 or float32 numbers")
    if min(array.shape, default=0) == 0:
        raise InputError(f"{what}: the array of shape {array.shape} is empty", hint=f"expected: {_LAYOUTS}")
    if array.ndim == 2 and array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # 1e300 becomes infinite, which is refused
            points = array.astype(np.float32)
        _check_finite(points, what)
        _no_range(value_range, what)
        return np.ascontiguousarray(points), ()
    images, layout_notes = _channels_first(array, what)
    pixels, range_notes = _as_bytes(images, what, value_range)
    return pixels, layout_notes + range_notes


def as_labels(labels: Array, count: int, classes: tuple[str, ...], what: str) -> tuple[Array, tuple[str, ...]]:
    """Integers or names [N] or [N, 1] -> int64 [N] in 0..k-1 and the k class names (by default the values)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "uiU":
        raise InputError(
            f"{what}: labels of type {labels.dtype} and shape {labels.shape} are not read",
            hint="store one integer or name per sample, shape [N]",
        )
    if len(labels) != count:
        raise InputError(f"{what}: {len(labels):,} labels for {count:,} samples", hint="there must be one per sample")
    if labels.dtype.kind == "U":
        classes = class_order(labels.tolist())
        places = {name: place for place, name in enumerate(classes)}
        return np.array([places[name] for name in labels.tolist()], np.int64), classes
    values, numbers = np.unique(labels, return_inverse=True)
    if not classes:
        return numbers.reshape(-1).astype(np.int64), tuple(str(int(value)) for value in values)
    if int(values[0]) < 0 or int(values[-1]) >= len(classes):
        raise InputError(
            f"{what}: labels run from {values[0]} to {values[-1]}, but there are {len(classes)} classes",
            hint=f"labels must lie in 0..{len(classes) - 1}",
        )
    return labels.astype(np.int64), classes


def as_conditions(conditions: Array, count: int, what: str) -> Array:
    """Condition vectors, any numbers [N, K] -> float32 [N, K]."""
    if conditions.ndim != 2 or conditions.dtype.kind not in "uif" or conditions.shape[1] == 0:
        raise InputError(
            f"{what}: conditions of type {conditions.dtype} and shape {conditions.shape} are not read",
            hint="store one vector of numbers per sample, shape [N, K]",
        )
    if len(conditions) != count:
        raise InputError(f"{what}: {len(conditions):,} conditions for {count:,} samples", hint="one per sample")
    with np.errstate(over="ignore"):
        vectors = np.ascontiguousarray(conditions, np.float32)
    _check_finite(vectors, what)
    return vectors


def _channels_first(array: Array, what: str) -> tuple[Array, tuple[str, ...]]:
    if array.ndim == 3 and array.shape[2] in (3, 4) and min(array.shape[:2]) > 4:
        height, width, channels = array.shape
        raise InputError(
            f"{what}: this is one image of {height}x{width} with {channels} channels, not a set",
            hint="stack the images: np.stack(images), shape [N, H, W, C]",
        )
    if array.ndim == 3:
        return array[:, None], ()
    if array.ndim == 4:
        first, last = array.shape[1] in CHANNELS, array.shape[3] in CHANNELS
        if last:
            note = f"shape {array.shape} read as [N, H, W, C], though it could be [N, C, H, W]"
            return array.transpose(0, 3, 1, 2), (note,) if first else ()
        if first:
            return array, ()
    hint = f"expected: {_LAYOUTS}"
    if array.ndim == 2:
        hint = f"flattened images must be reshaped, points must be floats; {hint}"
    raise InputError(f"{what}: an array of shape {array.shape} and type {array.dtype} is not read", hint=hint)


def _as_bytes(images: Array, what: str, given: tuple[float, float] | None) -> tuple[Array, tuple[str, ...]]:
    """Contiguous uint8 images and a note on their levels; an array that is already one is returned unchanged."""
    if images.dtype.kind == "f":
        _check_finite(images, what)
    if images.dtype == bool:
        images = images.astype(np.uint8)
    levels = levels_of(images, given, what)
    notes = (levels.note,) if levels.note else ()
    if images.dtype == np.uint8 and images.flags.c_contiguous and levels.unchanged:
        return images, notes
    pixels = allocate(images.size, what).reshape(images.shape)
    if levels.unchanged and images.dtype.kind != "f":
        np.copyto(pixels, images, casting="unsafe")
        return pixels, notes
    for index, image in enumerate(images):  # one at a time, because a float copy of all might not fit
        pixels[index] = levels.to_bytes(image)
    return pixels, notes


def _no_range(value_range: tuple[float, float] | None, what: str) -> None:
    if value_range is not None:
        raise InputError(f"{what}: points have no black and white", hint="leave --range out")


def _check_finite(array: Array, what: str) -> None:
    if not all(np.isfinite(row).all() for row in array):
        raise InputError(f"{what}: some values are NaN or infinite", hint="remove those samples")
