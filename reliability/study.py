"""kill -9 of the workers and heads of a study at random moments: `PYTHONPATH=tests python -m reliability.study --kills 50`.

The same command goes on each time. A study that was killed must end with the scores of one that was not, each trial
must have ended once, and no worker may outlive its head. Prints one JSON document of figures; exit code 1 when a
promise was broken. `--command` is what starts gankit, for tests with a warm interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gankit.study import journal

SETTINGS = "--variant gan,lsgan --data ring8 --images 3200 --batch 64 --z-dim 2 --precision fp32 --device cpu -n 200"


@dataclass
class Tally:
    """What was tried and what came of it."""

    seed: int
    kills_of_heads: int = 0
    kills_of_workers: int = 0
    stops: int = 0  # SIGTERM of the head
    studies: int = 0
    trials: int = 0
    lost_attempts: int = 0
    wall_s: float = 0.0
    broken: list[str] = field(default_factory=list)


class Campaign:
    """Studies in a folder, and what is done to them."""

    def __init__(self, folder: Path, command: list[str], seeds: int, seed: int) -> None:
        self.folder, self.command, self.seeds = folder, command, seeds
        self.random, self.tally = random.Random(seed), Tally(seed)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """A head; the same words continue its study."""
        words = ["study", "run", *SETTINGS.split(), "--seeds", str(self.seeds), "--jobs", "2", "-o", name]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*self.command, *words], cwd=self.folder, **quiet)  # type: ignore[call-overload,no-any-return]

    def run(self, kills: int) -> Tally:
        """Kill until there were so many kills, and let the last study end."""
        started = time.monotonic()
        if self.start("whole").wait() != 0:
            self.tally.broken.append("the undisturbed study did not end")
            return self.tally
        self.life_s = time.monotonic() - started
        whole = self.scores("whole")
        while self.done < kills and not self.tally.broken:
            name = f"killed-{self.tally.studies}"
            while self.disturb(name, rest=kills - self.done):
                pass
            self.compare(name, whole)
            self.tally.studies += 1
        self.tally.wall_s = round(time.monotonic() - started, 1)
        return self.tally

    @property
    def done(self) -> int:
        """Kills and stops so far."""
        return self.tally.kills_of_heads + self.tally.kills_of_workers + self.tally.stops

    def disturb(self, name: str, rest: int) -> bool:
        """One life of a head; whether the study has to go on."""
        head = self.start(name)
        while rest > 0 and head.poll() is None:
            time.sleep(self.random.uniform(0, self.life_s / 2))
            if head.poll() is not None:
                break
            what = self.random.choice(("worker", "worker", "head", "head", "stop"))
            if what == "worker":
                rest -= self.kill_worker(name)
                continue
            workers = self.workers(name)
            head.send_signal(signal.SIGKILL if what == "head" else signal.SIGTERM)
            self.tally.kills_of_heads += what == "head"
            self.tally.stops += what == "stop"
            head.wait()
            self.expect_end(workers)
            return True
        code = head.wait()
        if code != 0:
            self.tally.broken.append(f"{name} ended with exit code {code}")
        return False

    def workers(self, name: str) -> list[int]:
        """The processes that have been given trials, those that have ended included."""
        path = self.folder / name / journal.FILE
        records = [record for record in journal.read(path) if record["event"] == "started"]
        return list({int(record["worker"].rpartition(":")[2]) for record in records})

    def kill_worker(self, name: str) -> bool:
        """Kill a worker that runs; whether there was one."""
        running = [pid for pid in self.workers(name) if not gone(pid)]
        if running:
            os.kill(self.random.choice(running), signal.SIGKILL)
            self.tally.kills_of_workers += 1
        return bool(running)

    def expect_end(self, workers: list[int]) -> None:
        """No worker may train on without its head."""
        deadline = time.monotonic() + 30
        while alive := [pid for pid in workers if not gone(pid)]:
            if time.monotonic() > deadline:
                self.tally.broken.append(f"workers outlive their head: {alive}")
                return
            time.sleep(0.02)

    def scores(self, name: str) -> dict[str, float]:
        """id -> score."""
        results = journal.results(self.folder / name / journal.FILE)
        return {result.trial.id: result.scores.get("fid", float("nan")) for result in results}

    def compare(self, name: str, whole: dict[str, float]) -> None:
        """A study that has ended with the undisturbed one. A trial that was lost three times has failed, as promised."""
        records = journal.read(self.folder / name / journal.FILE)
        ends = Counter(record["id"] for record in records if record["event"] == "finished")
        lost = Counter(record["id"] for record in records if record["event"] == "lost")
        self.tally.trials += len(ends)
        self.tally.lost_attempts += sum(lost.values())
        if ends.keys() != whole.keys():
            self.tally.broken.append(f"{name}: {len(ends)} trials of {len(whole)}")
        if twice := [trial for trial, count in ends.items() if count > 1]:
            self.tally.broken.append(f"{name}: {twice} ended twice")
        for trial, score in self.scores(name).items():
            if lost[trial] < 3 and score != whole.get(trial):
                self.tally.broken.append(f"{name}: {trial} scores {score}, not {whole.get(trial)}")


def gone(pid: int) -> bool:
    """Whether a process has ended; one that waits for its parent has."""
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3, help="trials of each of two cells")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--command", nargs="+", default=[str(Path(sys.executable).parent / "gankit")])
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="gankit-study-"))
    tally = Campaign(folder, arguments.command, arguments.seeds, arguments.seed).run(arguments.kills)
    print(json.dumps(asdict(tally), indent=2))
    sys.exit(bool(tally.broken))


if __name__ == "__main__":
    main()
