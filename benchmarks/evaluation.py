"""Time of `gankit eval`, as a user pays it: the first one (classifier training included), and one with a warm cache.

    python benchmarks/evaluation.py [RUN]     # a run on the embedded digits; one of 640 images is trained when left out

10,000 samples of digits in the `classifier` space; the limit of the first one is 60 s on two cores. For comparison the
time to import torch and torchmetrics alone, which is part of both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = 10_000
LIMIT_S = 60.0
GANKIT = Path(sys.executable).parent / "gankit"


def seconds(command: list[str], home: str) -> float:
    """Wall time of one command with its own cache."""
    started = time.monotonic()
    subprocess.run(command, env={**os.environ, "GANKIT_HOME": home}, stdout=subprocess.DEVNULL, check=True)
    return round(time.monotonic() - started, 2)


def main() -> None:
    """Print one JSON document."""
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(sys.argv[1]).absolute()) if len(sys.argv) > 1 else f"{folder}/run"
        home = f"{folder}/home"
        if len(sys.argv) < 2:
            subprocess.run([GANKIT, "train", "--variant", "lsgan", "--images", "640", "--out", run], check=True)
        command = [str(GANKIT), "eval", run, "-n", str(SAMPLES), "-o", f"{folder}/metrics.jsonl"]
        first = seconds(command, home)
        again = [seconds(command, home) for _ in range(3)]
        imports = seconds([sys.executable, "-c", "import torch, torchmetrics.image.fid"], home)
    print(
        json.dumps(
            {
                "cpu_count": os.cpu_count(),
                "samples": SAMPLES,
                "first_s": first,
                "limit_s": LIMIT_S,
                "met": first < LIMIT_S,
                "warm_s": again,
                "imports_alone_s": imports,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
