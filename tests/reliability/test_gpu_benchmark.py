"""The parts of `benchmarks/gpu.py` that take longer, in miniature; the others are in tests/test_gpu_benchmark.py."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PARTS = "check,arithmetic,fp16,waiting,double_backward,data,resume,kill,processes,speed,recipes,quality"


def test_the_longer_parts_in_miniature(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--out", str(tmp_path), "--parts", PARTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert {part: lines[-1]["ended"] for part, lines in parts.items()} == dict.fromkeys(PARTS.split(","), "done")
    assert all(len(lines) > 1 for lines in parts.values())
    errors = {line["name"]: line["value"] for line in parts["arithmetic"] if "name" in line}
    assert 0 < errors["wgan-gp, gradients in fp32"] < 1e-5 < errors["wgan-gp, gradients in bf16"] < 0.3
