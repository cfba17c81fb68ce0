"""A run that diverges: where it broke, what is kept, and how it goes back to a checkpoint."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from support import HOOKS, LOSS
from support_runs import RING8, state_of, train
from torch import Tensor

import gankit
from gankit.errors import DivergedError
from gankit.run.run import Run


class Poison:
    """An `on_step` that writes NaN into a parameter of one network after a step, the first `times` times that the step is reached."""

    def __init__(self, step: int, times: int = 1, network: str = "discriminator") -> None:
        self.step, self.times, self.network = step, times, network

    def __call__(self, run: Run) -> None:
        if run.step == self.step and self.times:
            self.times -= 1
            list(getattr(run.loop.networks, self.network).parameters())[2].data[0] = float("nan")


@pytest.mark.usefixtures("tiny_data")
def test_divergence_stops_the_run_and_keeps_the_last_good_state() -> None:
    with pytest.raises(DivergedError, match="no longer finite") as caught:
        train(steps=300, checkpoint_every=80, on_step=Poison(40, network="generator"), out="a")
    assert caught.value.exit_code == 5
    assert json.loads(Path("a/status.json").read_text())["state"] == "diverged"
    assert [name for name, v in state_of(Path("a")).items() if isinstance(v, Tensor) and not v.isfinite().all()] == []


@pytest.mark.usefixtures("tiny_data")
def test_fakes_that_overflow_are_a_divergence_too() -> None:
    """G moves beyond all numbers in the very step of a line, whose other statistics were taken before it moved."""
    with pytest.raises(DivergedError, match="diversity is no longer finite"):
        train(steps=1, g_lr=1e38, out="a")


@pytest.mark.usefixtures("tiny_data")
def test_divergence_before_the_first_checkpoint_does_not_promise_one() -> None:
    with pytest.raises(DivergedError) as caught:
        train(steps=300, d_lr=1e30, out="a")
    assert "intact" not in str(caught.value.hint)


@pytest.mark.usefixtures("tiny_data")
@pytest.mark.parametrize(
    ("of_meter", "what"), [(True, "the statistic d/real is"), (False, "discriminator.layers.0.weight is")]
)
def test_the_message_names_what_users_know(of_meter: bool, what: str) -> None:
    """A checkpoint holds sums of statistics and the state of the loop; neither is called by its place there."""

    def poison(run: Run) -> None:
        weight = dict(run.loop.networks.discriminator.named_parameters())["layers.0.weight"]
        (run.meter.sums["d/real"] if of_meter else weight.data).fill_(float("nan"))

    with pytest.raises(DivergedError) as caught:
        train(steps=300, checkpoint_every=8, on_step=poison, out="a")
    assert caught.value.message == f"a: {what} no longer finite at 8 images"


OVERFLOWING = (
    LOSS
    + HOOKS
    + """
import torch
from torch import nn

class Bomb(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
    def forward(self, x):
        if self.training:
            self.calls += 1
        return x * torch.where(self.calls > 30, float("inf"), 1.0)

@hookimpl
def gankit_discriminator(data):
    return nn.Sequential(nn.Linear(2, 8), Bomb(), nn.Linear(8, 1), nn.Flatten(0))
"""
)


def test_the_module_that_broke_first_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bomb.py").write_text(OVERFLOWING)
    with pytest.raises(DivergedError, match=r"first in discriminator\.1 \(Bomb\) in step 11") as caught:
        gankit.train("./bomb.py", steps=300, checkpoint_every=16 * 4, out="run", **RING8)
    assert "last checkpoint is intact" in str(caught.value.hint)
    status = json.loads(Path("run/status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("diverged", 5)
    assert "first in discriminator.1 (Bomb)" in status["reason"]
    newest = sorted(Path("run/checkpoints").glob("step-*"))[-1].name
    assert newest == "step-000000008"  # the last one before


def test_a_run_goes_back_and_on_with_other_random_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = {**RING8, "batch": 40, "checkpoint_every": 1_600, "steps": 120, "on_diverge": "rollback"}
    with caplog.at_level(logging.WARNING, logger="gankit"):
        result = gankit.train("gan", out=tmp_path / "a", on_step=Poison(44), **settings)
    assert [("back to 1,600 images" in r.message, "(1 of 3)" in r.message) for r in caplog.records] == [(True, True)]
    assert result.step == 120
    straight = gankit.train("gan", out=tmp_path / "b", **settings)
    assert result.generator.read_bytes() != straight.generator.read_bytes()
    steps = [json.loads(line)["step"] for line in (tmp_path / "a" / "stats.jsonl").read_text().splitlines()]
    assert steps == [50, 100, 120]
    # A resumed run keeps the stream it went on with.
    longer = gankit.train("gan", out=tmp_path / "c", on_step=Poison(44), **{**settings, "steps": 124})
    resumed = gankit.resume(result.folder, steps=124)
    assert resumed.generator.read_bytes() == longer.generator.read_bytes()


def test_it_goes_back_three_times_at_most(tmp_path: Path) -> None:
    settings = {**RING8, "batch": 40, "steps": 120, "on_diverge": "rollback"}
    with pytest.raises(DivergedError):
        gankit.train("gan", out=tmp_path / "a", on_step=Poison(8, 99), **settings)
    status = json.loads((tmp_path / "a" / "status.json").read_text())
    assert status["state"] == "diverged"
