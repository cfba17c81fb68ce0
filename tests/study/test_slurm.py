"""Studies in jobs without a head, through submitit's executor of this machine; Slurm itself is a script here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import GANKIT, gankit

from gankit.study import journal

pytest.importorskip("submitit")
BASE = "--data ring8 --batch 64 --z-dim 2 --precision fp32 --device cpu -n 200"
DEFINITION = """
settings = { data = "ring8", images = 3200, batch = 64, z_dim = 2, precision = "fp32" }
grid = { variant = ["gan", "lsgan"] }
repeat = { seeds = 2 }
score = { n = 200 }
"""
SEARCH = """
settings = { data = "ring8", images = 320, batch = 64, z_dim = 2, variant = "gan" }
search = { ranges = "wide", trials = 3 }
repeat = { seeds = 2 }
score = { n = 200 }
"""


def records(folder: Path, event: str) -> list[dict[str, Any]]:
    return [record for record in journal.read(folder / "journal.jsonl") if record["event"] == event]


def scores(folder: Path) -> dict[str, float]:
    return {result.trial.id: result.scores["fid"] for result in journal.results(folder / "journal.jsonl")}


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 240
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that waits for its parent has."""
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with a definition; jobs that still run are ended."""
    (tmp_path / "losses.toml").write_text(DEFINITION)
    (tmp_path / "search.toml").write_text(SEARCH)
    yield tmp_path
    for path in tmp_path.glob("*/jobs/*_submitted.pkl"):
        job = int(path.name.split("_")[0])
        if not gone(job):
            os.kill(job, signal.SIGTERM)


def submit(arguments: str, cwd: Path) -> dict[str, Any]:
    """Submit jobs; not through the warm server, because submitit names a job by the process that it starts."""
    words = ["study", "submit", *arguments.split(), "--cluster", "local", "--device", "cpu", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    out = subprocess.run([str(GANKIT), *words], cwd=cwd, env=environment, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(out.stdout))


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


def test_a_search_goes_on_to_the_repetitions_without_a_head(place: Path) -> None:
    submit("search.toml -o found --jobs 1", place)
    wait_for(lambda: len(records(place / "found", "finished")) == 5)
    phases = Counter(result.trial.phase for result in journal.results(place / "found" / "journal.jsonl"))
    assert phases == {"search": 3, "best": 2}


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


def test_slurm_is_given_what_was_asked_for(place: Path) -> None:
    bin_folder = place / "bin"
    bin_folder.mkdir()
    for name, does in (("sbatch", f'cp "$1" {place}/batch.sh; echo Submitted batch job 12'), ("srun", "exit 1")):
        (bin_folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (bin_folder / name).chmod(0o755)
    words = "study submit losses.toml -o far --jobs 3 --partition long --gpus-per-task 1 --cpus-per-task 4 --time 90"
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    done = gankit(*words.split(), cwd=place, PATH=path)
    assert done.returncode == 0, done.stderr
    assert "next: gankit study show far" in done.stderr
    batch = (place / "batch.sh").read_text()
    for line in ("partition=long", "gpus-per-task=1", "cpus-per-task=4", "time=90", "array=0-2%"):
        assert f"#SBATCH --{line}" in batch
    assert records(place / "far", "submitted")[0]["cluster"] == "slurm"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("losses.toml -o x", "4", "this machine has no Slurm"),
        ("missing.toml --cluster local -o x", "2", "missing.toml"),
        ("losses.toml --cluster local -o x --partition a", "2", "--partition is for Slurm"),
    ],
)
def test_bad_input_is_refused(arguments: str, code: str, said: str, place: Path, refusal: Callable[..., str]) -> None:
    assert said in refusal(f"study submit {arguments}", place, code)
    assert not (place / "x").exists()


def test_without_submitit(place: Path, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    assert "pip install 'gankit[slurm]'" in refusal("study submit losses.toml -o x", place, "4")
