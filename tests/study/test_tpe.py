"""TPE: what it draws depends on the results so far, also after a crash; its storage and the journal agree again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gankit.errors import InputError
from gankit.settings.option import Choice, LogUniform
from gankit.study.agenda import Agenda
from gankit.study.definition import Definition, Trial
from gankit.study.journal import append, read
from gankit.study.reading import from_flags
from gankit.study.space import Space
from gankit.study.tpe import NUMBER, TpeSampler

optuna = pytest.importorskip("optuna")

SPACE = Space(
    "gan",
    {"g_lr": LogUniform(1e-5, 1e-2), "d_steps": Choice((1, 5))},
    frozenset({"d_steps"}),
    {"g_lr": 1e-3, "d_steps": 1},
)


def definition(trials: int, prune: bool = False, metric: str = "fid") -> Definition:
    return from_flags(
        {"variant": "gan", "images": 1_000},
        score={"metric": metric},
        search={"ranges": "wide", "trials": trials, "sampler": "tpe", "prune": prune},
    )


def open_study(folder: Path, trials: int, storage: str | None = None, prune: bool = False) -> tuple[Agenda, TpeSampler]:
    study = definition(trials, prune)
    assert study.search is not None
    sampler = TpeSampler({"gan": SPACE}, study.search, study.score.metric, storage, folder / "optuna.log")
    agenda = Agenda(study, read(folder / "journal.jsonl"), sampler)
    sampler.catch_up(agenda.planned.values(), agenda.ends)
    return agenda, sampler


def value_of(trial: Trial) -> float:
    return abs(trial.settings.get("g_lr", 1e-3) - 2e-3) * 1e3 + trial.settings.get("d_steps", 1)


def play(folder: Path, agenda: Agenda, steps: int, torn: str = "") -> None:
    """Let trials end without training; `torn` says after which event of the next trial the head dies."""
    for step in range(steps):
        found = agenda.next()
        assert found is not None
        trial, new = found
        dies = torn if step == steps - 1 else ""
        if dies == "asked":
            return
        if new:
            append(folder / "journal.jsonl", {"event": "planned", "trial": trial.to_json()})
        if dies == "planned":
            return
        value = value_of(trial)
        scores = {"fid": {"value": value, "floor": 0.1, "higher_is_better": False}}
        end: dict[str, Any] = {"status": "ok", "scores": scores, "choice": value}
        append(folder / "journal.jsonl", {"event": "finished", "id": trial.id, **end})
        if dies == "finished":
            return
        agenda.end(trial, end)


def drawn(folder: Path) -> list[dict[str, Any]]:
    return [r["trial"]["settings"] for r in read(folder / "journal.jsonl") if r["event"] == "planned"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("whole")
    play(folder, open_study(folder, 14)[0], 14)
    return drawn(folder)


@pytest.mark.parametrize("torn", ["asked", "planned", "finished"])
def test_a_search_that_was_broken_off_draws_what_it_would_have_drawn(
    tmp_path: Path, undisturbed: list[dict[str, Any]], torn: str
) -> None:
    play(tmp_path, open_study(tmp_path, 14)[0], 12, torn)
    agenda, _ = open_study(tmp_path, 14)
    play(tmp_path, agenda, agenda.waiting)
    assert drawn(tmp_path) == undisturbed
    assert len({str(settings) for settings in undisturbed}) == 14
    states = [trial.state.name for trial in agenda.sampler._study("gan").get_trials()]  # type: ignore[union-attr]
    assert states.count("COMPLETE") == 14
    assert "RUNNING" not in states


def test_optunas_storage_may_be_a_database(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    url = f"sqlite:///{tmp_path}/search.db"
    agenda, sampler = open_study(tmp_path, 14, url)
    play(tmp_path, agenda, 14)
    assert drawn(tmp_path) == undisturbed
    assert not (tmp_path / "optuna.log").exists()
    sampler.close()
    with pytest.raises(InputError, match="--storage nowhere"):
        open_study(tmp_path, 14, "nowhere")


@pytest.mark.parametrize(("metric", "other"), [("fid", "precision"), ("precision", "fid")])
def test_the_metric_of_the_study_says_which_way_is_better(tmp_path: Path, metric: str, other: str) -> None:
    study = definition(6, metric=metric)
    assert study.search is not None
    sampler = TpeSampler({"gan": SPACE}, study.search, metric, None, tmp_path / "optuna.log")
    agenda = Agenda(study, [], sampler)
    for number in range(6):
        found = agenda.next()
        assert found is not None
        scores = {
            name: {"value": float(number), "floor": 0.1, "higher_is_better": name == "precision"}
            for name in (metric, other)
        }
        agenda.end(found[0], {"status": "ok", "scores": scores, "choice": float(number)})
    best = sampler._study("gan").best_trial.user_attrs[NUMBER]
    assert best == (5 if metric == "precision" else 0)


def test_a_trial_below_the_median_is_pruned(tmp_path: Path) -> None:
    agenda, sampler = open_study(tmp_path, 8, prune=True)
    for number in range(8):
        found = agenda.next()
        assert found is not None
        trial, bad = found[0], number == 7
        assert sampler.prune(trial, 100, 9.0 if bad else 1.0) == bad
        scores = {} if bad else {"fid": {"value": 1.0, "floor": 0.1, "higher_is_better": False}}
        end = {"status": "pruned" if bad else "ok", "scores": scores, "choice": None if bad else 1.0}
        agenda.end(trial, end)
    states = [trial.state.name for trial in sampler._study("gan").get_trials()]
    assert states.count("PRUNED") == 1
    assert states.count("COMPLETE") == 7
