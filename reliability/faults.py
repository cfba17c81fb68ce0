"""Every file-system operation of a run as the place of an accident: `PYTHONPATH=tests python -m reliability.faults`.

Two lives are recorded: a run that goes on from a checkpoint, saves, prunes and ends, and a run from its first folder to
its end. Then, at each of their operations, the process is killed, the power fails (what was not synced is lost, in two
ways), the disk is full or read-only from there on, or the operation fails once. Whatever happened, the same command must
lead to the same weights, bit for bit, and never go back behind a save that had returned. Prints one JSON document; exit
code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import OWN_NETWORKS

import gankit
from gankit.errors import GankitError, InputError, Stopped
from gankit.run.run import Run
from gankit.store import checkpoint, generator_file
from gankit.store.run_folder import RunFolder
from reliability.crash import final_state, half_written
from reliability.disk import Disk, Fault, Loss, Operation, Tree, watched

EVERY, STOP, STEPS = 4, 12, 16
RUN = "run"  # its name in the place that is watched
LOSSES: tuple[Loss, ...] = ("kill", "unsynced", "contents")
ALL = frozenset({"create", "write", "fsync", "rename", "unlink", "mkdir", "rmdir"})
FAULTS = {  # name -> (error, operations that fail, whether from then on)
    "disk full": (errno.ENOSPC, frozenset({"create", "write", "mkdir"}), True),
    "disk full once": (errno.ENOSPC, frozenset({"create", "write", "mkdir"}), False),
    "input/output error": (errno.EIO, ALL, False),
    "read-only": (errno.EROFS, ALL - {"fsync"}, True),
}


def _stop(run: Run) -> None:
    if run.step == STOP:
        raise Stopped("for the record", signal_number=2)


@dataclass
class Life:
    """The recorded life: the disk before it, its operations, and how it should end."""

    folder: Path
    base: Path
    saved_before: int
    operations: list[Operation]
    expected: dict[str, object]
    cases: int = 0
    broken: list[str] = field(default_factory=list)

    def crash(self, loss: Loss, done: int, *, go_on: bool = True) -> None:
        """Stop after so many operations and the first half of the next write; see what is left, and go on from there."""
        tree = Tree(self.base)
        for operation in self.operations[:done]:
            tree.apply(operation)
        following = self.operations[done] if done < len(self.operations) else None
        if following and following.kind == "write":
            tree.apply(following, share=0.5)
        place = self._place()
        tree.write(place, loss)
        where = f"{loss} at {done}, {following or 'the end'}"
        self._inspect(place / RUN, where, self.last_saved(self.operations[:done]))
        if go_on:
            self._go_on(place / RUN, where)

    def fail(self, name: str, at: int) -> None:
        """Let operation `at` (and perhaps all that follow) fail; the run may end with exit code 4 and nothing else."""
        place = self._place()
        shutil.copytree(self.base, place)
        error, kinds, lasting = FAULTS[name]
        where = f"{name} at {at}, {self.operations[at]}"
        disk = Disk(place, Fault(at, error, kinds, lasting))
        try:
            with recording(disk):
                train(self.folder, place / RUN)
        except GankitError as ended:
            if ended.exit_code != 4 or "\n" in ended.message:
                self.broken.append(f"{where}: exit code {ended.exit_code}: {ended.message}")
        except Exception as bug:
            self.broken.append(f"{where}: {bug!r}")
        self._inspect(place / RUN, where, self.last_saved(disk.operations))
        self._go_on(place / RUN, where)

    def points(self, name: str, stride: int = 1) -> Iterator[int]:
        """Operations at which an accident of this name can happen."""
        kinds, end = (ALL, [len(self.operations)]) if name in LOSSES else (FAULTS[name][1], [])
        yield from ([i for i, operation in enumerate(self.operations) if operation.kind in kinds] + end)[::stride]

    def last_saved(self, operations: list[Operation]) -> int:
        """The step of the last save that had returned when these operations were done; 0 before the first one."""
        return max([self.saved_before, *(int(o.path) for o in operations if o.kind == "note")])

    def _place(self) -> Path:
        self.cases += 1
        place = self.folder / "place"
        shutil.rmtree(place, ignore_errors=True)
        return place

    def _inspect(self, run: Path, where: str, promised: int) -> None:
        sound = []
        for step, path in checkpoint.steps(run / "checkpoints"):
            try:
                sound.append(checkpoint.read(path).step)
            except InputError as error:
                self.broken.append(f"{where}: step {step} does not verify: {error.message}")
        if max(sound, default=0) < promised or len(sound) < min(2, promised // EVERY):
            self.broken.append(f"{where}: step {promised} had been acknowledged, {sound} are there")
        folder = RunFolder(run)
        try:
            if folder.exists:
                folder.identity(), folder.configuration(), folder.status()
            if folder.generator.exists():
                generator_file.read(folder.generator)
        except InputError as error:
            self.broken.append(f"{where}: {error.message}")

    def _go_on(self, run: Path, where: str) -> None:
        try:
            train(self.folder, run)
        except GankitError as error:
            self.broken.append(f"{where}: cannot go on: {error.message}")
            return
        state = final_state(run)
        unequal = [name for name, value in self.expected.items() if state[name] != value]
        left = [*half_written(run), *(path.name for path in run.glob("quarantine"))]
        if unequal or left:
            self.broken.append(f"{where}: differs in {unequal}, left behind {left}")


def train(folder: Path, run: Path, on_step: Callable[[Run], None] | None = None) -> None:
    """A few steps of a tiny variant on four-pixel images, into the folder `run`."""
    settings: dict[str, Any] = {"batch": 4, "z_dim": 5, "device": "cpu", "seed": 1}
    gankit.train(
        folder / "tiny.py",
        data=folder / "four.npy",
        steps=STEPS,
        checkpoint_every=EVERY * settings["batch"],
        sample_every=EVERY * settings["batch"],
        out=run,
        on_step=on_step,
        **settings,
    )


@contextmanager
def recording(disk: Disk) -> Iterator[None]:
    """`watched`, with a note in the record whenever a save returns."""
    save = checkpoint.save

    def noted(root: Path, *, step: int, **rest: Any) -> Path:
        path = save(root, step=step, **rest)
        disk.note(str(step))
        return path

    with pytest.MonkeyPatch.context() as patch, watched(disk):
        patch.setattr(checkpoint, "save", noted)
        yield


def record(folder: Path, *, from_the_start: bool = False) -> Life:
    """Make the base, and record what the life after it does to the disk: all of a run, or its last quarter."""
    folder.mkdir(exist_ok=True)
    (folder / "tiny.py").write_text(OWN_NETWORKS)
    np.save(folder / "four.npy", np.arange(480, dtype=np.float64).reshape(40, 2, 2, 3) / 480)
    base, straight, recorded = folder / "base", folder / "straight", folder / "recorded"
    train(folder, straight)
    base.mkdir()
    if not from_the_start:
        with suppress(Stopped):
            train(folder, base / RUN, _stop)
    shutil.copytree(base, recorded)
    disk = Disk(recorded)
    with recording(disk):
        train(folder, recorded / RUN)
    life = Life(folder, base, 0 if from_the_start else STOP, disk.operations, final_state(straight))
    assert final_state(recorded / RUN) == life.expected
    return life


def main() -> None:
    """All accidents at all operations of both lives, then the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to work (else the system's temporary folder)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    before = time.monotonic()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="faults-") as name:
        os.environ["GANKIT_HOME"] = f"{name}/home"
        lives = [record(Path(name) / "resumed"), record(Path(name) / "new", from_the_start=True)]
        for life in lives:
            for loss in LOSSES:
                for done in life.points(loss):
                    life.crash(loss, done)
            for fault in FAULTS:
                for at in life.points(fault):
                    life.fail(fault, at)
    figures = {
        "operations": [len(life.operations) for life in lives],
        "accidents": [life.cases for life in lives],
        "broken": [line for life in lives for line in life.broken],
    }
    print(json.dumps({**figures, "wall_s": round(time.monotonic() - before, 1)}, indent=2))
    raise SystemExit(bool(figures["broken"]))


if __name__ == "__main__":
    main()
