"""The formats of data that are read, in the order in which a path is offered to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gankit.data.formats.archive import ZIP_MAGIC
from gankit.data.formats.arrangement import arranged
from gankit.data.formats.arrays import NPY, NPZ
from gankit.data.formats.cifar import CIFAR
from gankit.data.formats.format import Format, Opened, Request
from gankit.data.formats.idx import IDX, IDX_FOLDER
from gankit.data.formats.images import image_rows
from gankit.data.formats.kuzushiji import KUZUSHIJI
from gankit.data.formats.pack import PACK
from gankit.data.formats.parquet import PARQUET_MAGIC, find_shards, parquet_files
from gankit.data.formats.pictures import kind_by_suffix
from gankit.data.formats.sounds import load_sounds
from gankit.data.formats.sources import ImageFiles, folder_files, single_file, tar_files, zip_files
from gankit.data.preparation import AS_THEY_ARE
from gankit.errors import InputError

_TARS = (".tar", ".tgz", ".tar.gz")


def _files(files: ImageFiles, request: Request) -> Opened:
    """Image files as rows, or sound files as a data set of signals."""
    how, what = request.how, "signals" if files.are_sounds else "images"
    if how.kind not in (None, what):
        raise InputError(f"{files.where}: files of {what} hold no {how.kind}", hint="leave --kind out")
    if files.are_sounds:
        left = replace(how, value_range=None, kind=None, length=None, on_bad_image="error", frames="first")
        return load_sounds(files, request.name, how), left
    if how.bands is not None or how.length is not None:
        flag, why = ("--channels", "by number are for arrays") if how.bands else ("--length", "is for signals")
        raise InputError(f"{files.where}: {flag} {why}", hint="images of files take --channels grey, rgb or rgba")
    return image_rows(files, request.name, how), AS_THEY_ARE


@contextmanager
def _folder(request: Request) -> Iterator[Opened]:
    yield _files(arranged(folder_files(request.path), request.split, request.how.labels, request.path.parent), request)


@contextmanager
def _zip(request: Request) -> Iterator[Opened]:
    with zip_files(request.path) as files:
        yield _files(arranged(files, request.split, request.how.labels, request.path.parent), request)


@contextmanager
def _tar(request: Request) -> Iterator[Opened]:
    with tar_files(request.path) as files:
        yield _files(arranged(files, request.split, request.how.labels, request.path.parent), request)


@contextmanager
def _single(request: Request) -> Iterator[Opened]:
    yield image_rows(single_file(request.path), request.name, request.how), AS_THEY_ARE


@contextmanager
def _parquet(request: Request) -> Iterator[Opened]:
    paths, folder = ([request.path], None) if request.path.is_file() else (find_shards(request.path), request.path)
    with parquet_files(paths, folder, request.split, request.how.labels, request.how.image_column) as files:
        yield _files(files, request)


PARQUET_FOLDER = Format(
    "folder of Parquet files",
    "`train-00000-of-00002.parquet`, … in a folder",
    "as a Parquet file (below); names of files or folders are splits, and all shards of one are there",
    claims=lambda request: request.path.is_dir() and bool(find_shards(request.path)),
    open=_parquet,
    labels=True,
    image_column=True,
)
PARQUET = Format(
    "Parquet",
    "`x.parquet`",
    "images in a column of bytes, or of structs of `bytes` and `path` (Hugging Face); other columns are labels",
    claims=lambda request: request.start.startswith(PARQUET_MAGIC),
    open=_parquet,
    labels=True,
    image_column=True,
)
FOLDER = Format(
    "folder",
    "a folder of images, or of sounds",
    "sub-folders are classes, unless a file of labels says otherwise; `train/`, `test/`, `val/` are splits",
    claims=lambda request: request.path.is_dir(),
    open=_folder,
    labels=True,
)
ZIP = Format(
    "zip",
    "`x.zip`",
    "as a folder; a single top folder that holds everything does not count",
    claims=lambda request: request.start.startswith(ZIP_MAGIC),
    open=_zip,
    labels=True,
)
TAR = Format(
    "tar",
    "`x.tar`, `x.tar.gz`, `x.tgz`",
    "as a folder; also shards of WebDataset",
    claims=lambda request: request.path.name.lower().endswith(_TARS),
    open=_tar,
    labels=True,
)
SINGLE = Format(
    "one file",
    "`x.tif`, `x.gif`, … with `--frames all`",
    "each page or frame is a sample",
    claims=lambda request: request.how.frames == "all" and kind_by_suffix(request.suffix) is not None,
    open=_single,
    splits=False,
)
FORMATS = (IDX_FOLDER, KUZUSHIJI, CIFAR, PARQUET_FOLDER, FOLDER, NPZ, ZIP, NPY, PACK, PARQUET, TAR, SINGLE, IDX)
