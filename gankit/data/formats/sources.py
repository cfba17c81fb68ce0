"""Image files in a folder, a zip or a tar, listed by the same rules and opened in place."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from gankit.base.text import plural, printable
from gankit.data.formats.archive import MAX_ENTRIES, MAX_MEMBER_BYTES, check_archive
from gankit.data.formats.labels import Labels, of_folders
from gankit.data.formats.limits import check_memory
from gankit.data.formats.pictures import KINDS, kind_by_suffix
from gankit.data.formats.unread import unread_by_suffix
from gankit.errors import InputError

READ = (
    f"read are {', '.join(kind.name for kind in KINDS)} files; sub-folders are classes; also zip, tar, .npz, .npy, "
    "IDX, .gkpack"
)
SOUNDS = {".wav", ".flac", ".ogg", ".aif", ".aiff"}
LABEL_FILES = (
    "labels.csv", "attributes.csv", "metadata.csv", "metadata.jsonl", "dataset.json",
    "labels.tsv", "labels.json", "labels.jsonl", "attributes.tsv", "attributes.txt", "attributes.json",
    "attributes.jsonl", "list_attr_celeba.txt", "list_attr_celeba.csv",
)  # fmt: skip
CLASS_SUFFIX = ".cls"
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")  # gzip, bzip2, xz
_JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class ImageFiles:
    """The image files of one source, sorted, by their path inside it ('cat/1.png'); its sounds if it has no images."""

    where: str  # the source, as shown to the user
    names: list[str]
    open: Callable[[str], IO[bytes]]
    stamp: Callable[[str], tuple[int, int]]  # size and date or checksum, which change with the file
    notes: tuple[str, ...]
    others: tuple[str, ...] = ()  # files that may hold labels, see `arrangement`
    labels: Labels | None = None  # those that a file gives; None: see `labels_of`

    @property
    def are_sounds(self) -> bool:
        """Whether they are files of sound."""
        return suffix_of(self.names[0]) in SOUNDS


def folder_files(root: Path) -> ImageFiles:
    """All image files below a folder. Links to folders are not followed: they may leave it, or form a loop."""
    names: list[str] = []
    other_files = defaultdict[str, list[str]](list)
    links = 0
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    name = f"{folder}{entry.name}"
                    if _is_junk(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(name + "/")
                    elif entry.is_dir():
                        links += 1
                    elif _may_be_read(name) and _is_regular(entry):
                        names.append(name)
                    else:
                        other_files[suffix_of(name)].append(name)
        except OSError as error:
            raise InputError(
                f"{printable(root / folder)}: the folder cannot be read: {error.strerror}", hint="check its permissions"
            ) from error

    def stamp(name: str) -> tuple[int, int]:
        status = (root / name).stat()
        return status.st_size, status.st_mtime_ns

    notes = _ignored(other_files) + ((f"{plural(links, 'linked folder')} not followed",) if links else ())
    return _listing(printable(root), names, lambda name: (root / name).open("rb"), stamp, notes)


def single_file(path: Path) -> ImageFiles:
    """One image file, which may hold several pictures."""

    def stamp(name: str) -> tuple[int, int]:
        status = path.stat()
        return status.st_size, status.st_mtime_ns

    return _listing(printable(path), [path.name], lambda _: path.open("rb"), stamp, ())


@contextmanager
def zip_files(path: Path) -> Iterator[ImageFiles]:
    """All image files in a zip; a single top folder that holds all of them is stripped."""
    where = printable(path)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, struct.error, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: not a sound zip file: {printable(str(error))}", hint="pack it again") from error
    with archive:
        members: dict[str, zipfile.ZipInfo] = {}
        other_files = defaultdict[str, list[str]](list)
        for info in check_archive(archive, where, MAX_MEMBER_BYTES):
            name = _member(info.filename, other_files)
            if name is None:
                continue
            if name in members:
                raise InputError(f"{where}: '{printable(name)}' is in this zip twice", hint="pack it again")
            members[name] = info
        tops = {name.split("/", 1)[0] for name in members if "/" in name}
        if len(tops) == 1 and all("/" in name for name in members):
            members = {name.split("/", 1)[1]: info for name, info in members.items()}

        def stamp(name: str) -> tuple[int, int]:
            return members[name].file_size, members[name].CRC

        yield _listing(where, members, lambda name: archive.open(members[name]), stamp, _ignored(other_files))


@contextmanager
def tar_files(path: Path) -> Iterator[ImageFiles]:
    """All image files in a tar, or in a compressed one, whose images are then held in memory as they are encoded.

    Several images of one name, as the shards of WebDataset may have, are an error.
    """
    where = printable(path)
    places: dict[str, tuple[int, int]] = {}  # offset and size
    held: dict[str, bytes] = {}
    other_files = defaultdict[str, list[str]](list)
    try:
        with path.open("rb") as raw:
            packed = raw.read(6).startswith(_COMPRESSED)
        with tarfile.open(path, "r:*" if packed else "r:") as archive:
            total = 0
            for member in archive:
                name = _member(member.name, other_files) if member.isreg() else None
                if name is None:
                    continue
                if name in places:
                    raise InputError(f"{where}: '{printable(name)}' is in this tar twice", hint="pack it again")
                if member.size > MAX_MEMBER_BYTES or len(places) > MAX_ENTRIES:
                    raise InputError(
                        f"{where}: '{printable(name)}' is too large, or there are too many", hint="split it"
                    )
                places[name] = member.offset_data, member.size
                if packed:
                    total += member.size
                    check_memory(total, where)
                    stream = archive.extractfile(member)
                    held[name] = b"" if stream is None else stream.read()
        status = path.stat()
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{where}: not a sound tar file: {printable(str(error))}", hint="pack it again") from error

    def opened(name: str) -> IO[bytes]:
        if name in held:
            return io.BytesIO(held[name])
        offset, size = places[name]
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) < size:
            raise OSError("the tar ends within this file")
        return io.BytesIO(data)

    def stamp(name: str) -> tuple[int, int]:
        return status.st_size, status.st_mtime_ns

    yield _listing(where, places, opened, stamp, _ignored(other_files))


def labels_of(files: ImageFiles) -> Labels:
    """The labels of the images: those that a file gives, else the sub-folders as classes."""
    return of_folders(files.names, files.where) if files.labels is None else files.labels


def _listing(
    where: str,
    names: Iterable[str],
    opener: Callable[[str], IO[bytes]],
    stamp: Callable[[str], tuple[int, int]],
    notes: tuple[str, ...],
) -> ImageFiles:
    ordered = sorted(names, key=lambda name: [os.fsencode(part) for part in name.split("/")])
    images = [name for name in ordered if _is_image(name)]
    sounds = [name for name in ordered if suffix_of(name) in SOUNDS]
    if images and sounds:
        notes = (*notes, f"{plural(len(sounds), 'sound file')} beside the images not used")
    images = images or sounds
    if not images:
        content = f" ({'; '.join(notes)})" if notes else ""
        raise InputError(f"{where}: holds no images{content}", hint=READ)
    others = tuple(name for name in ordered if _holds_labels(name))
    return ImageFiles(where, images, opener, stamp, notes, others)


def _member(name: str, other_files: dict[str, list[str]]) -> str | None:
    """The path of an archive's member that is an image or may hold labels; others are counted, but for junk."""
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]  # some tools write backslashes
    if not parts or any(_is_junk(part) for part in parts):
        return None
    path = "/".join(parts)
    if _may_be_read(path):
        return path
    other_files[suffix_of(path)].append(path)
    return None


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name in _JUNK


def _holds_labels(name: str) -> bool:
    return name.rpartition("/")[2] in LABEL_FILES or name.endswith(CLASS_SUFFIX)


def _may_be_read(name: str) -> bool:
    return _is_image(name) or suffix_of(name) in SOUNDS or _holds_labels(name)


def _is_image(name: str) -> bool:
    kind = kind_by_suffix(suffix_of(name))
    return kind is not None and not kind.missing()


def suffix_of(name: str) -> str:
    """'.png' of 'cat/1.PNG'."""
    return PurePosixPath(name).suffix.lower()


def _is_regular(entry: os.DirEntry[str]) -> bool:
    """True for files and links to files; reading a FIFO or a device could hang or never end."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # a dangling or looping link
        return False


def _ignored(other_files: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Notes on the files that are no images, by their suffix; what could be converted is named with the way."""
    if not other_files:
        return ()
    most = sorted(other_files.items(), key=lambda item: (-len(item[1]), item[0]))
    kinds = ", ".join(printable(suffix) or "no suffix" for suffix, _ in most[:3])
    notes = [f"{plural(sum(map(len, other_files.values())), 'other file')} ignored ({kinds})"]
    for suffix, names in most:
        what, unread, kind = plural(len(names), f"{suffix} file"), unread_by_suffix(suffix), kind_by_suffix(suffix)
        if kind is not None and kind.missing():
            notes.append(f"{what} not read: {kind.missing()}")
        if unread is not None:
            notes.append(f"{what} not read, for {unread.reason}; convert: {unread.converted(min(names), suffix)}")
    return tuple(notes)
