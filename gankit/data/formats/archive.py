"""The rules for zip archives: members are read in place, and an archive that could cost too much is refused."""

from __future__ import annotations

import stat
import zipfile

from gankit.base.text import printable
from gankit.errors import InputError

ZIP_MAGIC = b"PK"
MAX_ENTRIES = 2_000_000
MAX_MEMBER_BYTES = 256 * 2**20
MAX_RATIO = 200
_SMALL_BYTES = 16 * 2**20  # harmless at any ratio; an array of equal labels packs 1000:1


def check_archive(archive: zipfile.ZipFile, where: str, max_member: int | None = None) -> list[zipfile.ZipInfo]:
    """The members that are regular files; InputError if one is encrypted, named twice, too large or too dense."""
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise _refused(where, f"{len(entries):,} entries, the limit is {MAX_ENTRIES:,}")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in entries:
        if not info.filename:
            raise _refused(where, "a member has no name")
        if info.is_dir():
            continue
        name = printable(info.filename)
        if info.flag_bits & 0x1:
            raise _refused(where, f"'{name}' is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _refused(where, f"'{name}' is neither stored nor deflated (method {info.compress_type})")
        if max_member is not None and info.file_size > max_member:
            raise _refused(where, f"'{name}' has {info.file_size:,} bytes, the limit is {max_member:,}")
        if info.filename in members:
            raise _refused(where, f"'{name}' is in it twice")
        members[info.filename] = info
    _check_ratio(archive, list(members.values()), where)
    # Unix file types are stored in the upper half; 0 means that the writer did not say.
    return [info for info in members.values() if stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)]


def _check_ratio(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], where: str) -> None:
    packed, unpacked = sum(info.compress_size for info in members), sum(info.file_size for info in members)
    assert archive.fp is not None
    size = archive.fp.seek(0, 2)
    if packed > size:
        raise _refused(where, f"its members claim {packed:,} packed bytes of a file of {size:,}: they overlap")
    if unpacked > _SMALL_BYTES and unpacked > MAX_RATIO * packed:
        raise _refused(where, f"it would unpack to {unpacked:,} bytes, more than {MAX_RATIO} times its size")


def _refused(where: str, reason: str) -> InputError:
    return InputError(f"{where}: this zip is refused: {reason}", hint="pack the files again, or give the folder itself")
