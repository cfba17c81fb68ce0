"""Packages that torchmetrics would use, half-installed: gankit needs none of them, and scores all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What pip leaves behind: the files and the record of a package, some of whose own imports fail.
FIDELITY = {
    "torch_fidelity/__init__.py": "from torch_fidelity.metrics import calculate_metrics\n",
    "torch_fidelity/metrics.py": "import a_dependency_that_is_missing\n",
    "torch_fidelity/feature_extractor_inceptionv3.py": "",
    "torch_fidelity-0.4.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: torch_fidelity\nVersion: 0.4.0\n",
}
VISION = {
    "torchvision/__init__.py": "raise RuntimeError('operator torchvision::nms does not exist')\n",
    "torchvision-0.9.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.9.0\n",
}
SCORE = """
import sys, torch
from gankit.measure.features import FeatureSpace
from gankit.measure.metrics.catalogue import builtin_metrics
from gankit.measure.torchmetrics import BROKEN
metric = builtin_metrics()["fid"](FeatureSpace(name="toy", sha256="", dim=4, protocol={}))
for real in (True, False):
    metric.update(torch.randn(60, 4, dtype=torch.float64), real=real)
assert 0 < float(metric.compute()) < 10
print(sorted(BROKEN), [name for name in ("torchvision", "torch_fidelity") if name in sys.modules])
from gankit.look.doctor import examine
print(examine()["scores"][0])
"""


def run(site: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    variables = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", SCORE], env=variables, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(
    ("files", "broken"),
    [(FIDELITY, ["torch_fidelity"]), (VISION, ["torchvision"]), (FIDELITY | VISION, ["torch_fidelity", "torchvision"])],
)
def test_scores_are_made_beside_broken_packages(files: dict[str, str], broken: list[str], tmp_path: Path) -> None:
    result = run(tmp_path, files)
    assert result.returncode == 0, result.stderr
    first, scores = result.stdout.splitlines()
    assert first == f"{broken} []"
    assert all(name in scores for name in broken)
    assert scores.endswith("which gankit does not need")


def test_a_broken_torchmetrics_is_one_line(tmp_path: Path) -> None:
    result = run(tmp_path, {"torchmetrics/__init__.py": "raise ValueError('cut short')\n"})
    assert "gankit.errors.ResourceError: torchmetrics cannot be imported: ValueError: cut short" in result.stderr
