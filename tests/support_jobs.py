"""Studies in submitted jobs: their definitions, what their journals say, and how to wait for them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import GANKIT

from gankit.study import journal

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


def definitions(folder: Path) -> None:
    """Write losses.toml and search.toml."""
    (folder / "losses.toml").write_text(DEFINITION)
    (folder / "search.toml").write_text(SEARCH)


def end_jobs(folder: Path) -> None:
    """End the jobs of the studies in a folder that still run."""
    for path in folder.glob("*/jobs/*_submitted.pkl"):
        job = int(path.name.split("_")[0])
        if not gone(job):
            os.kill(job, signal.SIGTERM)


def submit(arguments: str, cwd: Path) -> dict[str, Any]:
    """Submit jobs; not through the warm server, because submitit names a job by the process that it starts."""
    words = ["study", "submit", *arguments.split(), "--cluster", "local", "--device", "cpu", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    out = subprocess.run([str(GANKIT), *words], cwd=cwd, env=environment, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(out.stdout))
