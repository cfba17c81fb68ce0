"""Limits of loading: memory is checked before it is allocated, and work is spread over a few threads."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray

from gankit.base import progress
from gankit.base.text import printable
from gankit.errors import ResourceError

Item = TypeVar("Item")
Result = TypeVar("Result")

MEMORY_SHARE = 0.8
SMALL_BYTES = 64 * 2**20
_READ_BYTES = 2**20
_scratch: ContextVar[Path | None] = ContextVar("scratch", default=None)
_PENDING = 512  # futures at a time; a million of them take more memory than small images


def available_memory() -> int | None:
    """Bytes available without swapping; None if the system does not report them."""
    try:
        # "Available" includes the page cache, which the kernel gives back; sysconf's free pages do not.
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        if pages in getattr(os, "sysconf_names", {}):
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return None


def check_memory(size: int, what: str) -> None:
    """Raise ResourceError for an allocation of `size` bytes that would take more than 80 % of the available memory."""
    available = available_memory()
    if available is not None and size > MEMORY_SHARE * available:
        raise ResourceError(
            f"{what}: the decoded data needs {size:,} bytes, but only {available:,} bytes of memory are available",
            hint="make the images smaller, for instance `--size 64`, or use fewer of them",
        )


def read_into(stream: IO[bytes], buffer: NDArray[np.uint8]) -> int:
    """Fill the buffer from the stream; returns the number of bytes read, which is smaller if the stream has ended."""
    done = 0
    while done < len(buffer):
        data = stream.read(min(_READ_BYTES, len(buffer) - done))  # readinto of a zip would first read all of it
        if not data:
            break
        buffer[done : done + len(data)] = np.frombuffer(data, np.uint8)
        done += len(data)
    return done


def allocate(size: int, what: str) -> NDArray[np.uint8]:
    """A buffer of `size` bytes in memory (see `check_memory`), or a large one within `scratch` in a nameless file."""
    folder = _scratch.get()
    if folder is None or size < SMALL_BYTES:
        check_memory(size, what)
        return np.empty(size, np.uint8)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if sys.platform == "darwin":
                file.truncate(size)
            else:
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk fails here instead of crashing in the map
            return np.memmap(file, np.uint8, "r+", shape=(size,))
    except OSError as error:
        raise ResourceError(
            f"{what}: {size:,} bytes cannot be put into a file in {printable(folder)}: {error.strerror}",
            hint="free some space there",
        ) from error


@contextmanager
def scratch(folder: Path) -> Iterator[None]:
    """Within the block large arrays are held in temporary files in this folder instead of memory."""
    token = _scratch.set(folder)
    try:
        yield
    finally:
        _scratch.reset(token)


def in_parallel(function: Callable[[Item], Result], items: Sequence[Item], what: str) -> Iterator[Result]:
    """The results in the order of the items, computed by a few threads."""
    workers = max(1, min(8, os.cpu_count() or 1))
    with ThreadPoolExecutor(workers, thread_name_prefix="gankit-data") as pool:
        for start in range(0, len(items), _PENDING):
            yield from pool.map(function, items[start : start + _PENDING])
            progress.tell(what, min(start + _PENDING, len(items)), len(items))
