"""The journal: whole lines only, whatever was killed while it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gankit.errors import InputError
from gankit.settings.option import LogUniform
from gankit.study import journal
from gankit.study.agenda import Agenda, RandomSampler
from gankit.study.definition import Definition, Trial
from gankit.study.journal import append, read
from gankit.study.reading import from_flags
from gankit.study.space import Space


def test_a_torn_last_line_is_skipped_and_cut_off_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    append(path, {"event": "lost", "id": "a"})
    append(path, {"event": "lost", "id": "é\udcff"})
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"event": "finished", "id": "a", "sta' + b"x" * 10_000)
    assert [record["id"] for record in read(path)] == ["a", "é\udcff"]
    append(path, {"event": "lost", "id": "b"})
    assert path.read_bytes().startswith(whole)
    assert [record["id"] for record in read(path)] == ["a", "é\udcff", "b"]


def test_damage_in_the_middle_is_no_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "lost", "id": "a"}\n{"even\n{"event": "lost", "id": "b"}\n')
    with pytest.raises(InputError, match="line 2 is damaged"):
        read(path)


# -- what is left to do is a function of the journal -------------------------------------------------------------------


def searching(trials: int = 3, variants: Sequence[str] = ("gan",)) -> tuple[Definition, RandomSampler]:
    definition = from_flags(
        {"images": 1_000},
        variants=variants,
        data=["ring8"],
        seeds=2,
        search={"ranges": "wide", "trials": trials},
    )
    names = [f"{variant}-ring8" for variant in variants]
    spaces = {name: Space(name, {"g_lr": LogUniform(1e-5, 1e-2)}, frozenset(), {"g_lr": 1e-3}) for name in names}
    return definition, RandomSampler(spaces, 0)


def play(path: Path, trials: int = 3, steps: int = 100, variants: Sequence[str] = ("gan",)) -> list[Trial]:
    """Let the agenda run without training; a trial of draw k scores k + 1, the last draw diverges."""
    definition, sampler = searching(trials, variants)
    agenda = Agenda(definition, read(path), sampler)
    ran = []

    def write(event: str, **facts: Any) -> None:
        append(path, {"event": event, **facts})

    def choose() -> None:
        for record in agenda.choices():
            append(path, record)

    choose()
    while steps and (found := agenda.next()) is not None:
        trial, new = found
        if new:
            write("planned", trial=trial.to_json())
        write("started", id=trial.id, attempt=1, worker="host:1")
        diverges = trial.phase == "search" and trial.number == trials - 1
        value = 10.0 - trial.number
        end = {
            "status": "diverged" if diverges else "ok",
            "scores": {} if diverges else {"fid": {"value": value, "floor": 0.1, "higher_is_better": False}},
            "choice": None if diverges or trial.phase == "best" else value,
        }
        write("finished", id=trial.id, **end)
        agenda.end(trial, end)
        choose()
        ran.append(trial)
        steps -= 1
    return ran


def test_a_search_is_followed_by_repetitions_of_its_best(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    ran = play(path)
    assert [(trial.phase, trial.number, trial.seed) for trial in ran] == [
        ("search", 0, 1_000_000),
        ("search", 1, 1_000_001),
        ("search", 2, 1_000_002),
        ("best", 1, 0),
        ("best", 1, 1),
    ]
    assert "g_lr" not in ran[0].settings  # the cell's own settings
    assert ran[3].settings["g_lr"] == ran[1].settings["g_lr"]
    results = journal.results(path)
    assert [result.status for result in results] == ["ok", "ok", "diverged", "ok", "ok"]
    assert play(path) == []


def test_repetitions_come_seed_by_seed_so_that_all_cells_come_as_far(tmp_path: Path) -> None:
    ran = play(tmp_path / "journal.jsonl", variants=("gan", "lsgan"))
    repeated = [(trial.cell, trial.seed) for trial in ran if trial.phase == "best"]
    assert repeated == [("gan-ring8", 0), ("lsgan-ring8", 0), ("gan-ring8", 1), ("lsgan-ring8", 1)]


@pytest.mark.parametrize("steps", range(1, 5))
def test_a_study_that_was_broken_off_runs_the_rest_and_nothing_twice(tmp_path: Path, steps: int) -> None:
    whole = [trial.id for trial in play(tmp_path / "whole.jsonl")]
    first, rest = (play(tmp_path / "journal.jsonl", steps=count) for count in (steps, 100))
    assert [trial.id for trial in (*first, *rest)] == whole


def test_a_larger_search_repeats_what_it_finds_better_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    play(path, trials=3)
    added = play(path, trials=6)
    assert [(trial.phase, trial.number) for trial in added] == [
        ("search", 3),
        ("search", 4),
        ("search", 5),
        ("best", 4),
        ("best", 4),
    ]
    best = [result.trial.number for result in journal.results(path) if result.trial.phase == "best"]
    assert best == [4, 4]
    assert len(journal.results(path, superseded=True)) == len(journal.results(path)) + 2


def test_a_trial_that_is_put_back_comes_next(tmp_path: Path) -> None:
    definition, sampler = searching()
    agenda = Agenda(definition, [], sampler)
    first, second = agenda.next(), agenda.next()
    assert first is not None
    assert second is not None
    agenda.put_back(second[0])
    assert agenda.next() == (second[0], False)
