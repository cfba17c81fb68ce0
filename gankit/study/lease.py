"""Trials without a head: a lease says which process has a trial, and a file beside its run says what came of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gankit.base.files import make_folder, read_json, write_json
from gankit.study import journal
from gankit.study.folder import StudyFolder
from gankit.study.head import Head

HEARTBEAT_S = 10.0
LEASE_S = 180.0  # seconds without a heartbeat after which a trial is put back
RESULT = "result.json"


@contextmanager
def held(folder: StudyFolder, trial_id: str) -> Iterator[None]:
    """Keep a lease alive within the block and give it back afterwards. A process that is killed leaves it to expire."""
    path, ended = _path(folder, trial_id), threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_S):
            with suppress(OSError):  # a file server that is away for a moment
                os.utime(path)  # by the clock of the file server

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        path.unlink(missing_ok=True)


def take(folder: StudyFolder, trial_id: str, owner: str) -> None:
    """Write the lease of a trial; the caller holds the lock of the study."""
    make_folder(_path(folder, trial_id).parent)
    write_json(_path(folder, trial_id), {"owner": owner})


def without_head(folder: StudyFolder) -> set[str]:
    """Ids of the trials that have a lease, or a result that is not in the journal yet."""
    if not (folder.path / "leases").is_dir():
        return set()
    records = journal.read(folder.journal)
    open_trials = journal.trials(records).keys() - journal.finished(records).keys()
    leases = {path.stem for path in (folder.path / "leases").glob("*.json")}
    return leases | {name for name in open_trials if (folder.run(name) / RESULT).exists()}


def settle(head: Head) -> int:
    """Write what came of the trials that the agenda knows to be elsewhere; returns how many of them are still running.

    The caller holds the lock of the study. Trials whose lease has expired are put back.
    """
    folder, agenda, running = head.folder, head.agenda, 0
    for name in sorted(agenda.elsewhere):
        lease, result = _path(folder, name), folder.run(name) / RESULT
        trial = agenda.planned.get(name)
        age_s = _age_s(lease)  # asked first: a result is written before its lease is given back
        if trial is None or name in agenda.ends:
            lease.unlink(missing_ok=True)
        elif result.exists():
            head.end(trial, read_json(result))
            lease.unlink(missing_ok=True)
        elif age_s is None:
            agenda.put_back(trial)
        elif age_s > LEASE_S:
            owner = read_json(lease)["owner"]
            lease.unlink(missing_ok=True)
            head.lose(trial, f"no sign of life of {owner} for {LEASE_S:.0f} s")
        else:
            running += 1
    return running


def _path(folder: StudyFolder, trial_id: str) -> Path:
    return folder.path / "leases" / f"{trial_id}.json"


def _age_s(lease: Path) -> float | None:
    """Seconds since the last heartbeat, both by the clock of the file server; None without a lease."""
    clock = lease.parent / "CLOCK"
    clock.touch()
    try:
        return clock.stat().st_mtime - lease.stat().st_mtime
    except FileNotFoundError:
        return None
