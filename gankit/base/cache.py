"""The user's cache: files that can always be made again. A damaged one is made again, never believed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import filelock

from gankit.base.files import write_durably
from gankit.errors import InputError, ResourceError

log = logging.getLogger("gankit")
T = TypeVar("T")


def home() -> Path:
    """$GANKIT_HOME, or the user's cache folder."""
    chosen = os.environ.get("GANKIT_HOME")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("gankit"))


def cached_file(name: str, *, make: Callable[[], bytes], read: Callable[[Path], T]) -> T:
    """`read` of the cached file of this name (`folder/file`); `make` writes it when it is missing or does not verify.

    `read` raises InputError for a damaged file. Processes that want the same file wait for the first of them.
    """
    path = home() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
        with lock:
            found = _try(path, read)
            if found is not None:
                return found
            write_durably(path, make())
            return read(path)
    except OSError as error:
        raise ResourceError(
            f"cannot use the cache {path.parent}: {error.strerror}", hint="set GANKIT_HOME to a folder you may write"
        ) from error


def _try(path: Path, read: Callable[[Path], T]) -> T | None:
    if not path.exists():
        return None
    try:
        return read(path)
    except InputError as error:
        log.warning("%s; it is made again", error.message)
    return None
