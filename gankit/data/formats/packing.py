"""Packing a data set: images are decoded part by part into a file that gets its name when it is complete.

Beside the partial file, NAME.part, a journal has one line for each part: its rows, their sha256, and the rows that
could not be decoded. The leftovers of a killed process are compared with the journal and completed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Annotated

import filelock
import numpy as np
from annotated_types import Ge
from pydantic import TypeAdapter

from gankit.base import progress
from gankit.base.files import append_line, cannot_write, fsync_path, write_durably
from gankit.base.text import printable
from gankit.data.dataset import DatasetFactory
from gankit.data.formats.limits import scratch
from gankit.data.formats.pack import START, SUFFIX, PackHeader, mapped_samples, seal
from gankit.data.formats.rows import Rows, stretch, with_levels
from gankit.data.loading import open_rows
from gankit.data.preparation import AS_THEY_ARE, Preparation
from gankit.errors import InputError, ResourceError, Stopped

PART_BYTES = 32 << 20
PART_ROWS = 16  # fewest rows of a part, so that every thread has work

log = logging.getLogger("gankit")


@dataclass(frozen=True)
class _Part:
    """A line of the journal: the file holds rows start..stop without those that could not be decoded."""

    start: Annotated[int, Ge(0)]
    stop: Annotated[int, Ge(0)]
    sha256: str
    broken: tuple[tuple[int, str], ...]


def pack_dataset(
    data: str,
    out: Path,
    catalogue: Mapping[str, DatasetFactory],
    how: Preparation = AS_THEY_ARE,
) -> PackHeader:
    """Decode the data set that `load_dataset` would load, once, into the packed file `out`.

    The same call continues an earlier one that was stopped or killed if the source has not changed; otherwise it starts
    anew. It needs memory for one part, 32 MiB or 16 images; large arrays are held in a nameless file beside `out`.
    InputError when the data are points, an image is unreadable (unless they are skipped) or `out` exists; ResourceError
    when the disk is full.
    """
    if out.suffix != SUFFIX:
        raise InputError(f"{printable(out)}: a packed data set is named *{SUFFIX}", hint=f"-o {out.stem}{SUFFIX}")
    with (
        _locked(out),
        scratch(out.parent),
        open_rows(data, catalogue, how) as rows,
    ):
        source = rows.identity()
        partial = _Partial(out, rows)
        with partial.opened() as file:
            partial.restore(file, source)
            try:
                _check_space(out, (len(rows) - partial.done) * partial.row_bytes)
                partial.fill(file)
            except Stopped as stop:
                raise Stopped(
                    f"stopped at {partial.done:,} of {len(rows):,} images",
                    signal_number=stop.signal_number,
                    hint="the same command continues from there",
                ) from None
            rows.check(partial.broken)
            shape = (len(rows) - len(partial.broken), *rows.shape)
            dataset = rows.dataset(mapped_samples(file, shape), partial.broken)
            if rows.infers_levels:
                dataset = with_levels(dataset, stretch(np.memmap(file, np.uint8, "r+", START, shape)))
            header = seal(file, dataset, source, how)
            os.replace(partial.path, out)
            fsync_path(out.parent)
        partial.journal.unlink()
    return header


class _Partial:
    """A partial file and its journal."""

    def __init__(self, out: Path, rows: Rows) -> None:
        self.path, self.journal = _beside(out, ".part"), _beside(out, ".part.jsonl")
        self.rows = rows
        self.row_bytes = int(np.prod(rows.shape))
        self.step = max(PART_ROWS, PART_BYTES // self.row_bytes)  # rows in a part
        self.done = 0  # rows tried so far
        self.broken: dict[int, str] = {}

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The file, open for reading and writing, made if it is missing; an OSError in the block is reported for it."""
        try:
            with os.fdopen(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o666), "r+b") as file:
                yield file
        except OSError as error:  # also from closing, which retries a failed write
            raise cannot_write(self.path, error) from error

    def restore(self, file: IO[bytes], source: str) -> None:
        """Keep the intact parts of an earlier call; cut off the rest."""
        kept: list[_Part] = []
        file.seek(START)
        for part in _read_journal(self.journal, source):
            count = part.stop - part.start
            if part.start != self.done or part.stop > len(self.rows) or not len(part.broken) <= count <= self.step:
                break
            data = file.read((count - len(part.broken)) * self.row_bytes)
            if hashlib.sha256(data).hexdigest() != part.sha256:
                break
            self._add(part)
            kept.append(part)
            progress.tell("checking the partial file", self.done, len(self.rows))
        if self.done:
            log.info("%s: continuing at %s of %s images", self.path.name, f"{self.done:,}", f"{len(self.rows):,}")
        lines = [{"source": source}, *(asdict(part) for part in kept)]
        write_durably(self.journal, "".join(json.dumps(line) + "\n" for line in lines).encode())
        file.truncate(START + (self.done - len(self.broken)) * self.row_bytes)

    def fill(self, file: IO[bytes]) -> None:
        """Decode the missing rows part by part: the pixels are written first, then the line of the journal."""
        buffer = np.empty((min(self.step, len(self.rows)), *self.rows.shape), np.uint8)
        while self.done < len(self.rows):
            missing = range(self.done, min(self.done + self.step, len(self.rows)))
            broken = self.rows.decode(missing, buffer)
            self.rows.check(broken)
            data = buffer[: len(missing) - len(broken)].reshape(-1).data
            file.seek(START + (self.done - len(self.broken)) * self.row_bytes)
            file.write(data)
            file.flush()
            part = _Part(missing.start, missing.stop, hashlib.sha256(data).hexdigest(), tuple(broken.items()))
            append_line(self.journal, asdict(part))
            self._add(part)
            progress.tell("packing", self.done, len(self.rows))

    def _add(self, part: _Part) -> None:
        self.done = part.stop
        self.broken.update(part.broken)


def _read_journal(path: Path, source: str) -> Iterator[_Part]:
    """The parts of an earlier call for the same source, up to a line that a crash cut short."""
    try:
        lines = path.read_bytes().splitlines()
        if not lines or json.loads(lines[0]) != {"source": source}:
            log.warning("%s: made from another source: packed from the start", path.name)
            return
        for line in lines[1:]:
            yield TypeAdapter(_Part).validate_json(line, strict=True)
    except (OSError, ValueError, RecursionError):  # ValidationError is a ValueError
        return


def _check_space(out: Path, size: int) -> None:
    free = shutil.disk_usage(out.parent).free
    if size > free:
        raise ResourceError(
            f"{printable(out)}: {size:,} more bytes are needed, {free:,} are free",
            hint="free some space, or choose another -o or a smaller --size",
        )


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Within the block no other process packs into `out`; InputError if `out` exists.

    The lock file is deleted when there is nothing to continue.
    """
    path = _beside(out, ".part.lock")
    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise ResourceError(f"{printable(out)} is being packed by another process", hint="wait for it") from None
    except OSError as error:
        raise cannot_write(out, error) from error
    try:
        if os.path.lexists(out):
            raise InputError(f"{printable(out)} exists", hint="delete it, or choose another -o")
        yield
    finally:
        if not _beside(out, ".part").exists():
            path.unlink(missing_ok=True)
        lock.release()


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(out.name + ending)
