"""Study folders with given scores, written through the real definition and journal, without any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gankit.study import journal, reading
from gankit.study.definition import Definition, Trial

Outcome = float | str  # a score, or the status of a run without one
PROTOCOL = {"data_fingerprint": "d" * 64, "split": "train", "features": "classifier", "n": 2000, "metrics": {"fid": {}}}


def write_study(
    folder: Path,
    repeated: Mapping[str, Sequence[Outcome]] | None = None,
    searched: Mapping[str, Sequence[Outcome]] | None = None,
    *,
    title: str = "Losses on digits",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    metric: str = "fid",
    higher: bool = False,
    unfinished: int = 0,
) -> Definition:
    """A study whose cells have these outcomes, a seed each; `searched` are those of the trials of a search."""
    repeated, searched = repeated or {}, searched or {}
    names = list(dict.fromkeys([*searched, *repeated]))
    table: dict[str, Any] = {
        "title": title,
        "settings": {"data": "digits", "images": 1000},
        "cell": [{"name": name, "variant": "gan", **(settings or {}).get(name, {})} for name in names],
        "repeat": {"seeds": max([len(outcomes) for outcomes in repeated.values()], default=1) + unfinished},
        "score": {"metric": metric},
    }
    if searched:
        table["search"] = {"ranges": "wide", "trials": max(map(len, searched.values()))}
    study = reading.from_table(table)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.toml").write_text(study.to_toml())
    file = folder / "journal.jsonl"
    file.touch()
    for cell, outcomes in searched.items():
        for number, outcome in enumerate(outcomes):
            trial = study.search_trial(study.cell(cell), number, {"g_lr": 1e-4 * (number + 1)})
            finish(file, trial, outcome, metric=metric, higher=higher)
    for cell, outcomes in repeated.items():
        settings_of_best = {**study.cell(cell).settings, "g_lr": 1e-4}
        if searched:
            journal.append(file, {"event": "chosen", "cell": cell, "from": "x", "settings": settings_of_best})
            trials = study.best_trials(study.cell(cell), 1, settings_of_best)
        else:
            trials = [trial for trial in study.grid_trials() if trial.cell == cell]
        for trial, outcome in zip(trials, outcomes, strict=False):
            finish(file, trial, outcome, metric=metric, higher=higher)
        for trial in trials[len(outcomes) :]:
            plan(file, trial)
    return study


def plan(file: Path, trial: Trial) -> None:
    journal.append(file, {"event": "planned", "time": 0.0, "trial": trial.to_json()})
    journal.append(file, {"event": "started", "time": 0.0, "id": trial.id, "attempt": 1, "worker": "host:1"})


def finish(
    file: Path,
    trial: Trial,
    outcome: Outcome,
    *,
    metric: str = "fid",
    higher: bool = False,
    protocol: Mapping[str, Any] = PROTOCOL,
    message: str = "it went wrong",
) -> None:
    """Plan, start and finish a trial."""
    plan(file, trial)
    ok = not isinstance(outcome, str)
    score = {"value": outcome, "floor": 0.5, "higher_is_better": higher}
    journal.append(
        file,
        {
            "event": "finished",
            "time": 1.0,
            "id": trial.id,
            "attempt": 1,
            "status": "ok" if ok else outcome,
            "message": "" if ok else message,
            "scores": {metric: score} if ok else {},
            "choice": outcome if ok else None,
            "protocol": dict(protocol) if ok else {},
            "images_seen": 1000,
            "train_s": 10.0,
            "score_s": 2.0,
            "overhead_s": 0.5,
            "versions": {"gankit": "0.2.0", "torch": "2.13.0"},
            "machine": "host, x86_64",
        },
    )
