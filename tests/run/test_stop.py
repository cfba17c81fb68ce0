"""How a run ends before its images are used up: a time budget, a signal, a failing observer, a full disk."""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support_runs import state_of, train

from gankit.base import files
from gankit.errors import ResourceError, Stopped
from gankit.hookspecs import hookimpl
from gankit.run.run import Run
from gankit.store import checkpoint

pytestmark = pytest.mark.usefixtures("tiny_data")


def test_a_time_budget_ends_a_run() -> None:
    def long_step(run: Run) -> None:
        if run.step == 3:
            run.train_s += 3600

    assert train(time_s=0.1).train_s >= 0.1
    assert train(time_s=3600, on_step=long_step).step == 3


def test_the_second_signal_leaves_at_once_and_says_what_is_lost() -> None:
    def stop_twice(run: Run) -> None:
        if run.step == 25:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped, match="stopped at once at 200 images") as caught:
        train(steps=40, checkpoint_every=80, out="a", on_step=stop_twice)
    assert caught.value.exit_code == 130
    status = json.loads(Path("a/status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("stopped", 130)
    found = checkpoint.read_latest(Path("a/checkpoints"))
    assert found is not None
    assert found.step == 20


def test_a_failing_observer_keeps_its_traceback_and_marks_the_run() -> None:
    class Broken:
        @hookimpl
        def gankit_checkpoint(self) -> None:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        train(steps=2, out="a", observers=[Broken()])
    assert json.loads(Path("a/status.json").read_text())["state"] == "failed"


def test_a_full_disk_says_why_and_writes_no_traceback(monkeypatch: Any, capsys: Any) -> None:
    """Neither log.txt nor status.json can be written either; the error names the first failure."""

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    def fill_disk(run: Run) -> None:
        if run.step == 15:
            (log,) = [h for h in logging.getLogger("gankit").handlers if isinstance(h, logging.FileHandler)]
            log.stream.close()
            log.stream = open("/dev/full", "w")  # noqa: SIM115, PTH123 - the handler closes it
            logging.getLogger("gankit").warning("is written to log.txt")
            monkeypatch.setattr(files, "write_new", full)
            monkeypatch.setattr(checkpoint, "write_new", full)

    with pytest.raises(ResourceError, match=r"step-000000020: No space left") as caught:
        train(steps=30, checkpoint_every=80, sample_every=10**6, out="a", on_step=fill_disk)
    assert caught.value.exit_code == 4
    assert "Traceback" not in capsys.readouterr().err
    assert state_of(Path("a"))["loop.steps"] == 10
