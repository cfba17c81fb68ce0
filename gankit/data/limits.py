"""What a data set may cost: memory is checked before it is asked for, and work is spread over a few threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from gankit.errors import ResourceError

Progress = Callable[[str, int, int], None]  # (what, done, total)
Item = TypeVar("Item")
Result = TypeVar("Result")

MEMORY_SHARE = 0.8
_BLOCK = 512  # futures alive at a time: a million of them would cost more than small images do


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    try:
        # "Available" counts the page cache as free, which the kernel gives back; sysconf's free pages do not.
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        if pages in getattr(os, "sysconf_names", {}):
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return None


def check_memory(wanted: int, what: str) -> None:
    """Refuse an allocation of `wanted` bytes that would take more than 80 % of the available memory."""
    available = available_memory()
    if available is not None and wanted > MEMORY_SHARE * available:
        raise ResourceError(
            f"{what}: the decoded data needs {wanted:,} bytes, but only {available:,} bytes of memory are available",
            hint="make the images smaller, for instance `--size 64`, or use fewer of them",
        )


def in_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], what: str, progress: Progress | None
) -> Iterator[Result]:
    """Results in the order of the items; the work is done by a few threads."""
    workers = max(1, min(8, os.cpu_count() or 1))
    with ThreadPoolExecutor(workers, thread_name_prefix="gankit-data") as pool:
        for start in range(0, len(items), _BLOCK):
            yield from pool.map(function, items[start : start + _BLOCK])
            if progress is not None:
                progress(what, min(start + _BLOCK, len(items)), len(items))
