"""Folders and zips of images: one pass over the headers decides what the set is, a second one decodes it."""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import PIL
import torch
from PIL import Image
from torch import Tensor

from gankit.base.text import plural, printable
from gankit.contracts import DataSpec
from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.colour import PALE, Background, brightness
from gankit.data.formats.levels import Levels, asked_for
from gankit.data.formats.limits import in_parallel
from gankit.data.formats.pixels import (
    BROKEN,
    BYTES,
    FORMATS,
    SIXTEEN_BITS,
    Form,
    Header,
    deepest,
    read_header,
    read_pixels,
)
from gankit.data.formats.resize import resize_note
from gankit.data.formats.sources import ImageFiles, labels_of
from gankit.data.preparation import OnBadImage, Preparation
from gankit.errors import InputError

_BAD_FILES_NAMED = 3
TRIED = 64  # transparent files by which the background is chosen

logger = logging.getLogger("gankit")


@dataclass(frozen=True)
class ImageRows:
    """The readable images of a folder or zip, in the order of their names; sub-folders are classes (see `Rows`)."""

    files: ImageFiles
    name: str
    how: Preparation
    form: Form
    headers: dict[int, Header]  # index of a readable file -> its header, sorted by index
    bad: dict[int, str]  # index of an unreadable file -> the reason
    order: list[int]  # row -> index of its file

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self.form.channels, *self.form.size

    @property
    def infers_levels(self) -> bool:
        """Whether a set that uses a small part of its range is stretched when all of it is decoded."""
        return self.how.value_range is None

    @property
    def where(self) -> str:
        """The source, as shown to people."""
        return self.files.where

    def __len__(self) -> int:
        return len(self.order)

    def identity(self) -> str:
        """sha256 (hex) of shape, names, sizes and dates (in a zip: checksums) of the files, headers, Pillow's version.

        The bytes of the files are not read again: a change that keeps size and date goes unnoticed.
        """
        head = f"images {self.form} {self.infers_levels} {labels_of(self.files).digest()} Pillow {PIL.__version__}\n"
        digest = hashlib.sha256(head.encode("utf-8", "surrogateescape"))
        try:
            for name, header in ((self.files.names[index], self.headers[index]) for index in self.order):
                digest.update(os.fsencode(name) + f"\0{self.files.stamp(name)} {tuple(header)}\n".encode())
        except OSError as error:
            raise InputError(f"{self.where}: its files have just changed: {error}", hint="try again") from error
        return digest.hexdigest()

    def decode(self, rows: range, into: Array) -> dict[int, str]:
        """Write the pixels of some rows into `into`, without gaps; returns the reasons of the rows that failed."""

        def one(place: int) -> str | None:
            try:
                with self.files.open(self.files.names[self.order[rows[place]]]) as stream:
                    into[place] = read_pixels(stream, self.form)
            except BROKEN as error:
                return _reason(error)
            return None

        kept = 0
        broken: dict[int, str] = {}
        with _quiet_pillow():
            for place, reason in enumerate(in_parallel(one, range(len(rows)), "decoding images")):
                if reason is not None:
                    broken[rows[place]] = reason
                    continue
                if kept != place:
                    into[kept] = into[place]  # in place, because a copy might not fit into memory
                kept += 1
        return broken

    def check(self, broken: Mapping[int, str]) -> None:
        """InputError for files that could not be decoded, unless they are to be skipped and some are left."""
        if broken:
            _check(self.files, self.bad | self._named(broken), self.how.on_bad_image)

    def dataset(self, samples: Tensor, broken: Mapping[int, str]) -> Dataset:
        """The data set of the decoded images [N, C, H, W]; skipped files are logged."""
        _log_skipped(self.files, self._named(broken))
        kept = [index for row, index in enumerate(self.order) if row not in broken]
        headers = [self.headers[index] for index in kept]
        labels = labels_of(self.files).of(kept)
        lost = len(self.bad) + len(broken)
        skipped = (f"{plural(lost, 'unreadable file')} skipped",) if lost else ()
        return Dataset(
            name=self.name,
            spec=DataSpec(shape=self.shape, classes=labels.classes, attributes=labels.attributes),
            samples=samples,
            labels=None if labels.numbers is None else torch.from_numpy(labels.numbers),
            conditions=None if labels.vectors is None else torch.from_numpy(labels.vectors),
            notes=(*_notes(headers, self.form), *labels.notes, *skipped, *self.files.notes),
        )

    def _named(self, broken: Mapping[int, str]) -> dict[int, str]:
        return {self.order[row]: reason for row, reason in broken.items()}


def image_rows(files: ImageFiles, name: str, how: Preparation) -> ImageRows:
    """The rows of a set of files, whose shape follows from their headers; without a size all must have one."""
    labels_of(files)  # images beside sub-folders are refused before anything is read
    Image.preinit()  # before the threads start, which would all do it
    with _quiet_pillow():
        headers, bad = _read_headers(files)
        _check(files, bad, how.on_bad_image)
        _log_skipped(files, bad)
        readable = list(headers.values())
        channels = how.channels or _channels(readable)
        form = Form(channels, how.size or _common_size(files.where, readable))
        byte, deep = _levels(files, headers, how)
        form = form._replace(bytes=byte, deep=deep, background=_background(files, headers, channels))
    return ImageRows(files, name, how, form, headers, bad, list(headers))


def _levels(files: ImageFiles, headers: Mapping[int, Header], how: Preparation) -> tuple[Levels, Levels]:
    """The levels of the files of 8 and of 16 bits: as given, or by the largest value of the latter."""
    deep = [index for index, header in headers.items() if header.sixteen_bit]
    if how.value_range is not None:
        if deep and len(deep) < len(headers):
            raise InputError(
                f"{files.where}: {len(deep):,} of {len(headers):,} files have 16 bits: --range cannot mean both kinds",
                hint="leave --range out, or give files of one depth",
            )
        asked = asked_for(how.value_range, 0, SIXTEEN_BITS.white if deep else BYTES.white, files.where)
        return asked, asked
    if not deep:
        return BYTES, SIXTEEN_BITS

    def one(index: int) -> int:
        try:
            with files.open(files.names[index]) as stream:
                return deepest(stream)[1]
        except BROKEN:  # it will be reported when it is decoded
            return 0

    largest = max(in_parallel(one, deep, "looking for the largest value"))
    white = 2 ** max(8, largest.bit_length()) - 1
    note = f"values up to {largest:,}, so {white:,} is white" if white < SIXTEEN_BITS.white else ""
    return BYTES, Levels(0, white, note)


def _background(files: ImageFiles, headers: Mapping[int, Header], channels: int) -> Background:
    """White where alpha is dropped, but for pictures that could not be seen on it."""
    clear = [index for index, header in headers.items() if header.alpha][:TRIED]
    if channels == 4 or not clear:
        return "white"
    found = []
    for index in clear:
        try:
            with files.open(files.names[index]) as stream, Image.open(stream, formats=FORMATS) as image:
                found.append(brightness(image))
        except BROKEN:  # it will be reported when it is decoded
            continue
    seen = [value for value in found if value is not None]
    return "black" if seen and sum(seen) / len(seen) > PALE else "white"


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings, which are harmless (EXIF) or about sizes that are checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read_headers(files: ImageFiles) -> tuple[dict[int, Header], dict[int, str]]:
    def one(name: str) -> Header | str:
        try:
            with files.open(name) as stream:
                return read_header(stream)
        except BROKEN as error:
            return _reason(error)

    headers: dict[int, Header] = {}
    bad: dict[int, str] = {}
    for index, answer in enumerate(in_parallel(one, files.names, "reading headers")):
        if isinstance(answer, str):
            bad[index] = answer
        else:
            headers[index] = answer
    return headers, bad


def _check(files: ImageFiles, bad: Mapping[int, str], on_bad: OnBadImage) -> None:
    """InputError for unreadable images, unless they are to be skipped and some are left."""
    if not bad or (on_bad == "skip" and len(bad) < len(files.names)):
        return
    listed = [_named(files, bad, index) for index in sorted(bad)[:_BAD_FILES_NAMED]]
    count = f"{len(bad):,} of {plural(len(files.names), 'image')} cannot be read"
    more = f"; and {len(bad) - _BAD_FILES_NAMED:,} more" if len(bad) > _BAD_FILES_NAMED else ""
    hint = "fix or remove them" + (", or leave them out with `--on-bad-image skip`" if on_bad == "error" else "")
    raise InputError(f"{files.where}: {count}: {'; '.join(listed)}{more}", hint=hint)


def _log_skipped(files: ImageFiles, bad: Mapping[int, str]) -> None:
    if bad:
        reasons = "; ".join(_named(files, bad, index) for index in sorted(bad))
        logger.warning("%s: %s left out: %s", files.where, plural(len(bad), "unreadable image"), reasons)


def _named(files: ImageFiles, bad: Mapping[int, str], index: int) -> str:
    return f"{printable(files.names[index])}: {bad[index]}"


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


def _notes(headers: Sequence[Header], form: Form) -> list[str]:
    channels, size = form.channels, form.size
    sizes = [common for common, _ in Counter(header.size for header in headers).most_common()]
    notes = [resize_note(sizes, size)] if sizes != [size] else []
    grey = 0 if channels == 1 else sum(not header.colour for header in headers)
    colour = sum(header.colour for header in headers) if channels == 1 else 0
    depth = f" ({form.deep.note})" if form.deep.note else ""
    notes += [form.bytes.note] if form.bytes.note and not all(header.sixteen_bit for header in headers) else []
    facts = [
        (grey, f"grey file{{s}} became {'RGB' if channels == 3 else 'RGBA'}"),
        (colour, "file{s} in colour became grey"),
        (
            0 if channels == 4 else sum(header.alpha for header in headers),
            f"transparent file{{s}} laid on {form.background}",
        ),
        (sum(header.sixteen_bit for header in headers), f"file{{s}} of 16 bits scaled to 8 bits{depth}"),
        (sum(header.animated for header in headers), "animated file{s}: first frame only"),
    ]
    return notes + [f"{count:,} {text.format(s='' if count == 1 else 's')}" for count, text in facts if count]


def _reason(error: Exception) -> str:
    # Pillow's text for this error is only the repr of the stream.
    text = "not a PNG, JPEG, WebP, BMP or PPM image" if type(error).__name__ == "UnidentifiedImageError" else str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return printable(text or type(error).__name__)[:200]
