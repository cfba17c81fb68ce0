"""kill -9 at random moments, then the same command again: `PYTHONPATH=tests python -m reliability.crash --kills 200`.

Loading torch costs seconds, so one warm process forks a child per life; the child runs `gankit train` as the installed
command would and is killed with its process group. Besides: `--commands 20` kills of the installed command itself,
`--stops 50` children that get SIGTERM, `--pairs 50` pairs that start in one folder at the same moment. Prints one JSON
document of figures; exit code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import gankit
from gankit.cli import main as gankit_main
from gankit.errors import InputError
from gankit.store import checkpoint
from gankit.store.run_folder import RunFolder

GANKIT = Path(sys.executable).parent / "gankit"
BATCH, EVERY = 16, 64  # four steps between two checkpoints
ENDS = {signal.SIGKILL: (-signal.SIGKILL,), signal.SIGTERM: (143, -signal.SIGTERM)}  # the latter: before it was born
IN_PROGRESS = (".tmp-", ".trash-")


@dataclass
class Tally:
    """What was tried and what came of it."""

    seed: int
    kills: int = 0
    kills_of_the_installed_command: int = 0
    kills_during_a_save: int = 0  # something half-written lay on disk afterwards
    stops: int = 0  # SIGTERM instead of kill -9: not one step may be lost
    resumes: int = 0  # lives that went on from a checkpoint
    runs: int = 0
    identical_runs: int = 0
    saves_verified: int = 0  # checkpoints read back after kills
    pairs: int = 0  # of processes that wanted one folder at the same moment
    wall_s: float = 0.0
    broken: list[str] = field(default_factory=list)


def command(folder: Path, steps: int) -> list[str]:
    """One `gankit train`, complete with a folder, so that the same words continue it."""
    settings = {"variant": "gan", "data": "ring8", "batch": BATCH, "steps": steps, "device": "cpu"}
    settings |= {"checkpoint-every": EVERY, "eval-every": 8 * EVERY, "eval-n": 50}
    return [
        "train",
        *(word for key, value in settings.items() for word in (f"--{key}", str(value))),
        "--out",
        str(folder),
    ]


def forked(arguments: list[str]) -> int:
    """A child of this warm process that becomes `gankit ARGUMENTS`; its process id, which is its group's too."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        sys.argv = ["gankit", *arguments]
        gankit_main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


def installed(arguments: list[str]) -> int:
    """The installed command in a process group of its own; its process id."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([GANKIT, *arguments], start_new_session=True, **quiet).pid


def end_of(pid: int, seconds: float) -> int | None:
    """The exit code of a child that ends within so many seconds, else None."""
    until = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(0.0005)


def send(pid: int, number: int) -> int:
    """A signal to the whole group; the exit code of the child."""
    os.killpg(pid, number)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def half_written(folder: Path) -> list[str]:
    """Names of everything in a run folder that a save or prune had not finished with."""
    # os.walk passes over folders that vanish meanwhile, as those of a save do; Path.rglob does not.
    names = [name for _, folders, files in os.walk(folder) for name in (*folders, *files)]
    return [n for n in names if n.startswith(IN_PROGRESS) or (n.startswith(".") and n.endswith(".tmp"))]


def acknowledged(folder: Path) -> int:
    """The step of the last save that the run reported, in status.json; 0 before the first one."""
    status = RunFolder(folder).status()
    return int(status["step"]) if status["state"] in ("running", "stopped", "finished") else 0


def resumed_steps(folder: Path) -> list[int]:
    """The step each life went on from, as its log line says."""
    log = folder / "log.txt"
    said = re.findall(r"resumed at ([\d,]+) images", log.read_text()) if log.exists() else []
    return [int(number.replace(",", "")) // BATCH for number in said]


def final_state(folder: Path) -> dict[str, object]:
    """Everything a finished run computed."""
    found = checkpoint.read(checkpoint.steps(folder / "checkpoints")[0][1])
    return {
        **{name: (found.folder / name).read_bytes() for name in ("generator.safetensors", "state.safetensors")},
        "shared": {path.name: path.read_bytes() for path in folder.glob("*.safetensors")},
        "scalars": {name: value for name, value in found.state.items() if not isinstance(value, torch.Tensor)},
        "step": found.step,
        "pictures": {path.name: path.read_bytes() for path in (folder / "samples").iterdir()},
        "stats": _lines(folder / "stats.jsonl"),
        "scores": _lines(folder / "metrics.jsonl"),
    }


def _lines(path: Path) -> list[dict[str, object]]:
    """JSON lines without their clock."""
    lines = map(json.loads, path.read_text().splitlines()) if path.exists() else []
    return [{k: v for k, v in line.items() if k not in ("wall_s", "images_per_s", "seconds")} for line in lines]


class Campaign:
    """Runs that are killed again and again until they come to their end, each compared with one that never was."""

    def __init__(self, folder: Path, seed: int, steps: int) -> None:
        self.folder, self.steps = folder, steps
        self.random = random.Random(seed)
        self.tally = Tally(seed)
        warm = {"steps": 8, "eval_every": EVERY, "eval_n": 50, "device": "cpu"}
        gankit.train(data="ring8", batch=BATCH, out=folder / "warm", **warm)  # everything is imported
        before = time.monotonic()
        if end_of(forked(command(folder / "straight", steps)), 600) != 0:
            raise SystemExit("the uninterrupted run failed")
        self.life_s = time.monotonic() - before
        self.expected = final_state(folder / "straight")
        self.straight_pictures = {path.name for path in (folder / "straight" / "samples").iterdir()}

    def run(self, kills: int, start: Callable[[list[str]], int] = forked, number: int = signal.SIGKILL) -> None:
        """Run after run, until so many signals have been sent; the last one is brought to its end too."""
        self.number = number
        before, done = time.monotonic(), 0
        while done < kills:
            folder = self.folder / f"run-{self.tally.runs:04d}"
            done += self._one_run(folder, kills - done, start)
            self._compare(folder)
            shutil.rmtree(folder)
        self.tally.kills += done if number == signal.SIGKILL else 0
        self.tally.stops += done if number == signal.SIGTERM else 0
        self.tally.wall_s = round(self.tally.wall_s + time.monotonic() - before, 1)
        if start is installed:
            self.tally.kills_of_the_installed_command += done

    def race(self, pairs: int) -> None:
        """Two processes, one folder, one moment: the run belongs to one of them, and the other is refused."""
        for number in range(pairs):
            folder = self.folder / f"pair-{number:04d}"
            children = [forked(command(folder, self.steps)) for _ in range(2)]
            codes = sorted(end_of(pid, 600) or 0 for pid in children)
            self.tally.pairs += 1
            if codes != [0, 4]:
                self._broken(folder, f"two processes ended with the exit codes {codes}")
            if (folder / "log.txt").read_text().count("parameters: ") != 1:
                self._broken(folder, "both processes wrote into it")
            self._compare(folder)
            shutil.rmtree(folder)

    def _one_run(self, folder: Path, most: int, start: Callable[[list[str]], int]) -> int:
        """Lives of one run; how many of them were killed."""
        killed = 0
        while True:
            promised, lives = acknowledged(folder), len(resumed_steps(folder))
            pid = start(command(folder, self.steps))
            code = end_of(pid, 600) if killed == most else self._until_the_kill(pid, folder, start)
            for step in resumed_steps(folder)[lives:]:
                self.tally.resumes += 1
                if step < promised:
                    self._broken(folder, f"resumed at step {step}, but step {promised} had been acknowledged")
            if code == 0:
                return killed
            if code not in ENDS[self.number]:
                self._broken(folder, f"the command ended with exit code {code}")
                return max(killed, 1)
            killed += 1
            self._inspect(folder)

    def _until_the_kill(self, pid: int, folder: Path, start: Callable[[list[str]], int]) -> int:
        """Signal the child at a random moment, in one case of three while it writes; its exit code."""
        if start is installed and self.random.random() < 0.8:  # most of its life is the import of torch
            size = _size(folder / "log.txt")
            for _ in _ticks(120):
                if _size(folder / "log.txt") > size:
                    break
        if self.random.random() < 1 / 3:
            skip = self.random.uniform(0, 0.3) * self.life_s
            if (code := end_of(pid, skip)) is not None:
                return code
            for _ in _ticks(5):
                if half_written(folder):
                    break
            wait = self.random.uniform(0, 0.01)
        else:
            wait = self.random.uniform(0, 0.5) * self.life_s
        code = end_of(pid, wait)
        return send(pid, self.number) if code is None else code

    def _inspect(self, folder: Path) -> None:
        """What lies on disk after a kill: whole checkpoints only, the acknowledged one among them."""
        self.tally.kills_during_a_save += bool(half_written(folder)) if folder.exists() else 0
        found = checkpoint.steps(folder / "checkpoints")
        for _, path in found:
            try:
                checkpoint.read(path)
                self.tally.saves_verified += 1
            except InputError as error:
                self._broken(folder, f"half-written: {error.message}")
        newest = found[0][0] if found else 0
        if newest < acknowledged(folder):
            self._broken(folder, f"step {acknowledged(folder)} was acknowledged, step {newest} is there")
        if newest >= 3 * EVERY // BATCH and len(found) < 2:
            self._broken(folder, "fewer than two checkpoints are left")

    def _compare(self, folder: Path) -> None:
        """A run that came to its end: bit for bit the uninterrupted one, and nothing left lying about."""
        self.tally.runs += 1
        try:
            state = final_state(folder)
        except (InputError, OSError, LookupError, ValueError) as error:
            self._broken(folder, f"its end cannot be read: {error!r}")
            return
        pictures = state["pictures"]
        assert isinstance(pictures, dict)
        for extra in pictures.keys() - self.straight_pictures:  # of the moments at which it was stopped
            del pictures[extra]
        unequal = [name for name, value in self.expected.items() if state[name] != value]
        if unequal:
            self._broken(folder, f"differs from the uninterrupted run in {', '.join(unequal)}")
        else:
            self.tally.identical_runs += 1
        left = [*half_written(folder), *(path.name for path in folder.glob("quarantine"))]
        if left:
            self._broken(folder, f"left behind: {', '.join(left)}")

    def _broken(self, folder: Path, what: str) -> None:
        self.tally.broken.append(f"{folder.name}: {what}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _ticks(seconds: float) -> Iterator[None]:
    """Look again every fifth of a millisecond, for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(0.0002)


def main() -> None:
    """Kills as asked for, then the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="kills of forked children")
    parser.add_argument("--commands", type=int, default=0, help="kills of the installed command besides")
    parser.add_argument("--stops", type=int, default=0, help="forked children that get SIGTERM instead")
    parser.add_argument("--pairs", type=int, default=0, help="pairs of processes that want one folder besides")
    parser.add_argument("--steps", type=int, default=120, help="length of a run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work (else the system's temporary folder)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="crash-") as name:
        os.environ.update(GANKIT_HOME=f"{name}/home", OMP_NUM_THREADS="1")
        campaign = Campaign(Path(name), given.seed, given.steps)
        campaign.run(given.kills)
        campaign.run(given.commands, installed)
        campaign.run(given.stops, number=signal.SIGTERM)
        campaign.race(given.pairs)
    print(json.dumps(asdict(campaign.tally), indent=2))
    raise SystemExit(bool(campaign.tally.broken))


if __name__ == "__main__":
    main()
