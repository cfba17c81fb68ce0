"""Every file in examples/ does what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import gankit

from gankit import host
from gankit.contracts import Batch

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_every_example_is_tested_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"} == {
        "relativistic.py",
        "run.toml",
        "use_as_library.py",
    }


def test_the_one_file_variant_trains_with_its_own_recommendation(tmp_path: Path) -> None:
    options = ("--variant", EXAMPLES / "relativistic.py", "--device", "cpu")
    shown = json.loads(gankit("train", *options, "--print-config", "--json", cwd=tmp_path).stdout)
    assert shown["d_lr"] == {"value": 4e-4, "source": "variant"}
    result = gankit("train", *options, "--steps", 2, "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "loss relativistic" in result.stderr


def test_the_one_file_variant_has_the_values_of_its_paper() -> None:
    loss = host.load(host.find(str(EXAMPLES / "relativistic.py"), host.VARIANTS)).RelativisticLoss()  # type: ignore[attr-defined]
    real, fake = (torch.tensor(x, dtype=torch.float64) for x in ([2.0, 0.5, -1.0], [-1.5, 0.0, 1.0]))
    batch = Batch(real, fake, z=torch.zeros(3, 1))
    totals = [
        sum(float(term.mean()) for term in player(lambda scores: scores, batch).values())
        for player in (loss.discriminator, loss.generator)
    ]
    assert totals == pytest.approx([1.0973762955102013, 2.430709628843535], rel=1e-12)


def test_the_toml_run_is_a_valid_configuration(tmp_path: Path) -> None:
    result = gankit("train", "--config", EXAMPLES / "run.toml", "--print-config", "--json", cwd=tmp_path)
    shown = json.loads(result.stdout)
    assert shown["images"] == {"value": 20_000, "source": "run.toml"}
    assert shown["options.label_smoothing"] == {"value": 0.1, "source": "run.toml"}


def test_the_library_example_runs(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, EXAMPLES / "use_as_library.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout == "2,048 images seen; drew (16, 28, 28, 1) uint8\n"
