"""The folder of one run: its name, lock, identity and state."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from gankit.base.files import (
    append_line,
    cannot_write,
    fsync_path,
    is_temporary,
    make_folder,
    read_json,
    remove_leftovers,
    write_durably,
    write_json,
)
from gankit.base.text import printable
from gankit.errors import InputError, ResourceError
from gankit.host import discovery
from gankit.settings.config import RESUMABLE_CHANGES, RunConfig
from gankit.settings.option import differences, to_json
from gankit.store import checkpoint

log = logging.getLogger("gankit")

SCHEMA = 1
RUNS = Path("runs")
LOCK = "LOCK"
BEFORE_RUN_JSON = {LOCK, "environment.json", "config.json", "command.txt", "samples"}
"""What a process may leave behind if it dies while it makes a run folder, the lock first and `samples` empty."""


class RunInUse(ResourceError):  # noqa: N818 - nothing went wrong
    """Another process has the run or the study."""


@dataclass(frozen=True)
class RunFolder:
    """Paths and small files of one run."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Resumable checkpoints, one folder per step."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """Sample grids, named by images seen."""
        return self.path / "samples"

    @property
    def generator(self) -> Path:
        """The sampleable file to share."""
        return self.path / "generator.safetensors"

    @property
    def best(self) -> Path:
        """The sampleable file with the best score during training, if scores were requested."""
        return self.path / "best.safetensors"

    @property
    def exists(self) -> bool:
        """Whether this is the folder of a run."""
        try:
            return (self.path / "run.json").is_file()
        except OSError:  # a name that the file system refuses
            return False

    def identity(self) -> dict[str, Any]:
        """The content of run.json: id, plugins, data."""
        path = self.path / "run.json"
        identity = read_json(path)
        data, schema = identity.get("data"), identity.get("schema")
        if not isinstance(schema, int) or not isinstance(data, dict) or not isinstance(data.get("fingerprint"), str):
            raise InputError(f"{path} is damaged: schema or data is missing", hint="restore the file")
        if schema > SCHEMA:
            raise InputError(f"{self.path} was written by a newer gankit", hint="pip install --upgrade gankit")
        return identity

    def configuration(self) -> dict[str, Any]:
        """The content of config.json: `config`, `options` and `extension_options` as JSON values."""
        path = self.path / "config.json"
        stored = read_json(path)
        parts = [stored.get(key, {}) for key in ("config", "options", "extension_options")]
        config, options, of_extensions = parts
        known = to_json(RunConfig())
        tables = (*parts, *of_extensions.values()) if isinstance(of_extensions, dict) else parts
        if not all(isinstance(table, dict) for table in tables) or not config or config.keys() - known.keys():
            raise InputError(f"{path} is damaged, or of a newer gankit", hint="restore the file, or upgrade gankit")
        # Settings that are newer than the file take their defaults.
        return {"config": {**known, **config}, "options": options, "extension_options": of_extensions}

    def status(self) -> dict[str, Any]:
        """The last state written: running, finished, stopped, diverged or failed, with counters and the reason."""
        path = self.path / "status.json"
        return {"state": "created", **(read_json(path) if path.exists() else {})}

    @property
    def started(self) -> bool:
        """Whether a step was ever tried here, as far as anything of it is left."""
        return any((self.path / name).exists() for name in ("status.json", "stats.jsonl", "checkpoints"))

    @property
    def finished(self) -> bool:
        """Whether the last state written is 'finished'; a damaged status counts as unfinished."""
        try:
            return bool(self.status()["state"] == "finished")
        except InputError:
            return False

    def write_status(self, state: str, **facts: object) -> None:
        """Replace status.json."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        write_json(self.path / "status.json", {"state": state, "updated_utc": now, **owner, **facts})

    def write_identity(self, identity: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """Write the files that identify the run; run.json comes last, because it makes the folder a run."""
        write_json(self.path / "environment.json", environment())
        self.write_configuration(configuration)
        write_durably(self.path / "command.txt", (shlex.join(sys.argv) + "\n").encode("utf-8", "surrogateescape"))
        self.make_samples()
        write_json(self.path / "run.json", {"schema": SCHEMA, **identity})

    def write_configuration(self, configuration: Mapping[str, Any]) -> None:
        """Replace config.json; a resumed run may have a new budget."""
        write_json(self.path / "config.json", configuration)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run for this process; another process gets a ResourceError at once, which names this one.

        The kernel holds the lock and releases it whenever the process ends; the file only names the process.
        """
        path = self.path / LOCK
        lock = filelock.FileLock(path)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            owner = printable(path.read_text(errors="replace")[:300].strip()) or "another process"
            raise RunInUse(f"{self.path} is in use by {owner}", hint="wait for it, or use another --out") from None
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            self._name_process(path)
            yield
        finally:
            lock.release()

    def _name_process(self, lock: Path) -> None:
        try:
            lock.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        except OSError as error:
            raise cannot_write(lock, error) from error

    def make_samples(self) -> None:
        """Make the folder of sample grids if it is missing."""
        try:
            make_folder(self.samples)
        except OSError as error:
            raise cannot_write(self.samples, error) from error

    def append_line(self, name: str, record: Mapping[str, Any]) -> None:
        """Append one JSON object as a line, in one write."""
        append_line(self.path / name, record)

    def sync_lines(self) -> None:
        """Make every line appended so far durable, because a checkpoint relies on those up to its step."""
        try:
            for path in (*self.path.glob("*.jsonl"), self.path):
                fsync_path(path)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def remove(self) -> None:
        """Delete the folder; what cannot be deleted stays."""
        shutil.rmtree(self.path, ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Delete the half-written files of a killed process; the caller must hold the lock."""
        checkpoint.remove_leftovers(self.checkpoints)
        for folder in (self.path, self.samples):
            remove_leftovers(folder)


def environment() -> dict[str, Any]:
    """Versions and machine, recorded to explain a result later."""
    packages = ("torch", "torchmetrics", "numpy", "pillow", "safetensors", "pluggy", "pydantic")
    return {
        "gankit": importlib.metadata.version("gankit"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor_count": os.cpu_count(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
    }


def create(path: Path) -> RunFolder:
    """Make an empty run folder, or use an existing one that is empty or a run."""
    try:
        make_folder(path)
        foreign = any(not _left_behind(entry) for entry in path.iterdir())
    except NotADirectoryError as error:
        raise InputError(f"--out {path}: not a folder", hint="choose another place") from error
    except FileExistsError as error:
        raise InputError(f"--out {path}: a file of that name exists", hint="choose another place") from error
    except OSError as error:
        raise cannot_write(path, error) from error
    if foreign and not RunFolder(path).exists:  # another process may have made it a run a moment ago
        raise InputError(f"--out {path}: not empty and not a run of gankit", hint="choose another folder")
    if not os.access(path, os.W_OK):
        raise ResourceError(f"cannot write {path}: permission denied", hint="choose another place with --out")
    return RunFolder(path)


def _left_behind(entry: Path) -> bool:
    """Whether a file or folder is of a process that died while it made a run folder, and not the user's."""
    if is_temporary(entry):
        return True
    if entry.name not in BEFORE_RUN_JSON or not entry.with_name(LOCK).is_file():
        return False
    return entry.name != "samples" or (entry.is_dir() and all(map(is_temporary, entry.iterdir())))


def create_numbered(prefix: str) -> RunFolder:
    """Make runs/<prefix>-<NNNN> with the next free number."""
    try:
        make_folder(RUNS)
    except OSError as error:
        raise cannot_write(RUNS, error) from error
    number = max((int(path.name.rpartition("-")[2]) for path in _numbered(prefix)), default=0)
    while True:
        number += 1
        path = RUNS / f"{prefix}-{number:04d}"
        try:
            path.mkdir()
            fsync_path(RUNS)
        except FileExistsError:  # another process took it a moment ago
            continue
        except OSError as error:
            raise cannot_write(path, error) from error
        return RunFolder(path)


def find_unfinished(prefix: str, configuration: Mapping[str, Any]) -> RunFolder | None:
    """The newest unfinished run of exactly this configuration that no other process has locked."""
    for path in sorted(_numbered(prefix), reverse=True):
        folder = RunFolder(path)
        try:
            if not folder.exists or folder.status()["state"] in ("finished", "diverged"):
                continue
            if folder.configuration() == configuration:
                with folder.locked():
                    return folder
        except InputError as error:  # a damaged run must not stop a new one
            log.warning("passed over %s: %s", path, error.message)
        except ResourceError:  # in use
            continue
    return None


def check_same(folder: RunFolder, configuration: Mapping[str, Any]) -> None:
    """Raise InputError unless a run can continue with this configuration.

    Data and plugin files may have moved, and a plugin file may have become a package.
    """
    old, new = folder.configuration(), configuration
    changed = {**differences(old["config"], new["config"]), **differences(_options(old), _options(new))}
    refused = {
        key: (before, now)
        for key, (before, now) in changed.items()
        if key not in RESUMABLE_CHANGES and not (key in ("variant", "extensions") and _same_plugins(before, now))
    }
    if refused:
        listing = ", ".join(f"{key} {before!r} -> {now!r}" for key, (before, now) in refused.items())
        raise InputError(f"{folder.path} is another run: {listing}", hint="choose another --out, or the same settings")


def _options(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The options of variant and extensions by the names that users write: 'gamma', 'ada.target'."""
    of_extensions = configuration["extension_options"]
    return {
        **configuration["options"],
        **{f"{name}.{key}": value for name, table in of_extensions.items() for key, value in table.items()},
    }


def _same_plugins(before: str | list[str], now: str | list[str]) -> bool:
    """Whether names mean the same plugins, of which one may be a file: './x/gankit_mine.py' is 'mine'."""
    if isinstance(before, list) or isinstance(now, list):
        return len(before) == len(now) and all(map(_same_plugins, before, now))
    if before == now or not (before.endswith(".py") or now.endswith(".py")):
        return before == now
    one, other = (
        discovery.name_of_file(Path(name)) if name.endswith(".py") else discovery.normalise(name.rpartition(":")[2])
        for name in (before, now)
    )
    return one == other


def _numbered(prefix: str) -> list[Path]:
    pattern = re.compile(re.escape(prefix) + r"-\d{4,}")
    return [path for path in RUNS.glob(f"{prefix}-*") if pattern.fullmatch(path.name) and path.is_dir()]
