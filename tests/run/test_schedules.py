"""Numbers that follow a schedule: their values step by step, in the statistics, and after a resume."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from support_runs import RING8, StopAt, assert_same_state, stats_of
from torch import Tensor

import gankit
from gankit.errors import Stopped
from gankit.run.run import Run

# Eight steps of 16 images; the values of a step are those before its images.
BUDGET = {**RING8, "steps": 8}
RATES: dict[str, Any] = {
    "g_lr": "linear(1e-3, 0, 50%-100%)",
    "d_lr": "steps(2e-3, 1e-3@64)",
    "betas": "0.5,linear(0.9, 0.98, 128)",
    "ema_halflife_images": "linear(16, 144, 100%)",
}
G_LR = [1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 0.75e-3, 0.5e-3, 0.25e-3]
D_LR = [2e-3, 2e-3, 2e-3, 2e-3, 1e-3, 1e-3, 1e-3, 1e-3]
BETA2 = [0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97]
FROM_64_TO_0 = "linear(64, 0, 100%)"


@pytest.fixture(autouse=True)
def _every_step_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gankit.run.observers.statistics.STATS_EVERY_IMAGES", 16)


def test_optimisers_follow_their_schedules_step_by_step(tmp_path: Path) -> None:
    found: list[tuple[float, ...]] = []

    def read(run: Run) -> None:
        groups = [run.loop.players[name].optimizer.param_groups[0] for name in ("generator", "discriminator")]
        found.append((groups[0]["lr"], groups[1]["lr"], *groups[0]["betas"], *groups[1]["betas"]))

    result = gankit.train("gan", out=tmp_path / "run", on_step=read, **BUDGET, **RATES)
    expected = [(g, d, 0.5, b, 0.5, b) for g, d, b in zip(G_LR, D_LR, BETA2, strict=True)]
    assert [pytest.approx(row) for row in expected] == found
    lines = stats_of(result.folder)
    for name, values in {
        "lr/generator": G_LR,
        "lr/discriminator": D_LR,
        "beta2/generator": BETA2,
        "beta2/discriminator": BETA2,
    }.items():
        assert [line[name] for line in lines] == pytest.approx(values), name
    assert "beta1/generator" not in lines[0]  # it is constant


def test_a_learning_rate_of_zero_moves_nothing(tmp_path: Path) -> None:
    weights: list[Tensor] = []

    def read(run: Run) -> None:
        weights.append(next(run.loop.networks.discriminator.parameters()).detach().clone())

    gankit.train("gan", out=tmp_path / "run", on_step=read, **BUDGET, d_lr="steps(1e-3, 0@32, 1e-3@96)")
    moved = [not torch.equal(one, other) for one, other in pairwise(weights)]
    assert moved == [True, False, False, False, False, True, True]


def used_halflives(folder: Path, **settings: Any) -> list[float]:
    """The half-lives with which the average moved, from the weights before and after each step."""
    found: list[float] = []
    before: dict[str, Tensor] = {}

    def read(run: Run) -> None:
        average = next(run.loop.ema.module.parameters()).detach().double()
        source = next(run.loop.networks.generator.parameters()).detach().double()
        if before:
            decay = ((average - source).norm() / (before["average"] - source).norm()).log2()
            found.append(float(-16 / decay))
        before["average"] = average.clone()

    gankit.train("gan", out=folder, on_step=read, **BUDGET, **settings)
    return found


def test_the_average_of_the_generator_follows_its_half_life(tmp_path: Path) -> None:
    found = used_halflives(tmp_path / "run", ema_halflife_images="linear(16, 144, 100%)", g_lr=1e-2)
    assert found == pytest.approx([48, 64, 80, 96, 112, 128, 144], rel=1e-2)  # after 32, 48, … images


def test_the_statistics_have_the_half_life_that_was_used(tmp_path: Path) -> None:
    found = used_halflives(tmp_path / "run", ema_halflife_images="linear(16, 144, 100%)", g_lr=1e-2)
    lines = stats_of(tmp_path / "run")
    assert [line["ema_halflife"] for line in lines[1:]] == pytest.approx(found, rel=1e-2)


def test_an_option_of_a_loss_follows_its_schedule(tmp_path: Path) -> None:
    """The penalties of r3gan are gamma times what they would be with 1; here nothing moves."""
    still = {**BUDGET, "g_lr": 0.0, "d_lr": 0.0}
    constant = gankit.train("r3gan", out=tmp_path / "constant", options={"gamma": 1}, **still)
    scheduled = gankit.train("r3gan", out=tmp_path / "scheduled", options={"gamma": FROM_64_TO_0}, **still)
    gammas = [64, 56, 48, 40, 32, 24, 16, 8]
    lines = stats_of(scheduled.folder)
    assert [line["options.gamma"] for line in lines] == gammas
    units = [line["d/r1"] for line in stats_of(constant.folder)]
    assert [line["d/r1"] for line in lines] == pytest.approx([g * u for g, u in zip(gammas, units, strict=True)])


def test_an_option_of_a_part_follows_its_schedule(tmp_path: Path) -> None:
    largest: list[float] = []

    def read(run: Run) -> None:
        largest.append(max(float(p.detach().abs().max()) for p in run.loop.networks.discriminator.parameters()))

    options = {"clip": "linear(0.08, 0.01, 112)"}
    gankit.train("wgan", out=tmp_path / "run", on_step=read, options=options, **BUDGET)
    assert largest == pytest.approx([0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01])


@pytest.mark.parametrize(
    ("variant", "options"), [("r3gan", {"gamma": "cosine(1, 0.1, 100%)"}), ("wgan", {"clip": "linear(0.1, 0.01, 64)"})]
)
def test_schedules_are_resumed_bit_for_bit(tmp_path: Path, variant: str, options: dict[str, str]) -> None:
    settings: dict[str, Any] = {**BUDGET, **RATES, "options": options, "optimizer": "adam"}
    straight = gankit.train(variant, out=tmp_path / "straight", **settings)
    with pytest.raises(Stopped):
        gankit.train(variant, out=tmp_path / "broken", on_step=StopAt(5), **settings)
    gankit.resume(tmp_path / "broken")
    assert_same_state(straight.folder, tmp_path / "broken")
    assert stats_of(straight.folder) == stats_of(tmp_path / "broken")


def test_shares_are_those_of_a_new_budget_and_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="gankit")
    news = "schedules in shares of the budget follow the new budget from here on"
    gankit.train("gan", out=tmp_path / "run", g_lr="linear(1e-3, 0, 100%)", **{**BUDGET, "steps": 4})
    assert news not in caplog.messages
    gankit.resume(tmp_path / "run", steps=8)
    assert caplog.messages.count(news) == 1
    rates = [line["lr/generator"] for line in stats_of(tmp_path / "run")]
    assert rates == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3, 0.5e-3, 0.375e-3, 0.25e-3, 0.125e-3])
    caplog.clear()
    gankit.train("gan", out=tmp_path / "other", g_lr="linear(1e-3, 0, 128)", **{**BUDGET, "steps": 4})
    gankit.resume(tmp_path / "other", steps=8)
    assert news not in caplog.messages  # points in images do not depend on the budget
