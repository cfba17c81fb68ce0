"""What there is to show below the given paths: runs, generators and studies, found by id and never by path."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gankit.base.text import printable
from gankit.errors import InputError
from gankit.store.run_folder import RUNS, RunFolder
from gankit.study.folder import StudyFolder
from gankit.web.watched import WatchedRun, identity_of

DEPTH = 4  # folders below a given one in which runs are looked for
MOST_RUNS = 2_000
MOST_FOLDERS = 20_000  # that are looked into
DIRECTIONS = ".directions.safetensors"  # files beside generators
AGAIN_S = 1.0  # seconds after which folders are looked through again; later where that takes long


@dataclass(frozen=True)
class GeneratorEntry:
    """A generator file: `name` says where it is from, `path` is what commands take."""

    id: str
    name: str
    path: Path


@dataclass(frozen=True)
class StudyEntry:
    """The folder of a study."""

    id: str
    name: str
    path: Path


class Shelf:
    """The runs, generators and studies below some paths, as they are now. Its methods may be called from any thread."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths) or [RUNS]
        for path in paths:
            check(path)
        self._lock = threading.Lock()
        self._look_at = 0.0  # the time from which on folders are looked through again
        self._runs: dict[str, WatchedRun] = {}
        self._studies: dict[str, StudyEntry] = {}
        self._files: dict[str, GeneratorEntry] = {}

    def runs(self) -> list[WatchedRun]:
        """All runs, in the order of their names."""
        self._look()
        return sorted(self._runs.values(), key=lambda run: run.name)

    def run(self, id: str) -> WatchedRun | None:
        """The run of an id; None where there is none, or none any longer."""
        self._look()
        return self._runs.get(id)

    def studies(self) -> list[StudyEntry]:
        """All studies."""
        self._look()
        return sorted(self._studies.values(), key=lambda study: study.name)

    def study(self, id: str) -> StudyEntry | None:
        """The study of an id."""
        self._look()
        return self._studies.get(id)

    def generators(self) -> list[GeneratorEntry]:
        """All generator files: those given, and those of each run, its last one first."""
        self._look()
        return [*self._files.values(), *(entry for run in self.runs() for entry in generators_of(run))]

    def generator(self, id: str) -> GeneratorEntry | None:
        """The generator file of an id."""
        return next((entry for entry in self.generators() if entry.id == id), None)

    def _look(self) -> None:
        with self._lock:
            started = time.monotonic()
            if started < self._look_at:
                return
            runs: dict[str, WatchedRun] = {}
            studies: dict[str, StudyEntry] = {}
            files: dict[str, GeneratorEntry] = {}
            for path in islice(_folders(self.paths), MOST_FOLDERS):
                id = identity_of(path)
                if RunFolder(path).exists and len(runs) < MOST_RUNS:
                    runs[id] = self._runs.get(id) or WatchedRun(path, name_of(path))
                elif StudyFolder(path).exists:
                    studies[id] = StudyEntry(id, name_of(path), path)
            for path in self.paths:
                for file in [path] if path.is_file() else _loose(path):
                    files[identity_of(file)] = GeneratorEntry(identity_of(file), name_of(file), file)
            self._runs, self._studies, self._files = runs, studies, files
            ended = time.monotonic()
            self._look_at = ended + max(AGAIN_S, 5 * (ended - started))


def check(path: Path) -> None:
    """InputError for a path at which there is nothing to show."""
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise InputError(f"{printable(path)}: {error.strerror}") from error
    if not is_folder and not is_file:
        raise InputError(f"{printable(path)}: no such file or folder", hint="give a run, a checkpoint or a study")
    if is_file and path.suffix.lower() != ".safetensors":
        raise InputError(f"{printable(path)} is not a .safetensors file", hint="give a run, a checkpoint or a study")


def generators_of(run: WatchedRun) -> Iterator[GeneratorEntry]:
    """The generator files of a run: the last, the best, and those of its checkpoints."""
    files = [(run.folder.generator, "last"), (run.folder.best, "best")]
    try:
        steps = sorted((p for p in run.folder.checkpoints.iterdir() if p.name.startswith("step-")), reverse=True)
    except OSError:
        steps = []
    files += [(step / "generator.safetensors", f"step {step.name.removeprefix('step-').lstrip('0')}") for step in steps]
    for file, what in files:
        if file.is_file() and not file.is_symlink():
            yield GeneratorEntry(identity_of(file), f"{run.name}: {what}", Path(run.name) / file.relative_to(run.path))


def name_of(path: Path) -> str:
    """A path as commands take it here: from the current folder where it is below that."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - links stay as the user wrote them
    relative = os.path.relpath(absolute)
    return absolute if relative.startswith("..") else relative


def _folders(paths: Iterable[Path], depth: int = DEPTH) -> Iterator[Path]:
    """Folders from the given ones down; not into runs, and through no links."""
    for path in paths:
        yield path
        if depth and not RunFolder(path).exists:
            try:
                with os.scandir(path) as entries:
                    below = [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False) and e.name[0] != "."]
            except OSError:
                continue
            yield from _folders(sorted(below), depth - 1)


def _loose(folder: Path) -> list[Path]:
    """Generator files that lie in a given folder that is no run."""
    if RunFolder(folder).exists:
        return []
    try:
        found = [p for p in folder.iterdir() if p.suffix == ".safetensors" and not p.name.endswith(DIRECTIONS)]
        return sorted(p for p in found if p.is_file() and not p.is_symlink())
    except OSError:
        return []
