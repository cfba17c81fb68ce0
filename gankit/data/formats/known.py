"""The formats of data that are read, in the order in which a path is offered to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gankit.data.formats.archive import ZIP_MAGIC
from gankit.data.formats.arrangement import arranged
from gankit.data.formats.arrays import NPY, NPZ
from gankit.data.formats.cifar import CIFAR
from gankit.data.formats.format import Format, Opened, Request
from gankit.data.formats.idx import IDX, IDX_FOLDER
from gankit.data.formats.images import image_rows
from gankit.data.formats.kuzushiji import KUZUSHIJI
from gankit.data.formats.pack import PACK
from gankit.data.formats.pictures import kind_by_suffix
from gankit.data.formats.sources import folder_files, single_file, tar_files, zip_files
from gankit.data.preparation import AS_THEY_ARE

_TARS = (".tar", ".tgz", ".tar.gz")


@contextmanager
def _folder(request: Request) -> Iterator[Opened]:
    files = folder_files(request.path)
    yield image_rows(arranged(files, request.split), request.name, request.how), AS_THEY_ARE


@contextmanager
def _zip(request: Request) -> Iterator[Opened]:
    with zip_files(request.path) as files:
        yield image_rows(arranged(files, request.split), request.name, request.how), AS_THEY_ARE


@contextmanager
def _tar(request: Request) -> Iterator[Opened]:
    with tar_files(request.path) as files:
        yield image_rows(arranged(files, request.split), request.name, request.how), AS_THEY_ARE


@contextmanager
def _single(request: Request) -> Iterator[Opened]:
    yield image_rows(single_file(request.path), request.name, request.how), AS_THEY_ARE


FOLDER = Format(
    "folder",
    "a folder of images",
    "sub-folders are classes, unless a file of labels says otherwise; `train/`, `test/`, `val/` are splits",
    claims=lambda request: request.path.is_dir(),
    open=_folder,
)
ZIP = Format(
    "zip",
    "`x.zip`",
    "as a folder; a single top folder that holds everything does not count",
    claims=lambda request: request.start.startswith(ZIP_MAGIC),
    open=_zip,
)
TAR = Format(
    "tar",
    "`x.tar`, `x.tar.gz`, `x.tgz`",
    "as a folder; also shards of WebDataset",
    claims=lambda request: request.path.name.lower().endswith(_TARS),
    open=_tar,
)
SINGLE = Format(
    "one file",
    "`x.tif`, `x.gif`, … with `--frames all`",
    "each page or frame is a sample",
    claims=lambda request: request.how.frames == "all" and kind_by_suffix(request.suffix) is not None,
    open=_single,
    splits=False,
)
FORMATS = (IDX_FOLDER, KUZUSHIJI, CIFAR, FOLDER, NPZ, ZIP, NPY, PACK, TAR, SINGLE, IDX)
