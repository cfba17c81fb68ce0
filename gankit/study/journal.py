"""The journal of a study: an append-only file of JSON lines, from which everything else is derived."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gankit.base.files import cannot_write, json_text
from gankit.errors import InputError
from gankit.study.definition import Trial

FILE = "journal.jsonl"
SCHEMA = 1

Record = dict[str, Any]
Status = Literal["ok", "diverged", "collapsed", "failed", "pruned"]


@dataclass(frozen=True)
class Result:
    """What came of a trial. Only those with the status 'ok' have scores."""

    trial: Trial
    status: Status
    scores: Mapping[str, float]
    """By the seed of the report in a grid and of the best settings; by the seed of the choice in a search."""
    floors: Mapping[str, float]
    """The same scores of real data; without those that have none."""
    choice: float | None
    """The metric of the study by the seed of the choice; None for a trial that is not to be chosen."""
    images_seen: int | None
    seconds: float
    """Training, scores and overhead together."""
    message: str
    protocol: Mapping[str, Any]
    """All that determines the scores besides the samples; empty without scores."""


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Append one record as a line, whole and durable; a last line that a crash cut short is cut off first.

    ResourceError where it cannot be written; the journal is then as it was.
    """
    line = (json_text({"schema": SCHEMA, **record}) + "\n").encode()
    try:
        with path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = _whole_lines(file.fileno())
            file.truncate(end)
            if file.write(line) != len(line):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error


def _whole_lines(descriptor: int) -> int:
    """The length of a file up to the end of its last whole line."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end and (block := os.pread(descriptor, min(end, 4096), end - min(end, 4096))):
        if (found := block.rfind(b"\n")) >= 0:
            return end - len(block) + found + 1
        end -= len(block)
    return 0


def read(path: Path) -> list[Record]:
    """All records, oldest first; a torn last line is skipped. InputError for damage anywhere else."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    records: list[Record] = []
    for number, line in enumerate(data.split(b"\n")[:-1], 1):  # what follows the last newline is torn
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("event"), str):
            raise InputError(f"{path}, line {number} is damaged", hint="remove that line, or restore the file")
        if record.get("schema", SCHEMA) > SCHEMA:
            raise InputError(f"{path} was written by a newer gankit", hint="pip install --upgrade gankit")
        records.append(record)
    return records


def trials(records: Iterable[Mapping[str, Any]]) -> dict[str, Trial]:
    """id -> trial, of all that were planned."""
    planned = (record["trial"] for record in records if record["event"] == "planned")
    return {trial["id"]: Trial(**{name: trial[name] for name in Trial.__dataclass_fields__}) for trial in planned}


def finished(records: Iterable[Mapping[str, Any]]) -> dict[str, Record]:
    """id -> the last record of its end."""
    return {record["id"]: dict(record) for record in records if record["event"] == "finished"}


def chosen(records: Iterable[Mapping[str, Any]]) -> dict[str, Record]:
    """Cell -> the last choice of its best settings."""
    return {record["cell"]: dict(record) for record in records if record["event"] == "chosen"}


def results(path: Path, *, superseded: bool = False) -> list[Result]:
    """One result for each finished trial, in the order in which they were planned.

    When a search grew and found better settings, repetitions of the older ones are left out unless `superseded`.
    """
    records = read(path)
    ends, best = finished(records), chosen(records)
    found = []
    for trial in trials(records).values():
        settings = best.get(trial.cell, {}).get("settings")
        outdated = trial.phase == "best" and settings != {k: v for k, v in trial.settings.items() if k != "seed"}
        if trial.id in ends and (superseded or not outdated):
            found.append(_result(trial, ends[trial.id]))
    return found


def _result(trial: Trial, end: Record) -> Result:
    scores: Mapping[str, Mapping[str, Any]] = end.get("scores") or {}
    return Result(
        trial=trial,
        status=end["status"],
        scores={name: score["value"] for name, score in scores.items()},
        floors={name: score["floor"] for name, score in scores.items() if score.get("floor") is not None},
        choice=end.get("choice"),
        images_seen=end.get("images_seen"),
        seconds=sum(end.get(name) or 0.0 for name in ("train_s", "score_s", "overhead_s")),
        message=end.get("message", ""),
        protocol=end.get("protocol") or {},
    )
