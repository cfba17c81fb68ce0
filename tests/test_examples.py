"""Every file in examples/ does what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support import gankit

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_every_example_is_tested_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"} == {
        "hinge.py",
        "run.toml",
        "use_as_library.py",
    }


def test_the_one_file_variant_trains_with_its_own_option_and_recommendation(tmp_path: Path) -> None:
    options = ("--variant", EXAMPLES / "hinge.py", "-o", "margin=2", "--device", "cpu")
    shown = json.loads(gankit("train", *options, "--print-config", "--json", cwd=tmp_path).stdout)
    assert shown["options.margin"] == {"value": 2.0, "source": "flag"}
    assert shown["d_lr"]["source"] == "variant"
    result = gankit("train", *options, "--steps", 2, "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "loss hinge" in result.stderr


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
