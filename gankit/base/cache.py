"""The user's cache: files that can always be made again, so that a damaged one is replaced and never trusted."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import filelock

from gankit.base.files import expanded, write_durably
from gankit.errors import InputError, ResourceError

log = logging.getLogger("gankit")
T = TypeVar("T")


def home() -> Path:
    """$GANKIT_HOME, or the user's cache folder."""
    configured = os.environ.get("GANKIT_HOME")
    if configured:
        return expanded(configured)
    import platformdirs

    return Path(platformdirs.user_cache_dir("gankit"))


def cached_file(name: str, *, make: Callable[[], bytes], read: Callable[[Path], T]) -> T:
    """The content of the cached file `name` ('folder/file'), made by `make` if it is missing or damaged.

    `read` raises InputError for a damaged file. Processes that need the same file at once wait for the first one.
    """
    path = home() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
        with lock:
            cached = _read_intact(path, read)
            if cached is not None:
                return cached
            write_durably(path, make())
            return read(path)
    except OSError as error:
        raise ResourceError(
            f"cannot use the cache {path.parent}: {error.strerror}", hint="set GANKIT_HOME to a folder you may write"
        ) from error


def _read_intact(path: Path, read: Callable[[Path], T]) -> T | None:
    """The cached content; None for a file that is missing or damaged."""
    if not path.exists():
        return None
    try:
        return read(path)
    except InputError as error:
        log.warning("%s; it is made again", error.message)
    return None
