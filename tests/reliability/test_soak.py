"""Seconds of the soak campaign, and leaks that it must notice. By hand: `PYTHONPATH=tests python -m reliability.soak`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from gankit.hookspecs import hookimpl
from reliability.soak import soak

OFTEN: dict[str, Any] = {"data": "ring8", "batch": 16, "checkpoint_every": 64, "sample_every": 256}


class Leaks:
    """Keeps something more, twenty times a second."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make, self.kept, self.at = make, [], 0.0

    @hookimpl
    def gankit_step_end(self) -> None:
        if time.monotonic() - self.at >= 0.05:
            self.kept.append(self.make())
            self.at = time.monotonic()


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
    figures = soak(5, tmp_path, eval_every=256, eval_n=50, **OFTEN)
    assert figures["broken"] == []
    assert min(figures["saves"], figures["sample_grids"], figures["evaluations"]) >= 2


def test_the_campaign_notices_leaks(tmp_path: Path, file: Callable[[], Any], thread: Callable[[], Any]) -> None:
    leaks = [Leaks(file), Leaks(thread), Leaks(lambda: bytearray(b"x" * (8 << 20)))]
    broken = "\n".join(soak(5, tmp_path, leaks, **OFTEN)["broken"])
    for what in ("memory grew", "open files went", "threads went"):
        assert what in broken
