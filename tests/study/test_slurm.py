"""Studies in jobs without a head, through submitit's executor of this machine; Slurm itself is a script here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import gankit
from support_jobs import definitions, end_jobs, records

pytest.importorskip("submitit")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with two definitions; jobs that still run are ended."""
    definitions(tmp_path)
    yield tmp_path
    end_jobs(tmp_path)


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
