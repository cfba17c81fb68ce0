"""A run as its files tell it while it goes on; damaged and missing files are gaps, not failures."""

from __future__ import annotations

import os
import re
import shlex
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.base.files import sha256
from gankit.base.text import printable
from gankit.errors import InputError
from gankit.measure.record import FILE as SCORES
from gankit.measure.record import Evaluation, from_record
from gankit.run.health import Finding, findings
from gankit.settings.config import RunConfig
from gankit.settings.option import to_json
from gankit.settings.schedule import Schedule, is_spelling
from gankit.store.run_folder import RunFolder
from gankit.web.files import Tail, json_object, last_line, read_bytes
from gankit.web.statistics import MOST_COLUMNS, Statistics, number, statistics_in

LOG_LINES = 300  # of the end of log.txt
WARNINGS = 50
MOST_SCORES = 2_000  # evaluations
SMALL = 1 << 20  # bytes of a small file
LARGEST_PICTURE = 32 << 20  # bytes
PNG = b"\x89PNG\r\n\x1a\n"
_SAMPLES = re.compile(r"(\d{9,18})\.png")


@dataclass(frozen=True)
class Progress:
    """How far a run is. `state` is that of status.json, or 'interrupted' where its process is gone."""

    state: str
    reason: str
    images: int
    total: int | None
    images_per_s: float | None
    seconds: float
    left_s: float | None
    share: float | None
    updated: str


class WatchedRun:
    """A run folder; `refresh` reads what is new. Its methods may be called from several threads."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.id = identity_of(path)
        self.folder = RunFolder(path)
        self.statistics = Statistics()
        self.scores: list[Evaluation] = []
        self.problems: list[str] = []
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.warnings: deque[str] = deque(maxlen=WARNINGS)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {}  # small files, by name
        self._stats, self._scores, self._log = (Tail(path / f) for f in ("stats.jsonl", SCORES, "log.txt"))

    # -- what it is ----------------------------------------------------------------------------------------------------

    def _json(self, name: str) -> dict[str, Any]:
        """The JSON object in a file, read again when the file has changed; empty where there is none."""
        path = self.path / name
        return self._once(path, lambda: json_object(read_bytes(path, SMALL) or b"") or {})

    def _last(self) -> dict[str, Any]:
        """The last line of statistics."""
        path = self.path / "stats.jsonl"
        return self._once(path, lambda: json_object(last_line(path)) or {})

    def _once(self, path: Path, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            facts = path.lstat()
        except OSError:
            return {}
        stamp = facts.st_ino, facts.st_mtime_ns, facts.st_size
        known = self._known.get(path.name)
        if known is None or known[0] != stamp:
            known = self._known[path.name] = stamp, read()
        return known[1]

    @property
    def identity(self) -> dict[str, Any]:
        """run.json, or nothing where it is damaged."""
        return self._json("run.json")

    @property
    def configuration(self) -> dict[str, dict[str, Any]]:
        """config.json: `config`, `options` and `extension_options`, empty where they are damaged."""
        stored = self._json("config.json")
        parts = ("config", "options", "extension_options")
        return {part: value if isinstance(value := stored.get(part), dict) else {} for part in parts}

    @property
    def environment(self) -> dict[str, Any]:
        """environment.json."""
        return self._json("environment.json")

    @property
    def variant(self) -> str:
        """The name of its variant."""
        return str(self.identity.get("variant", "?"))

    @property
    def data(self) -> str:
        """The name of its data."""
        data = self.identity.get("data")
        return str(data.get("name", "?")) if isinstance(data, Mapping) else "?"

    @property
    def command(self) -> str:
        """The command line that began it."""
        line = (read_bytes(self.path / "command.txt", SMALL) or b"").decode("utf-8", "replace").strip()
        program, _, rest = line.partition(" ")
        return f"gankit {rest}".strip() if Path(program).name == "gankit" else line

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that are not gankit's defaults, and all options: dotted name -> value."""
        configuration, usual = self.configuration, to_json(RunConfig())
        given = {k: v for k, v in configuration["config"].items() if k not in usual or usual[k] != v}
        options = dict(configuration["options"])
        for extension, table in configuration["extension_options"].items():
            options |= {f"{extension}.{key}": v for key, v in table.items()} if isinstance(table, dict) else {}
        return given | options

    @property
    def schedules(self) -> dict[str, Schedule]:
        """The settings that follow a schedule, by name."""
        found = {}
        for name, value in self.settings.items():
            for index, part in enumerate(value if isinstance(value, list) else [value], 1):
                if isinstance(part, str) and is_spelling(part):
                    try:
                        schedule = Schedule.parse(part)
                        schedule.check_budget(self.total)
                    except ValueError:
                        continue
                    found[f"{name}[{index}]" if isinstance(value, list) else name] = schedule
        return found

    @property
    def total(self) -> int | None:
        """The budget in images; None without one."""
        config = self.configuration["config"]
        images, steps, batch = (number(config.get(key)) for key in ("images", "steps", "batch"))
        budgets = [images] if images else []
        budgets += [steps * batch] if steps and batch else []
        return int(min(budgets)) if budgets else None

    # -- how far it is -------------------------------------------------------------------------------------------------

    def progress(self) -> Progress:
        """Its state, from status.json and the last line of statistics alone."""
        status, last = self._json("status.json"), self._last()
        state = str(status.get("state", "created"))
        images = max(int(number(part.get("images_seen")) or 0) for part in (status, last))
        seconds = max(number(status.get("train_s")) or 0.0, number(last.get("wall_s")) or 0.0)
        rate = number(last.get("images_per_s"))
        if state == "running" and not self._alive(status):
            state = "interrupted"
        total, limit = self.total, number(self.configuration["config"].get("time_s"))
        shares = ([images / total] if total else []) + ([seconds / limit] if limit else [])
        left = [(total - images) / rate] if total and rate else []
        left += [limit - seconds] if limit else []
        return Progress(
            state=state,
            reason=str(status.get("reason") or ""),
            images=images,
            total=total,
            images_per_s=rate,
            seconds=seconds,
            left_s=max(0.0, min(left)) if left and state == "running" else None,
            share=min(1.0, max(shares)) if shares else None,
            updated=str(status.get("updated_utc") or ""),
        )

    def _alive(self, status: Mapping[str, Any]) -> bool:
        """Whether the process that last wrote the state is there, as far as this machine can know."""
        pid = status.get("pid")
        if status.get("host") != socket.gethostname() or not isinstance(pid, int) or not 0 < pid < 1 << 31:
            return status.get("host") != socket.gethostname()
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def refresh(self) -> None:
        """Read what was appended to the files of the run."""
        with self._lock:
            self._read_statistics()
            self._read_scores()
            anew, lines = self._log.lines()
            if anew:
                self.log.clear()
                self.warnings.clear()
            texts = [printable(line.decode("utf-8", "replace")[:2_000]) for line in lines]
            self.log.extend(texts)
            self.warnings.extend(text for text in texts if " WARNING " in text[:40] or " ERROR " in text[:40])

    def names(self) -> list[str]:
        """The names of its statistics, from the last line where the rest was not read yet."""
        return list(self.statistics.columns) or statistics_in(self._last())[:MOST_COLUMNS]

    def version(self) -> str:
        """Another text whenever a page of this run should change."""
        facts = (len(self.statistics), len(self.scores), self._log.offset, self.pictures(), self.progress())
        return digest(*map(repr, facts))

    def _read_statistics(self) -> None:
        anew, lines = self._stats.lines()
        statistics = Statistics() if anew else self.statistics
        for line in lines:
            if found := json_object(line):
                statistics.add(found)
        self.statistics = statistics

    def _read_scores(self) -> None:
        anew, lines = self._scores.lines()
        if anew:
            self.scores, self.problems = [], []
        for number_, line in enumerate(lines[-MOST_SCORES:], 1):
            if not line.strip():
                continue
            try:
                self.scores.append(from_record(json_object(line), f"{SCORES}, new line {number_}"))
            except InputError as error:
                self.problems.append(error.message)
        del self.scores[:-MOST_SCORES], self.problems[:-5]

    def findings(self) -> list[Finding]:
        """The signs of trouble that hold now. What D's scores are is seen in the statistics."""
        with self._lock:
            lines = self.statistics.lines()
            logits = "probability/real" in self.statistics.columns
        return findings(lines, "logits" if logits else "raw")

    # -- its files -----------------------------------------------------------------------------------------------------

    def pictures(self) -> list[int]:
        """The numbers of images seen of which there are sample grids, in their order."""
        try:
            names = [entry.name for entry in self.folder.samples.iterdir()]
        except OSError:
            return []
        return sorted(int(match[1]) for name in names if (match := _SAMPLES.fullmatch(name)))

    def picture(self, images: int | None) -> bytes | None:
        """The sample grid after so many images, or real samples; None where it is no PNG file of the run."""
        name = "real.png" if images is None else f"{images:09d}.png"
        if self.folder.samples.is_symlink():
            return None
        data = read_bytes(self.folder.samples / name, LARGEST_PICTURE)
        return data if data is not None and data.startswith(PNG) else None

    def where(self) -> str:
        """The folder as a word of a command line."""
        return shlex.quote(os.fspath(self.name))


def digest(*texts: str) -> str:
    """A short text that is equal for equal texts."""
    return sha256("\0".join(texts).encode("utf-8", "surrogateescape"))[:16]


def identity_of(path: Path) -> str:
    """The name of a folder or file in URLs: nothing of its path is in it."""
    return sha256(os.fsencode(os.path.realpath(path)))[:16]
