"""A dozen kills of the crash campaign, and sabotage that it must notice. By hand: `PYTHONPATH=tests python -m reliability.crash`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

PATHS = f"{ROOT / 'tests'}:{ROOT}"

# Files one after the other into the folder that readers look at, manifest first: what checkpoint.save must not do.
# The first save of a run stops there, until it is killed.
IN_PLACE = """
import time
from gankit.store import checkpoint
rename, make = checkpoint.os.rename, checkpoint.Path.mkdir
def save(root, *, step, state, progress, generator, honest=checkpoint.save):
    made = honest(root.parent / "aside", step=step, state=state, progress=progress, generator=generator)
    folder = root / made.name
    folder.mkdir(parents=True)
    for file in sorted(made.iterdir()):
        rename(file, folder / file.name)
        stopped = root.parent.parent / "stopped"
        if root.parent.name.startswith("run-") and not stopped.exists():
            stopped.touch()
            time.sleep(600)
    made.rmdir()
    return folder
checkpoint.save = save
"""
FORGETS_THE_AVERAGE = """
from gankit.game.loop import TrainingLoop
load = TrainingLoop.load_state_dict
def load_state_dict(self, state):
    fresh = {name: value.clone() for name, value in self.generator.state_dict().items()}
    load(self, state)
    self.generator.load_state_dict(fresh)
TrainingLoop.load_state_dict = load_state_dict
"""


NO_LOCK = """
from contextlib import nullcontext
from gankit.store.run_folder import RunFolder
RunFolder.locked = lambda self: nullcontext()
"""


def campaign(folder: Path, kills: int, sabotage: str = "", pairs: int = 0, stops: int = 0) -> dict[str, Any]:
    """The campaign's figures, in a process of its own because it forks."""
    numbers = ["--kills", str(kills), "--pairs", str(pairs), "--stops", str(stops), "--steps", "64"]
    arguments = ["crash.py", *numbers, "--folder", str(folder)]
    code = f"import sys\nsys.argv = {arguments!r}\nfrom reliability import crash\n{sabotage}\ncrash.main()"
    environment = {**os.environ, "PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.stdout, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == bool(figures["broken"]), done.stderr
    return figures


def test_killed_at_any_moment_a_run_ends_as_if_it_never_was(tmp_path: Path) -> None:
    figures = campaign(tmp_path, 12, pairs=3, stops=3)
    assert figures["broken"] == []
    assert (figures["kills"], figures["pairs"], figures["stops"]) == (12, 3, 3)
    assert figures["resumes"] >= 6
    assert figures["identical_runs"] == figures["runs"] >= 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sabotage", "noticed"), [(IN_PLACE, "half-written"), (FORGETS_THE_AVERAGE, "differs from the uninterrupted run")]
)
def test_the_campaign_notices_sabotage(tmp_path: Path, sabotage: str, noticed: str) -> None:
    assert noticed in "\n".join(campaign(tmp_path, 8, sabotage)["broken"])


def test_the_campaign_notices_a_missing_lock(tmp_path: Path) -> None:
    assert "both processes wrote into it" in "\n".join(campaign(tmp_path, 0, NO_LOCK, pairs=4)["broken"])
