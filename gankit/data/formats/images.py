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
from itertools import chain, groupby

import PIL
import torch
from PIL import Image
from torch import Tensor

from gankit.base.text import plural, printable
from gankit.contracts import DataSpec
from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.colour import BLACK, PALE, WHITE, Colour, brightness
from gankit.data.formats.limits import in_parallel
from gankit.data.formats.page_levels import page_levels
from gankit.data.formats.page_notes import page_notes
from gankit.data.formats.pictures import open_picture
from gankit.data.formats.pixels import BROKEN, Form, Header, Page, read_headers, read_pixels, stored_values
from gankit.data.formats.resize import REDUCED_TO
from gankit.data.formats.sources import ImageFiles, labels_of, suffix_of
from gankit.data.preparation import OnBadImage, Preparation
from gankit.errors import InputError, ResourceError

_BAD_FILES_NAMED = 3
TRIED = 64  # transparent files by which the background is chosen

logger = logging.getLogger("gankit")


@dataclass(frozen=True)
class ImageRows:
    """The readable pictures of a folder or zip, in the order of their names; sub-folders are classes (see `Rows`)."""

    files: ImageFiles
    name: str
    how: Preparation
    form: Form
    pages: list[Page]
    """Row -> the picture; those of one file are neighbours."""
    bad: dict[int, str]
    """Index of an unreadable file -> the reason."""

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
        return len(self.pages)

    def identity(self) -> str:
        """sha256 (hex) of shape, names, sizes and dates (in a zip: checksums) of the files, headers, the decoder.

        The bytes of the files are not read again: a change that keeps size and date goes unnoticed.
        """
        decoder = f"JPEG at {REDUCED_TO} times the size or more, Pillow {PIL.__version__}"
        head = f"images {self.form} {self.infers_levels} {labels_of(self.files).digest()} {decoder}\n"
        digest = hashlib.sha256(head.encode("utf-8", "surrogateescape"))
        try:
            for page in self.pages:
                name = self.files.names[page.file]
                stamp = f"\0{self.files.stamp(name)} {tuple(page.header)}\n"
                digest.update(os.fsencode(name) + stamp.encode())
        except OSError as error:
            raise InputError(f"{self.where}: its files have just changed: {error}", hint="try again") from error
        return digest.hexdigest()

    def decode(self, rows: range, into: Array) -> dict[int, str]:
        """Write the pixels of some rows into `into`, without gaps; returns the reasons of the rows that failed."""
        places = range(len(rows))
        by_file = [list(group) for _, group in groupby(places, lambda place: self.pages[rows[place]].file)]

        def one(group: list[int]) -> list[str | None]:
            reasons: list[str | None] = []
            try:
                with _opened(self.files, self.pages[rows[group[0]]]) as image:
                    for place in group:
                        into[place] = read_pixels(image, self.pages[rows[place]].header.frame, self.form)
                        reasons.append(None)
            except BROKEN as error:  # what follows in this file is lost too
                reasons += [_reason(error)] * (len(group) - len(reasons))
            return reasons

        kept = 0
        broken: dict[int, str] = {}
        with _quiet_pillow():
            results = chain.from_iterable(in_parallel(one, by_file, "decoding images"))
            for place, reason in enumerate(results):
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
        kept = [page for row, page in enumerate(self.pages) if row not in broken]
        labels = labels_of(self.files).of([page.file for page in kept])
        lost = len(self.bad.keys() | self._named(broken).keys())
        skipped = (f"{plural(lost, 'unreadable file')} skipped",) if lost else ()
        return Dataset(
            name=self.name,
            spec=DataSpec(shape=self.shape, classes=labels.classes, attributes=labels.attributes),
            samples=samples,
            labels=None if labels.numbers is None else torch.from_numpy(labels.numbers),
            conditions=None if labels.vectors is None else torch.from_numpy(labels.vectors),
            notes=(*page_notes(kept, self.form, self.how), *labels.notes, *skipped, *self.files.notes),
            levels=self.form.levels({page.header.depth for page in kept}),
        )

    def _named(self, broken: Mapping[int, str]) -> dict[int, str]:
        return {self.pages[row].file: reason for row, reason in broken.items()}


def image_rows(files: ImageFiles, name: str, how: Preparation) -> ImageRows:
    """The rows of a set of files, whose shape follows from their headers; without a size all must have one."""
    labels_of(files)  # images beside sub-folders are refused before anything is read
    Image.preinit()  # before the threads start, which would all do it
    with _quiet_pillow():
        pages, bad = _read_headers(files, every=how.frames == "all")
        _check(files, bad, how.on_bad_image)
        _log_skipped(files, bad)
        headers = [page.header for page in pages]
        channels = how.channels or _channels(headers, keeps_alpha=how.background is None)
        size = how.size or _common_size(files.where, headers)

        def values(page: Page) -> Array | None:
            try:
                with _opened(files, page) as image:
                    return stored_values(image, page.header.frame)
            except BROKEN:  # it will be reported when it is decoded
                return None

        levels = page_levels(pages, how.value_range, values, files.where)
        form = Form(channels, size, *levels, background=how.background or _background(files, pages, channels))
    return ImageRows(files, name, how, form, pages, bad)


@contextmanager
def _opened(files: ImageFiles, page: Page) -> Iterator[Image.Image]:
    name = files.names[page.file]
    with _in_memory(files, name), files.open(name) as stream, open_picture(stream, suffix_of(name)) as image:
        yield image


@contextmanager
def _in_memory(files: ImageFiles, name: str) -> Iterator[None]:
    """ResourceError for a picture that does not fit into the memory."""
    try:
        yield
    except MemoryError as error:
        raise ResourceError(
            f"{files.where}, {printable(name)}: the memory is too small to decode it", hint="make it smaller"
        ) from error


def _background(files: ImageFiles, pages: Sequence[Page], channels: int) -> Colour:
    """White where alpha is dropped, but for pictures that could not be seen on it."""
    clear = [page for page in pages if page.header.alpha][:TRIED]
    if channels == 4 or not clear:
        return WHITE
    found = []
    for page in clear:
        try:
            with _opened(files, page) as image:
                found.append(brightness(image))
        except BROKEN:  # it will be reported when it is decoded
            continue
    seen = [value for value in found if value is not None]
    return BLACK if seen and sum(seen) / len(seen) > PALE else WHITE


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings, which are harmless (EXIF) or about sizes that are checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read_headers(files: ImageFiles, *, every: bool) -> tuple[list[Page], dict[int, str]]:
    def one(name: str) -> list[Header] | str:
        try:
            with _in_memory(files, name), files.open(name) as stream:
                return read_headers(stream, suffix_of(name), every=every)
        except BROKEN as error:
            return _reason(error)

    pages: list[Page] = []
    bad: dict[int, str] = {}
    for index, answer in enumerate(in_parallel(one, files.names, "reading headers")):
        if isinstance(answer, str):
            bad[index] = answer
        else:
            pages += [Page(index, header) for header in answer]
    return pages, bad


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


def _channels(headers: Sequence[Header], *, keeps_alpha: bool) -> int:
    if keeps_alpha and all(header.alpha for header in headers):
        return 4
    return 3 if any(header.colour for header in headers) else 1


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(text or type(error).__name__)[:200]
