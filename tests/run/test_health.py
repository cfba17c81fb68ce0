"""A run that goes wrong: what is noticed, what is said, where it broke, and how it goes back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import HOOKS, LOSS
from torch import Tensor

import gankit
from gankit.errors import DivergedError
from gankit.hookspecs import hookimpl
from gankit.look.diagnose import diagnose
from gankit.run.health import findings
from gankit.run.run import Run

SMALL: dict[str, Any] = {"data": "ring8", "device": "cpu", "batch": 16, "precision": "fp32"}


def lines(count: int = 20, **columns: Callable[[int], float]) -> list[dict[str, float]]:
    return [
        {"images_seen": 2000 * n, **{k.replace("__", "/"): f(n) for k, f in columns.items()}} for n in range(1, count)
    ]


def test_a_healthy_run_has_no_findings() -> None:
    healthy = lines(
        diversity=lambda n: 0.9, score__real=lambda n: 2.0, score__fake=lambda n: -2.0, grad__generator=lambda n: 1 / n
    )
    assert findings(healthy, "logits") == []


def test_collapse_is_found_once_it_lasts_and_not_in_a_young_generator() -> None:
    sick = lines(diversity=lambda n: 0.2 if n >= 12 else 0.9)
    (found,) = findings(sick)
    assert (found.kind, found.since) == ("collapse", 24_000)
    assert "0.20 times" in found.figure
    assert findings(sick[:14]) == []  # four lines
    assert findings(lines(diversity=lambda n: 0.2)[:9]) == []  # young
    assert findings([*sick, {"images_seen": 40_000, "diversity": 0.9}]) == []  # it got well


@pytest.mark.parametrize(("scores", "kinds"), [("logits", ["sure discriminator"]), ("raw", [])])
def test_only_logits_tell_how_sure_a_discriminator_is(scores: str, kinds: list[str]) -> None:
    sure = lines(score__real=lambda n: 9.0, score__fake=lambda n: -9.0)
    assert [finding.kind for finding in findings(sure, scores)] == kinds
    assert findings(lines(score__real=lambda n: 9.0, score__fake=lambda n: 0.0), "logits") == []


def test_a_vanishing_gradient_is_measured_by_what_it_was() -> None:
    (found,) = findings(lines(40, grad__generator=lambda n: 1e-9 if n < 30 else 1e-13))
    assert (found.kind, found.since) == ("vanishing gradient", 60_000)
    assert findings(lines(40, grad__generator=lambda n: 1e-9)) == []  # small from the start: the scale of this loss


def test_skipped_steps_and_lines_that_are_no_statistics(tmp_path: Path) -> None:
    (found,) = findings(lines(skipped__generator=lambda n: 0.5))
    assert "50% of the generator's steps" in found.figure
    assert findings(lines(diversity=lambda n: float("nan"))) == []


CONSTANT = (
    LOSS
    + HOOKS
    + """
import torch
from torch import nn

class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.point = nn.Parameter(torch.zeros(1, 2))
    def forward(self, z):
        return self.point + 0 * z[:, :2]

@hookimpl
def gankit_generator(data, z_dim):
    return Constant()
"""
)


def test_a_collapsed_run_is_warned_about_once_and_diagnosed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("constant.py").write_text(CONSTANT)
    with caplog.at_level(logging.WARNING, logger="gankit"):
        gankit.train("./constant.py", images=36_000, out="run", **{**SMALL, "batch": 100})
    assert [record.message.partition(":")[0] for record in caplog.records] == ["collapse"]
    found = diagnose(Path("run"))
    assert (found.state, found.images_seen) == ("finished", 36_000)
    assert [finding.kind for finding in found.findings] == ["collapse"]
    assert found.figures["diversity"][1] == pytest.approx(0.0, abs=1e-6)


def test_a_run_that_learns_is_not_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="gankit"):
        result = gankit.train("gan", images=60_000, out=tmp_path / "run", z_dim=2, **{**SMALL, "batch": 64})
    assert caplog.records == []
    found = diagnose(result.folder)
    assert found.findings == []
    assert found.figures["diversity"][1] > 0.7


def test_the_command_tells_a_person_and_a_program(
    tmp_path: Path, refusal: Callable[..., str], capsys: Any, monkeypatch: Any
) -> None:
    gankit.train("gan", steps=4, out=tmp_path / "run", **SMALL)
    from gankit.cli import app

    monkeypatch.setattr("sys.argv", ["gankit", "diagnose", str(tmp_path / "run")])
    app(standalone_mode=False)
    said = capsys.readouterr().out
    assert "finished at 64 images, 1 lines" in said
    assert "nothing conspicuous" in said
    monkeypatch.setattr("sys.argv", ["gankit", "diagnose", str(tmp_path / "run"), "--json"])
    app(standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["findings"] == []
    assert "not the folder of a run" in refusal("diagnose nothing", tmp_path)


class Poison:
    """Breaks one weight of the generator's or discriminator's second layer after a step, so often as it is told."""

    def __init__(self, step: int, times: int = 1, network: str = "discriminator") -> None:
        self.step, self.times, self.network = step, times, network

    @hookimpl
    def gankit_step_end(self, run: Run, stats: Mapping[str, Tensor]) -> None:
        if run.step == self.step and self.times:
            self.times -= 1
            list(getattr(run.loop.networks, self.network).parameters())[2].data[0] = float("nan")


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
        gankit.train("./bomb.py", steps=300, checkpoint_every=16 * 4, out="run", **SMALL)
    assert "last checkpoint is intact" in str(caught.value.hint)
    status = json.loads(Path("run/status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("diverged", 5)
    assert "first in discriminator.1 (Bomb)" in status["reason"]
    newest = sorted(Path("run/checkpoints").glob("step-*"))[-1].name
    assert newest == "step-000000008"  # the last one before


def test_a_run_goes_back_and_on_with_other_random_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = {**SMALL, "checkpoint_every": 16 * 100, "steps": 300, "on_diverge": "rollback"}
    with caplog.at_level(logging.WARNING, logger="gankit"):
        result = gankit.train("gan", out=tmp_path / "a", observers=[Poison(110)], **settings)
    assert [("back to 1,600 images" in r.message, "(1 of 3)" in r.message) for r in caplog.records] == [(True, True)]
    assert result.step == 300
    straight = gankit.train("gan", out=tmp_path / "b", **settings)
    assert result.generator.read_bytes() != straight.generator.read_bytes()
    steps = [json.loads(line)["step"] for line in (tmp_path / "a" / "stats.jsonl").read_text().splitlines()]
    assert steps == [125, 250, 300]
    # A resumed run keeps the stream it went on with.
    longer = gankit.train("gan", out=tmp_path / "c", observers=[Poison(110)], **{**settings, "steps": 310})
    resumed = gankit.resume(result.folder, steps=310)
    assert resumed.generator.read_bytes() == longer.generator.read_bytes()


def test_it_goes_back_three_times_at_most(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        gankit.train("gan", steps=300, on_diverge="rollback", out=tmp_path / "a", observers=[Poison(20, 99)], **SMALL)
    status = json.loads((tmp_path / "a" / "status.json").read_text())
    assert status["state"] == "diverged"
