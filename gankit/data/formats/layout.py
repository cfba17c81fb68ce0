"""The meaning of an array: its kind, layout, range and labels are inferred here, and a note reports what was inferred.

What could be two kinds of data is refused, in one line that names `--kind`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gankit.contracts import Kind
from gankit.data.formats import Array
from gankit.data.formats.columns import class_order
from gankit.data.formats.levels import Levels, levels_of, levels_of_signals
from gankit.data.formats.limits import allocate
from gankit.errors import InputError
from gankit.modality import BY_NAME, MODALITIES

CHANNELS = (1, 3, 4)  # an axis of so many is one of channels
FEW = 4  # an axis of at most so many is no side of an image
LONG = 8  # times as long as wide: an array that may be images or signals
_LAYOUTS = "; ".join(f"{modality.layouts} for {modality.name}" for modality in MODALITIES)


class Read(NamedTuple):
    """An array as a data set stores it."""

    samples: Array
    """[N, *shape]: uint8 images and volumes, float32 points and signals."""
    notes: tuple[str, ...]
    """What was inferred."""
    units: tuple[float, float] = (-1.0, 1.0)
    """See `DataSpec.units`."""
    levels: tuple[float, float] = (0, 255)
    """See `Dataset.levels`."""


def as_samples(
    array: Array, what: str, value_range: tuple[float, float] | None = None, kind: Kind | None = None
) -> Read:
    """Any accepted array as it is stored.

    `value_range` are the values of black and white, or of -1 and 1 (see `levels`); `kind` says what a sample is. None:
    what the array says.
    """
    if array.dtype.kind not in "uifb":
        raise InputError(f"{what}: arrays of type {array.dtype} are not read", hint="store uint8 or float32 numbers")
    if min(array.shape, default=0) == 0:
        raise InputError(f"{what}: the array of shape {array.shape} is empty", hint=f"expected: {_LAYOUTS}")
    kind, why = _kind_of(array, kind, what)
    notes = (why,) if why else ()
    if kind == "points":
        return Read(_points(array, what, value_range), notes)
    ordered, layout_notes = _ORDERS[kind](array)
    if kind == "signals":
        if array.dtype.kind == "f":
            _check_finite(array, what)
        levels = levels_of_signals(ordered, value_range, what)
        signals = allocate(4 * ordered.size, what).view(np.float32).reshape(ordered.shape)
        for index, signal in enumerate(ordered):
            signals[index] = levels.to_unit(signal)
        said = (levels.note,) if levels.note else ()
        return Read(signals, (*notes, *layout_notes, *said), units=levels.ends)
    pixels, levels = _as_bytes(ordered, what, value_range)
    said = (levels.note,) if levels.note else ()
    return Read(pixels, (*notes, *layout_notes, *said), levels=levels.ends)


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


def _kind_of(array: Array, given: Kind | None, what: str) -> tuple[Kind, str]:
    """What the samples of an array are, and a note where that is not obvious."""
    shape = array.shape
    if given is not None:
        ranks = {"points": (2,), "signals": (2, 3), "images": (3, 4), "volumes": (4, 5)}[given]
        if array.ndim not in ranks:
            raise InputError(
                f"{what}: an array of shape {shape} holds no {given}", hint=f"expected: {BY_NAME[given].layouts}"
            )
        return given, ""
    if array.ndim == 2 and array.dtype.kind == "f":
        return "points", ""
    if array.ndim == 3:
        if shape[2] in (3, 4) and min(shape[:2]) > FEW:
            height, width, channels = shape
            raise InputError(
                f"{what}: this is one image of {height}x{width} with {channels} channels, not a set",
                hint="stack the images: np.stack(images), shape [N, H, W, C]; or are they signals: --kind signals",
            )
        if min(shape[1:]) <= FEW < max(shape[1:]):
            return "signals", f"shape {shape} read as signals of {max(shape[1:]):,} steps (--kind images: as pictures)"
        if array.dtype.kind == "f" and max(shape[1:]) >= LONG * min(shape[1:]):
            raise _two_kinds(what, shape, f"images of {shape[1]}x{shape[2]}", f"signals of {max(shape[1:]):,} steps")
        return "images", ""
    if array.ndim == 4:
        if shape[1] in CHANNELS or shape[3] in CHANNELS:
            return "images", ""
        cubic = shape[1] == shape[2] == shape[3]
        if cubic:
            return "volumes", f"shape {shape} read as volumes [N, D, H, W] (--kind images: of {shape[3]} channels)"
        sides = "x".join(map(str, shape[1:]))
        raise _two_kinds(what, shape, f"images of {_odd_one(shape)} channels", f"volumes of {sides}")
    if array.ndim == 5:
        return "volumes", ""
    hint = f"expected: {_LAYOUTS}"
    if array.ndim == 2:
        hint = f"flattened images must be reshaped, points must be floats, signals take --kind signals; {hint}"
    raise InputError(f"{what}: an array of shape {shape} and type {array.dtype} is not read", hint=hint)


def _two_kinds(what: str, shape: tuple[int, ...], one: str, other: str) -> InputError:
    kinds = " or ".join(f"--kind {text.split()[0]}" for text in (one, other))
    return InputError(f"{what}: an array of shape {shape} could hold {one}, or {other}", hint=kinds)


def _odd_one(shape: tuple[int, ...]) -> int:
    """The number of channels of [N, C, H, W] or [N, H, W, C]: of the first and the last axis the shorter one."""
    return min(shape[1], shape[-1])


def _points(array: Array, what: str, value_range: tuple[float, float] | None) -> Array:
    if value_range is not None:
        raise InputError(f"{what}: points have no black and white", hint="leave --range out")
    with np.errstate(over="ignore"):  # 1e300 becomes infinite, which is refused
        points = array.astype(np.float32)
    _check_finite(points, what)
    return np.ascontiguousarray(points)


def _signals(array: Array) -> tuple[Array, tuple[str, ...]]:
    """[N, T, C], [N, C, T] or [N, T] -> [N, C, T]."""
    if array.ndim == 2:
        return array[:, None], ()
    if array.shape[1] < array.shape[2]:
        return array, (f"shape {array.shape} read as [N, C, T], {array.shape[1]} channels first",)
    return array.transpose(0, 2, 1), ()


def _images(array: Array) -> tuple[Array, tuple[str, ...]]:
    """[N, H, W], [N, H, W, C] or [N, C, H, W] -> [N, C, H, W]."""
    return (array[:, None], ()) if array.ndim == 3 else _channels_first(array, "[N, H, W, C]", "[N, C, H, W]")


def _volumes(array: Array) -> tuple[Array, tuple[str, ...]]:
    """[N, D, H, W], [N, D, H, W, C] or [N, C, D, H, W] -> [N, C, D, H, W]."""
    return (array[:, None], ()) if array.ndim == 4 else _channels_first(array, "[N, D, H, W, C]", "[N, C, D, H, W]")


def _channels_first(array: Array, last_layout: str, first_layout: str) -> tuple[Array, tuple[str, ...]]:
    first, last = array.shape[1] in CHANNELS, array.shape[-1] in CHANNELS
    if not (first or last):  # more than four channels: the shorter of the two axes, the last of two equal ones
        first, last = array.shape[1] < array.shape[-1], True
        if first:
            return array, (f"shape {array.shape} read as {first_layout}",)
        return np.moveaxis(array, -1, 1), (f"shape {array.shape} read as {last_layout}",)
    if last:
        note = f"shape {array.shape} read as {last_layout}, though it could be {first_layout}"
        return np.moveaxis(array, -1, 1), (note,) if first else ()
    return array, ()


_ORDERS = {"signals": _signals, "images": _images, "volumes": _volumes}


def _as_bytes(images: Array, what: str, given: tuple[float, float] | None) -> tuple[Array, Levels]:
    """Contiguous uint8 images and their levels; an array that is already one is returned unchanged."""
    if images.dtype.kind == "f":
        _check_finite(images, what)
    if images.dtype == bool:
        images = images.astype(np.uint8)
    levels = levels_of(images, given, what)
    if images.dtype == np.uint8 and images.flags.c_contiguous and levels.unchanged:
        return images, levels
    pixels = allocate(images.size, what).reshape(images.shape)
    if levels.unchanged and images.dtype.kind != "f":
        np.copyto(pixels, images, casting="unsafe")
        return pixels, levels
    for index, image in enumerate(images):  # one at a time, because a float copy of all might not fit
        pixels[index] = levels.to_bytes(image)
    return pixels, levels


def _check_finite(array: Array, what: str) -> None:
    if not all(np.isfinite(row).all() for row in array):
        raise InputError(f"{what}: some values are NaN or infinite", hint="remove those samples")
