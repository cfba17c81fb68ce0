"""What is left to do in a study: derived from its definition and its journal, and nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gankit.study import journal
from gankit.study.definition import Cell, Definition, Trial
from gankit.study.journal import Record
from gankit.study.space import Space

MAX_LOST = 3  # attempts of a trial whose workers died, after which it has failed


class Sampler(Protocol):
    """Draws the settings of a search, and hears what came of them."""

    def catch_up(self, planned: Iterable[Trial], ends: Mapping[str, Record]) -> None:
        """Hear all that happened before this process began."""

    def draw(self, cell: str, number: int) -> dict[str, Any]:
        """The settings of draw `number`, by name."""

    def tell(self, trial: Trial, end: Record) -> None:
        """A trial of the search has ended."""

    def prune(self, trial: Trial, images: int, cost: float) -> bool:
        """Whether a trial shall end whose score after so many images is this, as a cost: less is better."""


@dataclass(frozen=True)
class RandomSampler:
    """Independent draws, as in the paper."""

    spaces: Mapping[str, Space]
    seed: int

    def catch_up(self, planned: Iterable[Trial], ends: Mapping[str, Record]) -> None:
        """Nothing depends on it."""

    def draw(self, cell: str, number: int) -> dict[str, Any]:
        """A function of the seed, the cell and the number."""
        return self.spaces[cell].draw(self.seed, number)

    def tell(self, trial: Trial, end: Record) -> None:
        """Nothing depends on it."""

    def prune(self, trial: Trial, images: int, cost: float) -> bool:
        """Never."""
        return False


class Agenda:
    """Gives out trials, each once at a time, and says what has to be written into the journal."""

    def __init__(
        self,
        definition: Definition,
        records: Iterable[Mapping[str, Any]],
        sampler: Sampler | None,
        elsewhere: Collection[str] = (),
    ) -> None:
        """`elsewhere` are ids of planned trials that are not given out, because a process without a head has them."""
        self.definition, self.sampler, self.elsewhere = definition, sampler, elsewhere
        records = list(records)
        self.planned, self.ends = journal.trials(records), journal.finished(records)
        self.chosen = journal.chosen(records)
        self.attempts, self.lost = _count(records, "started"), _count(records, "lost")
        self._searched = {(t.cell, t.number): t for t in self.planned.values() if t.phase == "search"}
        self._todo: deque[Callable[[], Trial]] = deque()
        self._repetitions: list[Trial] = []  # of the best, after all else: seed by seed, so that all cells come as far
        self._waiting: dict[str, int] = {}  # cell -> trials of its search that have not ended
        if definition.search is None:
            self._add(definition.grid_trials())
        else:
            self._add_search(definition, definition.search.trials)

    def next(self) -> tuple[Trial, bool] | None:
        """A trial to run now, and whether it is new to the journal; None when there is none at this moment."""
        if not self.waiting:
            return None
        trial = self._todo.popleft()() if self._todo else self._repetitions.pop(0)
        new = trial.id not in self.planned
        self.planned[trial.id] = trial
        if trial.phase == "search":
            self._searched[trial.cell, trial.number] = trial
        return trial, new

    @property
    def waiting(self) -> int:
        """Trials that can be given out now."""
        return len(self._todo) + len(self._repetitions)

    def put_back(self, trial: Trial) -> None:
        """Give a trial out again, before all others."""
        self._todo.appendleft(lambda: trial)

    def end(self, trial: Trial, record: Record) -> None:
        """A trial has ended."""
        self.ends[trial.id] = record
        if trial.phase == "search":
            self._waiting[trial.cell] -= 1
            assert self.sampler is not None
            self.sampler.tell(trial, record)

    def choices(self) -> list[Record]:
        """The 'chosen' records that are due; the repetitions of what was chosen become part of the agenda."""
        due = []
        for cell in [cell for cell, waiting in self._waiting.items() if not waiting]:
            del self._waiting[cell]
            best = self._best(cell)
            if best is None:
                continue
            settings = {key: value for key, value in best.settings.items() if key != "seed"}
            if self.chosen.get(cell, {}).get("settings") != settings:
                self.chosen[cell] = {"event": "chosen", "cell": cell, "from": best.id, "settings": settings}
                due.append(self.chosen[cell])
            trials = self.definition.best_trials(self.definition.cell(cell), best.number, settings)
            self._repetitions += filter(self._is_due, trials)
        self._repetitions.sort(key=lambda trial: trial.seed)
        return due

    # -- counts --------------------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, tuple[int, int]]:
        """Cell -> (trials that have ended, trials in all), repetitions of the best included."""
        search = self.definition.search
        repeats = len(self.definition.seeds)
        total = repeats + (search.trials if search is not None else 0)
        done = dict.fromkeys((cell.name for cell in self.definition.cells), 0)
        for trial in (self.planned[name] for name in self.ends if name in self.planned):
            if trial.cell in done and not self._outdated(trial):
                done[trial.cell] += 1
        searched = {cell for cell in done if search is not None and not self._waiting.get(cell, 0)}
        without_best = searched - self.chosen.keys()
        return {cell: (n, total - repeats if cell in without_best else total) for cell, n in done.items()}

    def best(self, cell: str) -> float | None:
        """The best value of the metric so far: of the search, else of what is reported."""
        ends = [self.ends[t.id] for t in self.planned.values() if t.cell == cell and t.id in self.ends]
        metric = self.definition.score.metric
        found = [end["scores"][metric] for end in ends if metric in (end.get("scores") or {})]
        higher = any(score.get("higher_is_better") for score in found)
        return (max if higher else min)((score["value"] for score in found), default=None)

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _add(self, trials: Iterable[Trial]) -> None:
        self._todo.extend(lambda t=trial: t for trial in trials if self._is_due(trial))  # type: ignore[misc]

    def _is_due(self, trial: Trial) -> bool:
        return trial.id not in self.ends and trial.id not in self.elsewhere

    def _add_search(self, definition: Definition, count: int) -> None:
        """Number by number, so that all cells come as far."""
        self._waiting = {cell.name: 0 for cell in definition.cells}
        for number in range(count):
            for cell in definition.cells:
                known = self._searched.get((cell.name, number))
                if known is None or known.id not in self.ends:
                    self._waiting[cell.name] += 1
                if known is None or self._is_due(known):
                    self._todo.append(lambda cell=cell, number=number: self._search_trial(cell, number))  # type: ignore[misc]

    def _search_trial(self, cell: Cell, number: int) -> Trial:
        known = self._searched.get((cell.name, number))
        if known is not None:
            return known
        assert self.sampler is not None
        drawn = self.sampler.draw(cell.name, number) if number else {}
        return self.definition.search_trial(cell, number, drawn)

    def _best(self, cell: str) -> Trial | None:
        """The trial of the search with the best choice; the first of several equal ones. None if none has a score."""
        metric = self.definition.score.metric
        found = [t for (name, _), t in sorted(self._searched.items()) if name == cell and t.id in self.ends]
        scored = [t for t in found if self.ends[t.id].get("choice") is not None]
        higher = any(self.ends[t.id]["scores"][metric].get("higher_is_better") for t in scored)
        return min(scored, key=lambda t: self.ends[t.id]["choice"] * (-1 if higher else 1), default=None)

    def _outdated(self, trial: Trial) -> bool:
        settings = self.chosen.get(trial.cell, {}).get("settings")
        return trial.phase == "best" and settings != {k: v for k, v in trial.settings.items() if k != "seed"}


def _count(records: Iterable[Mapping[str, Any]], event: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for record in records:
        if record["event"] == event:
            found[record["id"]] = found.get(record["id"], 0) + 1
    return found
