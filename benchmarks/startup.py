"""CPU time of the commands that must answer at once (they may not import torch): `python benchmarks/startup.py`."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

COMMANDS = (["--version"], ["--help"], ["variants"], ["train", "--help"])
REPEATS = 9
LIMIT_S = 0.3


def cpu_seconds(command: list[str]) -> float:
    """User + system time of one run of the installed command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    gankit = Path(sys.executable).parent / "gankit"
    subprocess.run([gankit, *command], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print one JSON document: median and range per command, and whether all medians are below the limit."""
    rows = {}
    for command in COMMANDS:
        times = [cpu_seconds(command) for _ in range(REPEATS + 1)][1:]  # the first one fills the file cache
        rows["gankit " + " ".join(command)] = {
            "median_s": round(statistics.median(times), 3),
            "min_s": round(min(times), 3),
            "max_s": round(max(times), 3),
        }
    met = all(row["median_s"] < LIMIT_S for row in rows.values())
    print(json.dumps({"cpu_count": os.cpu_count(), "limit_s": LIMIT_S, "met": met, "commands": rows}, indent=2))


if __name__ == "__main__":
    main()
