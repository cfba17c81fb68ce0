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

from gankit.base.text import did_you_mean, printable, short_name
from gankit.contracts import Attribute
from gankit.data.dataset import Dataset, DatasetFactory
from gankit.data.formats import Array
from gankit.data.formats.arrangement import TRAIN, arranged
from gankit.data.formats.arrays import NPY_MAGIC, load_npy, load_npz
from gankit.data.formats.idx import find_idx, load_idx, load_idx_pair
from gankit.data.formats.images import ImageRows, image_rows
from gankit.data.formats.pack import MAGIC, load_pack
from gankit.data.formats.parquet import ARROW, ARROW_MAGIC, PARQUET_MAGIC, find_shards, parquet_files, refuse_arrow
from gankit.data.formats.resize import dataset_rows
from gankit.data.formats.rows import Rows, load_rows
from gankit.data.formats.sources import READ, SUFFIXES, folder_files, labels_of, tar_files, zip_files
from gankit.data.preparation import AS_THEY_ARE, Preparation
from gankit.errors import InputError

_GZIP, _ZIP = b"\x1f\x8b", b"PK"


def load_dataset(
    data: str,
    catalogue: Mapping[str, DatasetFactory],
    *,
    split: str = TRAIN,
    how: Preparation = AS_THEY_ARE,
) -> Dataset:
    """A data set by its catalogue name or path, prepared as the user wants it. A name takes precedence over a file."""
    with _open(data, catalogue, split, how) as (source, left):
        if isinstance(source, Dataset):
            if left == AS_THEY_ARE:
                return source
            rows = dataset_rows(source, left)
            return source if rows.shape == source.spec.shape and rows.levels.unchanged else load_rows(rows)
        return load_rows(source)


@contextmanager
def open_rows(
    data: str,
    catalogue: Mapping[str, DatasetFactory],
    how: Preparation = AS_THEY_ARE,
) -> Iterator[Rows]:
    """The images of `load_dataset` as rows that can be read part by part; InputError when the data are points.

    Image files are decoded when their rows are read. Arrays (.npz, .npy, IDX) and named sets are loaded at once, into
    memory or into the folder of `limits.scratch`.
    """
    with _open(data, catalogue, TRAIN, how) as (source, left):
        if isinstance(source, Dataset) and not source.spec.is_image:
            raise InputError(
                f"'{printable(data)}' holds points, not images", hint="points are small: use them as they are"
            )
        yield dataset_rows(source, left) if isinstance(source, Dataset) else source


@dataclass(frozen=True)
class Survey:
    """What a data set is, as far as headers tell: image files are not decoded."""

    is_image: bool
    count: int
    channels: int
    """Channels of the images; 0 for points."""
    sizes: tuple[tuple[int, int], ...]
    """(height, width) of the images, the most common size first; empty for points."""
    side: int
    """The median of the shorter sides in pixels; 0 for points."""
    dim: int
    """Dimensions of points; 0 for images."""
    classes: tuple[int, ...]
    """Samples of each class; empty without labels."""
    names: tuple[str, ...]
    """The names of these classes."""
    attributes: tuple[Attribute, ...]
    """The numbers of condition vectors, where they have names."""
    shares: tuple[float, ...]
    """Of each attribute: the share of the samples for which it holds, or the mean of its number."""
    kinds: Mapping[str, int]
    """'RGB', 'grey', 'transparent', '16 bits', 'animated' -> how many of the files are that; empty for arrays."""
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
    with _open(data, catalogue, TRAIN, small) as (source, _):
        if isinstance(source, Dataset):
            return _survey_arrays(source)
        labels = labels_of(source.files).of(source.order)
        present = () if labels.numbers is None else tuple(np.bincount(labels.numbers).tolist())
        headers = [source.headers[index] for index in source.order]
        sizes = [header.size for header in headers]
        kinds = {
            "RGB": sum(header.colour for header in headers),
            "grey": sum(not header.colour for header in headers),
            "transparent": sum(header.alpha for header in headers),
            "16 bits": sum(header.sixteen_bit for header in headers),
            "animated": sum(header.animated for header in headers),
        }
        return Survey(
            is_image=True,
            count=len(source),
            channels=source.shape[0],
            sizes=tuple(size for size, _ in Counter(sizes).most_common()),
            side=int(median_low([min(size) for size in sizes])),
            dim=0,
            classes=present,
            names=labels.classes,
            attributes=labels.attributes,
            shares=shares_of(labels.attributes, labels.vectors),
            kinds={kind: count for kind, count in kinds.items() if count},
            left_out={source.files.names[index]: reason for index, reason in source.bad.items()},
            notes=(*labels.notes, *source.files.notes),
            sample=lambda most: _sample_of_files(data, most, small),
        )


def _survey_arrays(data: Dataset) -> Survey:
    shape = data.spec.shape
    counts = (
        () if data.labels is None else tuple(torch.bincount(data.labels, minlength=len(data.spec.classes)).tolist())
    )

    def sample(most: int) -> Dataset:
        kept = torch.tensor(spread(len(data), most))
        labels = None if data.labels is None else data.labels[kept]
        conditions = None if data.conditions is None else data.conditions[kept].contiguous()
        return replace(data, samples=data.samples[kept].contiguous(), labels=labels, conditions=conditions)

    return Survey(
        is_image=data.spec.is_image,
        count=len(data),
        channels=shape[0] if data.spec.is_image else 0,
        sizes=((shape[1], shape[2]),) if data.spec.is_image else (),
        side=min(shape[1:]) if data.spec.is_image else 0,
        dim=0 if data.spec.is_image else shape[0],
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
        return load_rows(replace(source, order=[source.order[row] for row in spread(len(source), most)]))


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
    levels, rest = how.value_range, replace(how, value_range=None, on_bad_image="error")
    as_stored = replace(how, on_bad_image="error")
    factory = catalogue.get(data)
    if factory is not None:
        _refuse_columns(data, how)
        factory = _split_of(data, factory, split)
        yield factory(), as_stored
        return
    path = _existing_path(data, catalogue)
    name = short_name(path)
    idx = find_idx(path, split) if path.is_dir() else None
    if idx is not None:
        images, labels, notes = idx
        _refuse_columns(data, how)
        yield load_idx_pair(images, labels, name, notes=notes, value_range=levels), rest
        return
    shards = find_shards(path) if path.is_dir() else []
    if shards:
        with parquet_files(shards, path, split, how.labels, how.image_column) as files:
            yield image_rows(files, name, how), AS_THEY_ARE
        return
    if path.is_dir():
        _refuse_columns(data, replace(how, labels=None))
        yield image_rows(arranged(folder_files(path), split, how.labels, path.parent), name, how), AS_THEY_ARE
        return
    kind = _file_kind(path)
    if kind == "parquet":
        with parquet_files([path], None, split, how.labels, how.image_column) as files:
            yield image_rows(files, name, how), AS_THEY_ARE
        return
    if kind in ("zip", "tar"):
        _refuse_columns(data, replace(how, labels=None))
        with zip_files(path) if kind == "zip" else tar_files(path) as files:
            yield image_rows(arranged(files, split, how.labels, path.parent), name, how), AS_THEY_ARE
        return
    if kind != "pack":
        _refuse_columns(data, how)
    if kind == "npz":
        yield load_npz(path, name, levels, split), rest
        return
    if split != TRAIN:
        raise InputError(
            f"{printable(path)} has no split '{printable(split)}'",
            hint="give the path of the other images instead",
        )
    if kind == "pack":
        yield load_pack(path, name, how), as_stored
    else:
        yield {"npy": load_npy, "idx": load_idx}[kind](path, name, levels), rest


def _refuse_columns(data: str, how: Preparation) -> None:
    """InputError for --labels where there is no file of labels, and for --image-column but for Parquet."""
    if how.image_column is not None:
        raise InputError(
            f"{printable(data)} holds no column of images, as Parquet files do", hint="leave out --image-column"
        )
    if how.labels is not None:
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


def _file_kind(path: Path) -> str:
    """'zip', 'npz', 'npy', 'parquet', … by the first bytes, and by the suffix for kinds of zip and gzip."""
    where = printable(path)
    if not stat.S_ISREG(path.stat().st_mode):  # before opening, because a FIFO would block
        raise InputError(f"{where}: neither a regular file nor a folder", hint=READ)
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}", hint="check its permissions") from error
    suffix = path.suffix.lower()
    if start.startswith(_ZIP):
        return "npz" if suffix == ".npz" else "zip"
    if start.startswith(NPY_MAGIC):
        return "npy"
    if start.startswith(MAGIC):
        return "pack"
    if start.startswith(PARQUET_MAGIC):
        return "parquet"
    if start.startswith(ARROW_MAGIC) and suffix in ARROW:
        raise refuse_arrow(where)
    if suffix in (".tar", ".tgz") or path.name.lower().endswith(".tar.gz"):
        return "tar"
    if start.startswith(_GZIP) or start.startswith(b"\0\0"):
        return "idx"
    if suffix in SUFFIXES:
        raise InputError(f"{where}: one image is not a data set", hint="give the folder that holds the images")
    what = "not a sound zip file" if suffix in (".zip", ".npz") else "not a kind of file that is read"
    raise InputError(f"{where}: {what} ({'empty' if not start else 'it starts with ' + start.hex(' ')})", hint=READ)
