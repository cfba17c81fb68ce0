"""Minutes of training with checkpoints, samples and scores as often as can be: `PYTHONPATH=tests python -m reliability.soak`.

Memory, open files and threads must stay flat, and the run folder must hold three checkpoints and no leftovers. Prints
one JSON document; exit code 1 when something grew.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import gankit
from gankit.hookspecs import hookimpl
from gankit.run.run import Run
from gankit.store import checkpoint
from reliability.crash import half_written

EVERY_S = 0.25
WARM = 0.3  # of the time, in which caches fill
MAY_GROW = 16 << 20  # bytes: how far the allocator of the C library wanders


@dataclass
class Watch:
    """What this process holds, four times a second."""

    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    saves: int = 0
    looked_at: float = 0.0

    @hookimpl
    def gankit_checkpoint(self) -> None:
        self.saves += 1

    def after_step(self, run: Run) -> None:
        """Look, if it is time."""
        if time.monotonic() - self.looked_at < EVERY_S:
            return
        self.looked_at = time.monotonic()
        self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        self.files.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - no objects that would count
        self.threads.append(len(os.listdir("/proc/self/task")))  # noqa: PTH208


def soak(seconds: float, folder: Path, also: Sequence[Callable[[Run], None]] = (), **settings: Any) -> dict[str, Any]:
    """Train for so long; the figures, with what grew under "broken". `also` is called after every step."""
    watch = Watch()

    def after_step(run: Run) -> None:
        for call in (watch.after_step, *also):
            call(run)

    settings |= {"device": "cpu", "observers": [watch], "on_step": after_step}
    result = gankit.train(time_s=seconds, out=folder / "run", **settings)
    memory, files, threads = (change(values) for values in (watch.memory, watch.files, watch.threads))
    broken = [f"memory grew by {memory[1] - memory[0]:,} bytes"] if memory[1] - memory[0] > MAY_GROW else []
    broken += [f"open files went from {files[0]:g} to {files[1]:g}"] if files[1] > files[0] else []
    broken += [f"threads went from {threads[0]:g} to {threads[1]:g}"] if threads[1] > threads[0] else []
    kept = checkpoint.steps(result.folder / "checkpoints")
    if len(kept) != checkpoint.KEEP or half_written(result.folder):
        broken.append(f"{len(kept)} checkpoints, left behind {half_written(result.folder)}")
    return {
        "seconds": round(result.train_s, 1),
        "steps": result.step,
        "saves": watch.saves,
        "sample_grids": len(list(result.folder.glob("samples/0*.png"))),
        "evaluations": _lines(result.folder / "metrics.jsonl"),
        "memory_mib": [round(value / 2**20, 1) for value in memory],
        "open_files": files,
        "threads": threads,
        "broken": broken,
    }


def change(values: list[int]) -> tuple[float, float]:
    """Medians of a fifth of the time after the warm-up, and of the last fifth."""
    n = len(values)
    return statistics.median(values[int(n * WARM) : int(n * (WARM + 0.2)) + 1]), statistics.median(
        values[int(n * 0.8) :]
    )


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def main() -> None:
    """Minutes as asked for, then the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--folder", type=Path, help="where to work (else the system's temporary folder)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="soak-") as name:
        os.environ["GANKIT_HOME"] = f"{name}/home"
        often = {"checkpoint_every": 640, "sample_every": 640, "eval_every": 6_400, "eval_n": 200}
        figures = soak(given.minutes * 60, Path(name), data=given.data, batch=64, **often)
    print(json.dumps(figures, indent=2))
    raise SystemExit(bool(figures["broken"]))


if __name__ == "__main__":
    main()
