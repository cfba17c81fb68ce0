"""A few hundred steps of the soak campaign, and leaks that it must notice. By hand: `PYTHONPATH=tests python -m reliability.soak`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from gankit.run.run import Run
from reliability.soak import soak

OFTEN: dict[str, Any] = {"data": "ring8", "batch": 16, "steps": 240, "checkpoint_every": 64, "sample_every": 256}
LONG_ENOUGH = 600  # seconds: the number of steps ends the run, however busy the machine is


class Leaks:
    """Keeps something more every twelfth step."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make, self.kept = make, []

    def __call__(self, run: Run) -> None:
        if run.step % 12 == 0:
            self.kept.append(self.make())


@pytest.fixture(autouse=True)
def _looks_after_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reliability.soak.EVERY_S", 0)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Callable[[], IO[str]]]:
    """Opens one more file."""
    files: list[IO[str]] = []

    def make() -> IO[str]:
        files.append((tmp_path / "x").open("w"))
        return files[-1]

    yield make
    for one in files:
        one.close()


@pytest.fixture
def thread() -> Iterator[Callable[[], threading.Thread]]:
    """Starts one more thread."""
    end = threading.Event()

    def make() -> threading.Thread:
        new = threading.Thread(target=end.wait)
        new.start()
        return new

    yield make
    end.set()


def test_nothing_grows_while_a_run_saves_and_samples(tmp_path: Path) -> None:
    figures = soak(LONG_ENOUGH, tmp_path, eval_every=256, eval_n=50, **OFTEN)
    assert figures["broken"] == []
    assert min(figures["saves"], figures["sample_grids"], figures["evaluations"]) >= 2


def test_the_campaign_notices_leaks(tmp_path: Path, file: Callable[[], Any], thread: Callable[[], Any]) -> None:
    leaks = [Leaks(file), Leaks(thread), Leaks(lambda: bytearray(b"x" * (8 << 20)))]
    broken = "\n".join(soak(LONG_ENOUGH, tmp_path, leaks, **OFTEN)["broken"])
    for what in ("memory grew", "open files went", "threads went"):
        assert what in broken
