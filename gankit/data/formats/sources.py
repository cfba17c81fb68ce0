"""Image files in a folder or a zip, listed by the same rules and opened in place."""

from __future__ import annotations

import os
import stat
import struct
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from gankit.base.text import plural, printable
from gankit.data.formats.archive import MAX_MEMBER_BYTES, check_archive
from gankit.errors import InputError

SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm"}
READ = "read are PNG, JPEG, WebP, BMP and PPM files; sub-folders are classes; also zip, .npz, .npy, IDX and .gkpack"
_JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class ImageFiles:
    """The image files of one source, sorted, by their path inside it ('cat/1.png')."""

    where: str  # the source, as shown to the user
    names: list[str]
    open: Callable[[str], IO[bytes]]
    stamp: Callable[[str], tuple[int, int]]  # size and date or checksum, which change with the file
    notes: tuple[str, ...]


def folder_files(root: Path) -> ImageFiles:
    """All image files below a folder. Links to folders are not followed: they may leave it, or form a loop."""
    images: list[str] = []
    other_files: Counter[str] = Counter()
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
                    elif _is_image(name) and _is_regular(entry):
                        images.append(name)
                    else:
                        other_files[_suffix(name)] += 1
        except OSError as error:
            raise InputError(
                f"{printable(root / folder)}: the folder cannot be read: {error.strerror}", hint="check its permissions"
            ) from error

    def stamp(name: str) -> tuple[int, int]:
        status = (root / name).stat()
        return status.st_size, status.st_mtime_ns

    notes = _ignored(other_files) + ((f"{plural(links, 'linked folder')} not followed",) if links else ())
    return _listing(printable(root), images, lambda name: (root / name).open("rb"), stamp, notes)


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
        other_files: Counter[str] = Counter()
        for info in check_archive(archive, where, MAX_MEMBER_BYTES):
            parts = [part for part in info.filename.split("/") if part]
            if not parts or any(_is_junk(part) for part in parts):
                continue
            if not _is_image(info.filename):
                other_files[_suffix(info.filename)] += 1
                continue
            name = "/".join(parts)
            if name in members:
                raise InputError(f"{where}: '{printable(name)}' is in this zip twice", hint="pack it again")
            members[name] = info
        tops = {name.split("/", 1)[0] for name in members if "/" in name}
        if len(tops) == 1 and all("/" in name for name in members):
            members = {name.split("/", 1)[1]: info for name, info in members.items()}

        def stamp(name: str) -> tuple[int, int]:
            return members[name].file_size, members[name].CRC

        yield _listing(where, list(members), lambda name: archive.open(members[name]), stamp, _ignored(other_files))


def class_labels(files: ImageFiles) -> tuple[tuple[str, ...], list[int] | None, tuple[str, ...]]:
    """Class names, one label per file (None when there are no sub-folders) and notes."""
    inside = [name.split("/", 1)[0] for name in files.names if "/" in name]
    if not inside:
        return (), None, ()
    if len(inside) < len(files.names):
        loose = next(name for name in files.names if "/" not in name)
        raise InputError(
            f"{files.where}: holds images both directly ('{printable(loose)}' and "
            f"{len(files.names) - len(inside) - 1:,} more) and in sub-folders ({len(inside):,})",
            hint="sub-folders are classes: move the loose images into one, or give a folder without sub-folders",
        )
    folders = sorted(set(inside), key=os.fsencode)
    numbers = {folder: number for number, folder in enumerate(folders)}
    # Class names are stored as JSON: bytes that are not UTF-8 are written as \\xff.
    classes = tuple(os.fsencode(folder).decode("utf-8", "backslashreplace") for folder in folders)
    return classes, [numbers[folder] for folder in inside], _similar_names(classes)


def _similar_names(classes: tuple[str, ...]) -> tuple[str, ...]:
    """A note on the first two names that look the same."""
    by_form: dict[str, str] = {}
    for name in classes:
        form = unicodedata.normalize("NFC", name).casefold()
        if form in by_form:
            return (f"classes '{by_form[form]}' and '{name}' differ only by case or Unicode form",)
        by_form[form] = name
    return ()


def _listing(
    where: str,
    names: Iterable[str],
    opener: Callable[[str], IO[bytes]],
    stamp: Callable[[str], tuple[int, int]],
    notes: tuple[str, ...],
) -> ImageFiles:
    ordered = sorted(names, key=lambda name: [os.fsencode(part) for part in name.split("/")])
    if not ordered:
        content = f" ({'; '.join(notes)})" if notes else ""
        raise InputError(f"{where}: holds no images{content}", hint=READ)
    return ImageFiles(where, ordered, opener, stamp, notes)


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name in _JUNK


def _is_image(name: str) -> bool:
    return _suffix(name) in SUFFIXES


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _is_regular(entry: os.DirEntry[str]) -> bool:
    """True for files and links to files; reading a FIFO or a device could hang or never end."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # a dangling or looping link
        return False


def _ignored(other_files: Counter[str]) -> tuple[str, ...]:
    if not other_files:
        return ()
    kinds = ", ".join(printable(suffix) or "no suffix" for suffix, _ in other_files.most_common(3))
    return (f"{plural(sum(other_files.values()), 'other file')} ignored ({kinds})",)
