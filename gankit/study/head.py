"""The head of a study: gives out trials, puts back what is lost, and alone writes the journal. Engines build on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gankit.errors import DivergedError, GankitError, InputError, PluginError, ResourceError, Stopped
from gankit.study import journal
from gankit.study.agenda import MAX_LOST, Agenda
from gankit.study.definition import Trial
from gankit.study.folder import StudyFolder
from gankit.study.journal import Record

Watch = Callable[["Head"], None]


class Head:
    """Keeps the books of a study: every trial that begins, ends or is lost is a line of the journal."""

    def __init__(self, agenda: Agenda, folder: StudyFolder, watch: Watch | None = None) -> None:
        self.agenda, self.folder, self.watch = agenda, folder, watch
        self.started_at = time.monotonic()
        self.started_with = len(agenda.ends)
        self.running: dict[str, Trial] = {}
        """Id -> trial, of those that were given out and have not ended."""
        self.last: tuple[Trial, Record] | None = None
        """The trial that ended last, with its record."""
        self.doing = ""
        """What happens before the first trial: 'starting', 'reading the data'; else ''."""

    @property
    def done(self) -> int:
        """Trials that ended since this head began."""
        return len(self.agenda.ends) - self.started_with

    def begin(self, worker: str) -> Trial | None:
        """Give the next trial to a worker, 'host:pid'; None when there is none at this moment."""
        found = self.agenda.next()
        if found is None:
            return None
        trial, new = found
        if new:
            self.write("planned", trial=trial.to_json())
        attempt = self.agenda.attempts[trial.id] = self.agenda.attempts.get(trial.id, 0) + 1
        self.write("started", id=trial.id, attempt=attempt, worker=worker)
        self.running[trial.id] = trial
        return trial

    def end(self, trial: Trial, record: Record) -> None:
        """A trial has ended with this record."""
        self.running.pop(trial.id, None)
        record = {"id": trial.id, "attempt": self.agenda.attempts[trial.id], **record}
        self.write("finished", **record)
        self.agenda.end(trial, record)
        self.write_choices()
        self.last = (trial, record)
        self.show()

    def lose(self, trial: Trial, why: str) -> None:
        """An attempt is lost: its trial is put back, or has failed when that happened too often."""
        self.running.pop(trial.id, None)
        lost = self.agenda.lost[trial.id] = self.agenda.lost.get(trial.id, 0) + 1
        self.write("lost", id=trial.id, attempt=self.agenda.attempts[trial.id], why=why)
        if lost < MAX_LOST:
            self.agenda.put_back(trial)
        else:
            message = f"{lost} attempts were lost, the last one with: {why}"
            self.end(trial, {"status": "failed", "message": message, "scores": {}, "choice": None, "protocol": {}})

    def stopped(self, signal_number: int) -> Stopped:
        """The error of a head whose workers have saved their state because a signal came."""
        left = sum(total - done for done, total in self.agenda.counts().values())
        return Stopped(
            f"stopped with {left:,} trials to do, all state saved",
            signal_number=signal_number,
            hint="the same command goes on",
        )

    def show(self) -> None:
        """Let the display look."""
        if self.watch is not None:
            self.watch(self)

    def write(self, event: str, **facts: Any) -> None:
        """Append an event to the journal."""
        journal.append(self.folder.journal, {"event": event, "time": round(time.time(), 3), **facts})

    def write_choices(self) -> None:
        """Write which settings the searches that have ended chose."""
        for record in self.agenda.choices():
            self.write("chosen", **{key: value for key, value in record.items() if key != "event"})


def as_message(error: GankitError) -> dict[str, Any]:
    """An error as JSON values, for another process."""
    return {"exit_code": error.exit_code, "message": error.message, "hint": error.hint}


def as_error(message: dict[str, Any]) -> GankitError:
    """The error of another process."""
    kinds = {kind.exit_code: kind for kind in (InputError, PluginError, ResourceError, DivergedError)}
    return kinds.get(message["exit_code"], GankitError)(message["message"], hint=message["hint"])
