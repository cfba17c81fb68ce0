"""Loads the data set named by `--data`: a name of the catalogue, or a path whose format is recognised by content."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median_low

import numpy as np
import torch

from gankit.base.text import did_you_mean, opening, printable, short_name
from gankit.contracts import Attribute, DataSpec
from gankit.data.dataset import Dataset, DatasetFactory
from gankit.data.formats import Array
from gankit.data.formats.arrangement import TRAIN
from gankit.data.formats.format import START_BYTES, Format, Request
from gankit.data.formats.images import ImageRows, image_rows
from gankit.data.formats.known import FORMATS
from gankit.data.formats.pictures import kind_by_suffix
from gankit.data.formats.resize import dataset_rows
from gankit.data.formats.rows import Rows, load_rows
from gankit.data.formats.sources import READ, labels_of, single_file
from gankit.data.formats.unread import Unread, unread_by_start, unread_by_suffix
from gankit.data.preparation import AS_THEY_ARE, Preparation
from gankit.data.selection import prepared, selected
from gankit.errors import InputError


def load_dataset(
    data: str,
    catalogue: Mapping[str, DatasetFactory],
    *,
    split: str = TRAIN,
    how: Preparation = AS_THEY_ARE,
) -> Dataset:
    """A data set by its catalogue name or path, prepared as the user wants it. A name takes precedence over a file."""
    with _open(data, catalogue, split, how) as (source, left):
        return prepared(source, left) if isinstance(source, Dataset) else load_rows(source)


def load_pictures(path: Path, catalogue: Mapping[str, DatasetFactory], how: Preparation = AS_THEY_ARE) -> Dataset:
    """One picture, which is no data set of its own, or what `load_dataset` reads."""
    if path.is_file() and kind_by_suffix(path.suffix.lower()) is not None:
        return load_rows(image_rows(single_file(path), short_name(path), how))
    return load_dataset(str(path), catalogue, how=how)


@contextmanager
def open_rows(
    data: str,
    catalogue: Mapping[str, DatasetFactory],
    how: Preparation = AS_THEY_ARE,
) -> Iterator[Rows]:
    """The images of `load_dataset` as rows that can be read part by part; InputError when the data are no images.

    Image files are decoded when their rows are read. Arrays (.npz, .npy, IDX) and named sets are loaded at once, into
    memory or into the folder of `limits.scratch`.
    """
    with _open(data, catalogue, TRAIN, how) as (source, left):
        if isinstance(source, Dataset) and not source.spec.is_image:
            raise InputError(
                f"'{printable(data)}' holds {source.spec.kind}, not images",
                hint="they are loaded as they are: use them without packing",
            )
        yield dataset_rows(selected(source, left), left) if isinstance(source, Dataset) else source


@dataclass(frozen=True)
class Survey:
    """What a data set is, as far as headers tell: image files are not decoded."""

    spec: DataSpec
    """Of one sample; of image files with the most common size."""
    count: int
    sizes: tuple[tuple[int, int], ...]
    """(height, width) of the images, the most common size first; empty for other kinds."""
    side: int
    """The median of the shorter sides of the images in pixels; 0 for other kinds."""
    classes: tuple[int, ...]
    """Samples of each class; empty without labels."""
    names: tuple[str, ...]
    """The names of these classes."""
    attributes: tuple[Attribute, ...]
    """The numbers of condition vectors, where they have names."""
    shares: tuple[float, ...]
    """Of each attribute: the share of the samples for which it holds, or the mean of its number."""
    kinds: Mapping[str, int]
    """'RGB', 'grey', 'transparent', '16 bits', 'of several frames', … -> how many pictures; empty for arrays."""
    left_out: Mapping[str, str]
    """File that cannot be read -> why."""
    notes: tuple[str, ...]
    """What was inferred, or not used."""
    sample: Callable[[int], Dataset]
    """At most so many of the samples, spread over the set in runs of neighbours, at a common size."""


def survey(
    data: str, catalogue: Mapping[str, DatasetFactory], how: Preparation = AS_THEY_ARE, side: int = 64
) -> Survey:
    """A first look at a data set, for advice; `side` is the size of the images of `Survey.sample`."""
    small = replace(how, size=(side, side))
    with _open(data, catalogue, TRAIN, small) as (source, left):
        if isinstance(source, Dataset):
            chosen = selected(source, left)
            return _survey_arrays(chosen, replace(left, size=None, kind=None, bands=None, length=None))
        labels = labels_of(source.files).of([page.file for page in source.pages])
        present = () if labels.numbers is None else tuple(np.bincount(labels.numbers).tolist())
        headers = [page.header for page in source.pages]
        sizes = [header.size for header in headers]
        common = tuple(size for size, _ in Counter(sizes).most_common())
        kinds = Counter("RGB" if header.colour else "grey" for header in headers)
        kinds["transparent"] = sum(header.alpha for header in headers)
        kinds.update(header.depth for header in headers if header.depth != "8 bits")
        kinds["of several frames"] = sum(header.more for header in headers)
        return Survey(
            spec=DataSpec((source.shape[0], *common[0]), labels.classes),
            count=len(source),
            sizes=common,
            side=int(median_low([min(size) for size in sizes])),
            classes=present,
            names=labels.classes,
            attributes=labels.attributes,
            shares=shares_of(labels.attributes, labels.vectors),
            kinds={kind: count for kind, count in kinds.items() if count},
            left_out={source.files.names[index]: reason for index, reason in source.bad.items()},
            notes=(*labels.notes, *source.files.notes),
            sample=lambda most: _sample_of_files(data, most, small),
        )


def _survey_arrays(data: Dataset, how: Preparation = AS_THEY_ARE) -> Survey:
    shape = dataset_rows(data, how).shape if data.spec.is_image else data.spec.shape
    counts = (
        () if data.labels is None else tuple(torch.bincount(data.labels, minlength=len(data.spec.classes)).tolist())
    )

    def sample(most: int) -> Dataset:
        kept = torch.tensor(spread(len(data), most))
        labels = None if data.labels is None else data.labels[kept]
        conditions = None if data.conditions is None else data.conditions[kept].contiguous()
        some = replace(data, samples=data.samples[kept].contiguous(), labels=labels, conditions=conditions)
        return load_rows(dataset_rows(some, how)) if data.spec.is_image else some

    return Survey(
        spec=data.spec,
        count=len(data),
        sizes=((shape[1], shape[2]),) if data.spec.is_image else (),
        side=min(shape[1:]) if data.spec.is_image else 0,
        classes=counts,
        names=data.spec.classes,
        attributes=data.spec.attributes,
        shares=shares_of(data.spec.attributes, None if data.conditions is None else data.conditions.numpy()),
        kinds={},
        left_out={},
        notes=data.notes,
        sample=sample,
    )


def _sample_of_files(data: str, most: int, how: Preparation) -> Dataset:
    with _open(data, {}, TRAIN, how) as (source, _):
        if isinstance(source, Dataset):  # the folder has just become something else
            return _survey_arrays(source).sample(most)
        return load_rows(replace(source, pages=[source.pages[row] for row in spread(len(source), most)]))


def spread(count: int, most: int, together: int = 8) -> list[int]:
    """At most `most` of the indices 0..count-1: runs of neighbours at equal distances, or all of them."""
    if count <= most:
        return list(range(count))
    runs = max(1, most // together)
    starts = [run * (count - together) // max(1, runs - 1) for run in range(runs)]
    return sorted({start + step for start in starts for step in range(together)})[:most]


@contextmanager
def _open(
    data: str,
    catalogue: Mapping[str, DatasetFactory],
    split: str,
    how: Preparation,
) -> Iterator[tuple[Dataset | ImageRows, Preparation]]:
    """Image files as rows that are prepared; everything else as a data set, with what of the preparation is left."""
    factory = catalogue.get(data)
    if factory is not None:
        _refuse_columns(data, how)
        yield _split_of(data, factory, split)(), replace(how, on_bad_image="error", frames="first")
        return
    request = _request(_existing_path(data, catalogue), split, how)
    found = _format_of(request)
    _refuse_columns(data, how, found)
    with found.open(request) as opened:
        yield opened


def _refuse_columns(data: str, how: Preparation, format: Format | None = None) -> None:
    """InputError for --labels where there is no file of labels, and for --image-column but for Parquet."""
    if how.image_column is not None and not (format and format.image_column):
        raise InputError(
            f"{printable(data)} holds no column of images, as Parquet files do", hint="leave out --image-column"
        )
    if how.labels is not None and not (format and format.labels):
        raise InputError(
            f"{printable(data)} has no file of labels from which --labels could choose", hint="leave out --labels"
        )


def shares_of(attributes: tuple[Attribute, ...], vectors: Array | None) -> tuple[float, ...]:
    """Of each attribute: the share of the vectors [N, K] for which it holds, or the mean of its number."""
    if vectors is None or not attributes:
        return ()
    means = vectors.mean(0, dtype=np.float64).tolist()
    return tuple(a.mean + a.std * mean for a, mean in zip(attributes, means, strict=True))


def _split_of(data: str, factory: DatasetFactory, split: str) -> DatasetFactory:
    if split == TRAIN:
        return factory
    splits: Mapping[str, DatasetFactory] = getattr(factory, "splits", {})
    if split not in splits:
        known = ", ".join((TRAIN, *splits))
        raise InputError(f"data set '{data}' has no split '{printable(split)}'", hint=f"its splits: {known}")
    return splits[split]


def _existing_path(data: str, catalogue: Mapping[str, DatasetFactory]) -> Path:
    names = ", ".join(sorted(catalogue))
    if not data.strip():
        raise InputError("no data set is named", hint=f"give a path or one of: {names}")
    try:
        path = Path(data).expanduser()
        path.stat()
        return path
    except (OSError, ValueError, RuntimeError) as error:  # includes names too long, NUL bytes and an unknown ~user
        if isinstance(error, PermissionError):
            raise InputError(f"{printable(data)}: permission denied", hint="check who may read it") from error
        raise InputError(
            f"'{printable(data)}' is neither a data set nor a path that exists",
            hint=f"{did_you_mean(data, catalogue)}known are {names}; or give the path of a folder or file",
        ) from error


def _request(path: Path, split: str, how: Preparation) -> Request:
    where, start = printable(path), b""
    if not path.is_dir():
        if not stat.S_ISREG(path.stat().st_mode):  # before opening, because a FIFO would block
            raise InputError(f"{where}: neither a regular file nor a folder", hint=READ)
        try:
            with path.open("rb") as stream:
                start = stream.read(START_BYTES)
        except OSError as error:
            raise InputError(f"{where}: cannot be read: {error.strerror}", hint="check its permissions") from error
    return Request(path, start, short_name(path), split, how)


def _format_of(request: Request) -> Format:
    """The format of a path, which is recognised by its content; InputError says what it is if it is not read."""
    where = printable(request.path)
    unread = None if request.path.is_dir() else unread_by_suffix(request.suffix)
    found = None if unread else next((format for format in FORMATS if format.claims(request)), None)
    if found is None:
        raise _not_read(request, unread or unread_by_start(request.start))
    if not found.splits and request.split != TRAIN:
        raise InputError(
            f"{where} has no split '{printable(request.split)}'", hint="give the path of the other images instead"
        )
    return found


def _not_read(request: Request, unread: Unread | None) -> InputError:
    where, suffix, start = printable(request.path), request.suffix, request.start
    if unread is not None:
        return InputError(
            f"{where}: {unread.name} files are not read, for {unread.reason}",
            hint=f"convert: {printable(unread.converted(request.path.name))}",
        )
    if kind_by_suffix(suffix) is not None:
        return InputError(
            f"{where}: one image is not a data set",
            hint="give the folder that holds the images, or --frames all for one file of several",
        )
    what = "not a sound zip file" if suffix in (".zip", ".npz") else "not a kind of file that is read"
    begins = "empty" if not start else f"it starts with {opening(start)}"
    return InputError(f"{where}: {what} ({begins})", hint=READ)
