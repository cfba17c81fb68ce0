"""Folders and zips of images: one pass over the headers decides what the set is, a second one decodes it."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from PIL import Image

from gankit.contracts import DataSpec
from gankit.data.dataset import Dataset
from gankit.data.layout import Array
from gankit.data.limits import Progress, check_memory, in_parallel
from gankit.data.pixels import BROKEN, Header, read_header, read_pixels
from gankit.data.resize import resize_note
from gankit.data.sources import ImageFiles, class_labels
from gankit.data.text import plural
from gankit.errors import InputError
from gankit.text import printable

OnBadImage = Literal["error", "skip"]
_NAMED = 3  # bad files named in a message

logger = logging.getLogger("gankit")


def load_images(
    files: ImageFiles, name: str, size: tuple[int, int] | None, on_bad: OnBadImage, progress: Progress | None
) -> Dataset:
    """All images of a source: uint8 [N, C, H, W], with the names of its sub-folders as classes."""
    classes, labels, class_notes = class_labels(files)
    Image.preinit()  # before the threads do it all at once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow warns of is either harmless (EXIF) or checked here (sizes)
        headers, bad = _read_headers(files, progress)
        _judge(files, bad, on_bad)
        indices = sorted(headers)
        found = [headers[index] for index in indices]
        target = size or _common_size(files.where, found)
        channels = _channels(found)
        samples, kept, broken = _read_all(files, indices, channels, target, progress)
        _judge(files, bad | broken, on_bad, already=bad)
    found = [headers[index] for index in kept]
    numbers = None
    if labels is not None:
        chosen, used = np.unique([labels[index] for index in kept], return_inverse=True)
        classes = tuple(classes[number] for number in chosen)  # a class may have lost all its images
        numbers = torch.from_numpy(used.astype(np.int64))
    notes = _notes(found, channels, target)
    skipped = (f"{plural(len(bad | broken), 'unreadable file')} skipped",) if bad or broken else ()
    return Dataset(
        name=name,
        spec=DataSpec(shape=(channels, *target), classes=classes),
        samples=torch.from_numpy(samples),
        labels=numbers,
        notes=(*notes, *class_notes, *skipped, *files.notes),
    )


def _read_headers(files: ImageFiles, progress: Progress | None) -> tuple[dict[int, Header], dict[int, str]]:
    def one(name: str) -> Header | str:
        try:
            with files.open(name) as stream:
                return read_header(stream)
        except BROKEN as error:
            return _reason(error)

    headers: dict[int, Header] = {}
    bad: dict[int, str] = {}
    for index, answer in enumerate(in_parallel(one, files.names, "reading headers", progress)):
        if isinstance(answer, str):
            bad[index] = answer
        else:
            headers[index] = answer
    return headers, bad


def _read_all(
    files: ImageFiles, indices: Sequence[int], channels: int, size: tuple[int, int], progress: Progress | None
) -> tuple[Array, list[int], dict[int, str]]:
    """Pixels [n, C, H, W] of the files that could be decoded, their indices, and the reasons of the others."""
    shape = (len(indices), channels, *size)
    check_memory(int(np.prod(shape, dtype=object)), files.where)
    samples = np.empty(shape, np.uint8)

    def one(row: int) -> str | None:
        try:
            with files.open(files.names[indices[row]]) as stream:
                samples[row] = read_pixels(stream, channels, size)
        except BROKEN as error:
            return _reason(error)
        return None

    kept: list[int] = []
    broken: dict[int, str] = {}
    for row, reason in enumerate(in_parallel(one, range(len(indices)), "decoding images", progress)):
        if reason is not None:
            broken[indices[row]] = reason
            continue
        if len(kept) != row:
            samples[len(kept)] = samples[row]  # close the gap in place: a copy might not fit into memory
        kept.append(indices[row])
    return samples[: len(kept)], kept, broken


def _judge(files: ImageFiles, bad: dict[int, str], on_bad: OnBadImage, already: dict[int, str] | None = None) -> None:
    """Raise for unreadable images, or log those that are new when they are to be skipped."""
    new = sorted(set(bad) - set(already or ()))
    if not new:
        return
    listed = [f"{printable(files.names[index])}: {bad[index]}" for index in sorted(bad)[:_NAMED]]
    count = f"{len(bad):,} of {plural(len(files.names), 'image')} cannot be read"
    if on_bad == "error" or len(bad) == len(files.names):
        more = f"; and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
        hint = "mend or remove them" + (", or leave them out with `--on-bad-image skip`" if on_bad == "error" else "")
        raise InputError(f"{files.where}: {count}: {'; '.join(listed)}{more}", hint=hint)
    reasons = "; ".join(f"{printable(files.names[index])}: {bad[index]}" for index in new)
    logger.warning("%s: %s left out: %s", files.where, plural(len(new), "unreadable image"), reasons)


def _common_size(where: str, headers: Sequence[Header]) -> tuple[int, int]:
    sizes = Counter(header.size for header in headers)
    (height, width), count = sizes.most_common(1)[0]
    if len(sizes) == 1:
        return height, width
    share = f"{100 * count / len(headers):.0f} %"
    raise InputError(
        f"{where}: the images differ in size: {height}x{width} ({share}) and {plural(len(sizes) - 1, 'other size')}",
        hint="choose one with `--size HEIGHTxWIDTH` (centre crop, then Lanczos)",
    )


def _channels(headers: Sequence[Header]) -> int:
    if all(header.alpha for header in headers):
        return 4
    return 3 if any(header.colour for header in headers) else 1


def _notes(headers: Sequence[Header], channels: int, size: tuple[int, int]) -> list[str]:
    sizes = [found for found, _ in Counter(header.size for header in headers).most_common()]
    notes = [resize_note(sizes, size)] if sizes != [size] else []
    grey = 0 if channels == 1 else sum(not header.colour for header in headers)
    facts = [
        (grey, f"grey file{{s}} became {'RGB' if channels == 3 else 'RGBA'}"),
        (0 if channels == 4 else sum(header.alpha for header in headers), "file{s} lost the alpha channel"),
        (sum(header.sixteen_bit for header in headers), "file{s} of 16 bits scaled to 8 bits"),
        (sum(header.animated for header in headers), "animated file{s}: first frame only"),
    ]
    return notes + [f"{count:,} {text.format(s='' if count == 1 else 's')}" for count, text in facts if count]


def _reason(error: Exception) -> str:
    # Pillow puts the stream's repr into this one: it says nothing to people.
    text = "not a PNG, JPEG, WebP, BMP or PPM image" if type(error).__name__ == "UnidentifiedImageError" else str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return printable(text or type(error).__name__)[:200]
