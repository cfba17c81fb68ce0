"""A run that was stopped or extended goes on, and ends bit for bit as one that never stopped."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from support_runs import RING8, StopAt, assert_same_state, stats_of, train

import gankit
from gankit.errors import Stopped
from gankit.hookspecs import hookimpl
from gankit.run.run import Run

pytestmark = pytest.mark.usefixtures("tiny_data")


@pytest.mark.parametrize("variant", ["gan", "lsgan"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_continued_by_the_same_call_equals_one_that_never_stopped(variant: str, number: int) -> None:
    straight = train(variant, steps=40, batch=16, d_steps=2, out="straight")
    with pytest.raises(Stopped) as caught:
        train(variant, steps=40, batch=16, d_steps=2, on_step=StopAt(17, number))
    assert caught.value.exit_code == 128 + number
    folder = Path(f"runs/{variant}-tiny-0001")
    assert str(folder) in str(caught.value.hint)
    assert json.loads((folder / "status.json").read_text())["exit_code"] == 128 + number
    resumed = train(variant, steps=40, batch=16, d_steps=2)
    assert resumed.folder == folder
    assert_same_state(straight.folder, folder)
    assert stats_of(straight.folder) == stats_of(folder)
    assert straight.generator.read_bytes() == resumed.generator.read_bytes()
    assert straight.picture.read_bytes() == resumed.picture.read_bytes()


def test_stats_lines_do_not_depend_on_where_a_run_was_interrupted() -> None:
    """Fifty steps of 40 make one line; stopping in the middle of a window must not change its mean."""
    settings = {**RING8, "batch": 40, "steps": 100}
    straight = gankit.train("lsgan", out="straight", checkpoint_every=10**6, **settings)
    with pytest.raises(Stopped):
        gankit.train("lsgan", out="broken", on_step=StopAt(67), **settings)
    gankit.train("lsgan", out="broken", **settings)
    assert [line["step"] for line in stats_of(straight.folder)] == [50, 100]
    assert stats_of(straight.folder) == stats_of(Path("broken"))


def test_lines_written_after_the_checkpoint_that_is_resumed_are_dropped() -> None:
    result = gankit.train("lsgan", steps=50, out="run", **{**RING8, "batch": 40})
    with (result.folder / "stats.jsonl").open("a") as file:
        file.write('{"step": 400, "lost": true}\n{"step": 4')
    gankit.resume("run", steps=100)
    assert [line["step"] for line in stats_of(Path("run"))] == [50, 100]


def test_resume_goes_beyond_the_budget() -> None:
    train(steps=10, out="a")
    more = gankit.resume("a", images=160)
    assert (more.step, more.images_seen) == (20, 160)
    straight = train(images=160, out="b")
    assert_same_state(straight.folder, Path("a"))


def test_a_finished_run_is_not_trained_again_by_the_same_call() -> None:
    first = train(steps=4, out="a")
    before = first.generator.read_bytes()
    again = train(steps=4, out="a")
    assert (again.step, again.generator.read_bytes()) == (4, before)


def test_an_extended_run_that_is_stopped_goes_on_to_its_new_budget() -> None:
    train(steps=3, out="a")
    with pytest.raises(Stopped):
        gankit.resume("a", steps=40, on_step=StopAt(9))
    assert gankit.resume("a").step == 40


def test_a_run_killed_between_its_last_checkpoint_and_its_end_writes_what_is_missing() -> None:
    class Dies:
        @hookimpl
        def gankit_checkpoint(self, run: Run) -> None:
            if run.step == 20:
                raise KeyboardInterrupt

    straight = train(steps=20, checkpoint_every=80, sample_every=96, out="straight")
    with pytest.raises(KeyboardInterrupt):
        train(steps=20, checkpoint_every=80, sample_every=96, out="a", observers=[Dies()])
    assert json.loads(Path("a/status.json").read_text())["state"] == "stopped"
    Path("a/samples/000000160.png").unlink()
    again = train(steps=20, checkpoint_every=80, sample_every=96, out="a")
    assert again.picture.read_bytes() == straight.picture.read_bytes()
    assert stats_of(again.folder) == stats_of(straight.folder)
    assert json.loads(Path("a/status.json").read_text())["state"] == "finished"
