"""Studies in jobs of which some die: every trial once, nothing lost, results as those of a head."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import gankit
from support_jobs import DEFINITION, definitions, end_jobs, gone, records, scores, submit, wait_for

from gankit.study import journal

pytest.importorskip("submitit")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with two definitions; jobs that still run are ended."""
    definitions(tmp_path)
    yield tmp_path
    end_jobs(tmp_path)


def test_jobs_run_every_trial_once_and_their_scores_are_those_of_a_head(place: Path) -> None:
    done = submit("losses.toml -o jobs --jobs 2", place)
    assert len(done["jobs"]) == 2
    assert done["waiting"] == 4
    folder = place / "jobs"
    wait_for(lambda: len(records(folder, "finished")) == 4)
    wait_for(lambda: all(gone(int(job)) for job in done["jobs"]))
    assert len({record["worker"] for record in records(folder, "started")}) == 2
    assert len(records(folder, "started")) == 4
    assert gankit("study", "run", "losses.toml", "--device", "cpu", "-o", "whole", cwd=place).returncode == 0
    assert scores(folder) == scores(place / "whole")
    assert submit("jobs", place) == {"folder": "jobs", "jobs": [], "waiting": 0, "running": 0}


def test_a_killed_job_loses_nothing(place: Path) -> None:
    folder = place / "killed"
    (place / "losses.toml").write_text(DEFINITION.replace("images = 3200", "images = 32000"))
    submit("losses.toml -o killed --jobs 1", place)
    wait_for(lambda: records(folder, "started"))
    (trial,) = (record["id"] for record in records(folder, "started"))
    wait_for(lambda: (folder / "trials" / trial / "status.json").exists())
    os.kill(int(records(folder, "started")[0]["worker"].split(":")[1]), signal.SIGKILL)

    # Its lease has not ended yet: another head leaves the trial alone.
    refused = gankit("study", "run", "losses.toml", "--device", "cpu", "-o", "killed", cwd=place)
    assert refused.returncode == 4
    assert "1 trial of killed run in submitted jobs" in refused.stderr

    long_ago = time.time() - 3600
    (lease,) = (folder / "leases").glob("*.json")
    os.utime(lease, (long_ago, long_ago))
    done = gankit("study", "run", "losses.toml", "--device", "cpu", "-o", "killed", cwd=place)
    assert done.returncode == 0, done.stderr
    (lost,) = records(folder, "lost")
    assert lost["id"] == trial
    assert "no sign of life of" in lost["why"]
    assert Counter(record["id"] for record in records(folder, "finished")).most_common(1)[0][1] == 1
    assert len(scores(folder)) == 4


def test_results_beside_the_trials_are_collected(place: Path) -> None:
    """As after a job that died between its result and the journal."""
    submit("losses.toml -o left --jobs 1", place)
    folder = place / "left"
    wait_for(lambda: len(records(folder, "finished")) == 4)
    before = scores(folder)
    text = (folder / "journal.jsonl").read_text()
    lines = [line for line in text.splitlines() if '"event": "finished"' not in line]
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    assert submit("left", place)["waiting"] == 0
    assert scores(folder) == before
    assert len(records(folder, "started")) == 4


def test_a_search_goes_on_to_the_repetitions_without_a_head(place: Path) -> None:
    submit("search.toml -o found --jobs 1", place)
    wait_for(lambda: len(records(place / "found", "finished")) == 5)
    phases = Counter(result.trial.phase for result in journal.results(place / "found" / "journal.jsonl"))
    assert phases == {"search": 3, "best": 2}
