"""The results of a study as a table: a row for each cell, all pairs of cells, and what the searches found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gankit.base.text import did_you_mean, printable
from gankit.errors import InputError
from gankit.settings.option import differences
from gankit.study import journal, reading, statistics
from gankit.study.definition import Definition
from gankit.study.journal import Record, Result
from gankit.study.statistics import Comparison, Estimate

DEFINITION = "study.toml"


@dataclass(frozen=True)
class Row:
    """A cell: its runs with one seed each, and what they say."""

    cell: str
    data: str  # name of the data set; only cells with the same one are compared
    phase: str  # 'grid', or 'best': the settings that a search chose
    runs: tuple[Result, ...]  # by seed; without omitted ones
    omitted: tuple[Result, ...]
    costs: Mapping[int, float]  # seed -> score of which less is better; +inf of a run without one
    mean: Estimate  # of the scores that there are
    median: Estimate  # of all runs, one without a score being the worst
    floor: float | None  # score of real data, the mean over seeds

    @property
    def failures(self) -> Counter[str]:
        """Status -> number of runs that are not 'ok'."""
        return Counter(run.status for run in self.runs if run.status != "ok")


@dataclass(frozen=True)
class SearchRow:
    """The search of a cell, by the evaluation seed of the choice."""

    cell: str
    data: str
    trials: tuple[Result, ...]
    best: Result | None
    default: float | None  # score of the cell's own settings
    expected: list[Estimate]  # expected best of k trials, k = 1, 2, …
    failed_as: float | None  # the score that stands for a trial without one: the worst of the study

    @property
    def failures(self) -> Counter[str]:
        """Status -> number of trials that are not 'ok'."""
        return Counter(trial.status for trial in self.trials if trial.status != "ok")


@dataclass(frozen=True)
class Table:
    """A study at one moment."""

    folder: Path
    definition: Definition
    metric: str
    higher_is_better: bool
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    searches: tuple[SearchRow, ...]
    planned: int
    running: int
    finished: int
    omit_outliers: bool
    records: tuple[Record, ...]  # the journal

    @property
    def data_sets(self) -> list[str]:
        """The data sets of the cells, in their order."""
        return list(dict.fromkeys([row.data for row in self.rows] + [search.data for search in self.searches]))

    def rows_of(self, data: str) -> list[Row]:
        """The rows of one data set."""
        return [row for row in self.rows if row.data == data]

    def score_of(self, run: Result) -> float | None:
        """The score of a run; None of one that failed."""
        value = run.scores.get(self.metric)
        return value if run.status == "ok" and value is not None and math.isfinite(value) else None

    def score(self, cost: float) -> float:
        """The score of a cost, and the other way round."""
        return -cost if self.higher_is_better else cost

    def choice_of(self, trial: Result) -> float | None:
        """The score of a trial by the evaluation seed of the choice."""
        if self.metric != self.definition.score.metric or trial.choice is None or trial.status != "ok":
            return self.score_of(trial) if trial.trial.phase == "search" else None
        return trial.choice if math.isfinite(trial.choice) else None


def read_table(folder: Path, *, metric: str | None = None, omit_outliers: bool = False) -> Table:
    """The table of a study folder, finished or not; nothing is written.

    `metric` is one of those that were computed; without it, the one of the study. `omit_outliers` leaves out the runs
    that failed or are far worse than the others of their cell, as the paper did. InputError for a folder that is no
    study or has no results, for an unknown metric, and for scores with incompatible protocols.
    """
    file, where = folder / journal.FILE, printable(folder)
    if not (folder / DEFINITION).is_file():
        raise InputError(f"{where} is not the folder of a study", hint="gankit study run … -o STUDY makes one")
    study = reading.from_toml(folder / DEFINITION)
    records, results = journal.read(file), journal.results(file)
    if not results:
        raise InputError(f"{where} has no results yet", hint=f"gankit study run -o {where}")
    chosen_metric, higher = _metric(metric or study.score.metric, records)
    last = {record["id"]: record["event"] for record in records if record["event"] in ("started", "lost", "finished")}
    table = Table(
        folder=folder,
        definition=study,
        metric=chosen_metric,
        higher_is_better=higher,
        rows=(),
        comparisons=(),
        searches=(),
        planned=len(journal.trials(records)),
        running=list(last.values()).count("started"),
        finished=len(journal.finished(records)),
        omit_outliers=omit_outliers,
        records=tuple(records),
    )
    data = _data_of_cells(results)
    repeated = _by_cell([result for result in results if result.trial.phase != "search"])
    searched = _by_cell([result for result in results if result.trial.phase == "search"])
    for group in (repeated, searched):
        _refuse_unlike([run for runs in group.values() for run in runs], data)
    rows = tuple(_row(table, data[cell], runs) for cell, runs in repeated.items())
    comparisons = []
    for name in dict.fromkeys(row.data for row in rows):
        comparisons += statistics.compare_all({row.cell: row.costs for row in rows if row.data == name})
    searches = []
    for cell, trials in searched.items():
        rivals = [trial for other in searched if data[other] == data[cell] for trial in searched[other]]
        searches.append(_search(table, data[cell], trials, rivals))
    return Table(**{**vars(table), "rows": rows, "comparisons": tuple(comparisons), "searches": tuple(searches)})


def _metric(name: str, records: Sequence[Record]) -> tuple[str, bool]:
    """The metric, and whether more of it is better; InputError for one that was not computed."""
    scores = {key: score for record in records for key, score in (record.get("scores") or {}).items()}
    if scores and name not in scores:
        raise InputError(
            f"the study has no metric '{printable(name)}'",
            hint=did_you_mean(name, scores) + f"metrics: {', '.join(map(printable, scores))}",
        )
    return name, bool(scores.get(name, {}).get("higher_is_better"))


def _by_cell(results: Sequence[Result]) -> dict[str, list[Result]]:
    cells: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: (result.trial.number, result.trial.seed)):
        cells.setdefault(result.trial.cell, []).append(result)
    order = list(dict.fromkeys(result.trial.cell for result in results))
    return {cell: cells[cell] for cell in order}


def _data_of_cells(results: Sequence[Result]) -> dict[str, str]:
    """Cell -> its data set: the name in its settings, else the fingerprint of what its recipe names."""
    found: dict[str, str] = {}
    for result in results:
        if name := result.trial.settings.get("data"):
            found[result.trial.cell] = str(name)
        elif result.protocol:
            found.setdefault(result.trial.cell, f"data {str(result.protocol.get('data_fingerprint'))[:8]}")
    names = set(found.values())
    other = names.pop() if len(names) == 1 else "unknown data"  # of a cell without any score
    return {result.trial.cell: found.get(result.trial.cell, other) for result in results}


def _refuse_unlike(runs: Sequence[Result], data: Mapping[str, str]) -> None:
    """InputError for runs of the same data whose scores were computed in different ways."""
    first: dict[str, Result] = {}
    for run in runs:
        if not run.protocol:
            continue
        other = first.setdefault(data[run.trial.cell], run)
        unlike = differences(dict(other.protocol), dict(run.protocol))
        if unlike:
            fields = "; ".join(f"{name} {_short(old)} and {_short(new)}" for name, (old, new) in unlike.items())
            raise InputError(
                f"trials {other.trial.id} and {run.trial.id} were scored in incompatible ways: {fields}",
                hint="run the study anew in another folder",
            )


def _short(value: object) -> str:
    text = str(value)
    return printable(text[:12] if len(text) == 64 else text[:80])


def _row(table: Table, data: str, runs: Sequence[Result]) -> Row:
    costs = [_cost(table, table.score_of(run)) for run in runs]
    out = statistics.outliers(costs) if table.omit_outliers else [False] * len(runs)
    kept = [(run, cost) for run, cost, omitted in zip(runs, costs, out, strict=True) if not omitted]
    floors = [run.floors[table.metric] for run in runs if table.metric in run.floors]
    values = [cost for _, cost in kept]
    return Row(
        cell=runs[0].trial.cell,
        data=data,
        phase=runs[0].trial.phase,
        runs=tuple(run for run, _ in kept),
        omitted=tuple(run for run, omitted in zip(runs, out, strict=True) if omitted),
        costs={run.trial.seed: cost for run, cost in kept},
        mean=_scores(table, statistics.mean(values)),
        median=_scores(table, statistics.median(values)),
        floor=sum(floors) / len(floors) if floors else None,
    )


def _search(table: Table, data: str, trials: Sequence[Result], rivals: Sequence[Result]) -> SearchRow:
    """`rivals` are the trials of all cells on the same data; the worst score among them stands for a failed trial."""
    found = [cost for trial in rivals if math.isfinite(cost := _cost(table, table.choice_of(trial)))]
    worst = max(found, default=math.inf)
    costs = [_cost(table, table.choice_of(trial)) for trial in trials]
    expected = statistics.expected_best([min(cost, worst) for cost in costs])
    best = min(zip(costs, trials, strict=True), key=lambda pair: pair[0])
    default = next((trial for trial in trials if trial.trial.number == 0), None)
    return SearchRow(
        cell=trials[0].trial.cell,
        data=data,
        trials=tuple(trials),
        best=best[1] if math.isfinite(best[0]) else None,
        default=None if default is None else table.choice_of(default),
        expected=[_scores(table, estimate) for estimate in expected],
        failed_as=table.score(worst) if math.inf in costs and math.isfinite(worst) else None,
    )


def _cost(table: Table, score: float | None) -> float:
    return math.inf if score is None else table.score(score)


def _scores(table: Table, cost: Estimate) -> Estimate:
    """An estimate of costs as one of scores."""
    if not table.higher_is_better:
        return cost
    return Estimate(-cost.value, -cost.high, -cost.low)
