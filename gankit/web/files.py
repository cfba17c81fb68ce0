"""Files of runs that others may have written: regular ones only, read on as they grow."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

CHUNK = 8 << 20  # bytes read at a time
LONGEST_LINE = 1 << 20  # bytes; a longer one is no line of gankit


@contextmanager
def regular(path: Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading; OSError for a link, a pipe or a device, which would lead elsewhere or block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a regular file")
        yield file


def read_bytes(path: Path, most: int) -> bytes | None:
    """The bytes of a regular file; None where there is none of at most so many."""
    try:
        with regular(path) as file:
            data = file.read(most + 1)
    except OSError:
        return None
    return data if len(data) <= most else None


def json_object(line: bytes | str) -> dict[str, Any] | None:
    """The JSON object in a line; None for anything else, a line that is half written included."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class Tail:
    """The lines of a file that grows, each given out once. A file that was replaced or cut is read anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = (0, 0)  # device and inode
        self.offset = 0
        self._rest = b""

    def lines(self) -> tuple[bool, list[bytes]]:
        """Whether the file was begun anew, so that what was read before no longer counts, and the new whole lines."""
        try:
            with regular(self.path) as file:
                facts = os.fstat(file.fileno())
                place = (facts.st_dev, facts.st_ino)
                anew = place != self._place or facts.st_size < self.offset
                if anew:
                    self._place, self.offset, self._rest = place, 0, b""
                found: list[bytes] = []
                file.seek(self.offset)
                while chunk := file.read(CHUNK):
                    self.offset += len(chunk)
                    *whole, self._rest = (self._rest + chunk).split(b"\n")
                    found += whole
                    self._rest = self._rest[-LONGEST_LINE:]
                return anew, found
        except OSError:
            gone = self.offset > 0
            self._place, self.offset, self._rest = (0, 0), 0, b""
            return gone, []


def last_line(path: Path, room: int = 16 << 10) -> bytes:
    """The last whole line of a file, found within its last bytes; empty where there is none."""
    try:
        with regular(path) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - room))
            lines = file.read(room).rsplit(b"\n", 2)
    except OSError:
        return b""
    return lines[-2] if len(lines) > 1 else b""
