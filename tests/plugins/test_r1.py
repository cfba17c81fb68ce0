"""R1: the penalty of one step, worked out by hand."""

from __future__ import annotations

import pytest
import torch
from support_plugins import batch_of, critic_of, double, loop_with, step_of

from gankit.contracts import Batch
from gankit.game.vectors import LinearCritic


def test_r1_is_half_gamma_times_the_squared_gradient_at_real_samples() -> None:
    loop = loop_with("r1", shape=(2,), options={"r1": {"gamma": 4.0}})
    batch = batch_of(double([[1.0, 2.0]]), torch.zeros(1, 2).double())
    critic, step = critic_of(LinearCritic(3.0, 4.0), batch), step_of(loop, "discriminator", images=4)
    assert loop.parts["r1"].penalties(critic, batch, step)["r1-extension"].tolist() == [50.0]


def test_between_real_and_fake_the_gradient_is_that_of_the_point_between_them() -> None:
    """D(x) = |x|^2 / 2 has the gradient x, so the penalty tells where it was taken."""
    loop = loop_with("r1", shape=(2,), options={"r1": {"gamma": 2.0, "at": "between"}})
    batch = batch_of(double([[1.0, 0.0]] * 64), double([[1.0, 2.0]] * 64))
    critic, step = critic_of(lambda x: x.square().sum(1) / 2, batch), step_of(loop, "discriminator", images=4)
    terms = loop.parts["r1"].penalties(critic, batch, step)
    squares = terms["r1-extension"].detach() - 1  # the first coordinate is 1 everywhere, the second one epsilon * 2
    assert 0 <= float(squares.min()) < 0.5
    assert 2 < float(squares.max()) <= 4


def test_a_penalty_that_is_due_in_every_third_step_counts_three_times_there() -> None:
    lazy = loop_with("r1", shape=(2,), penalty_every=3)
    usual = loop_with("r1", shape=(2,))
    batch = Batch(torch.randn(4, 2))
    stats = [lazy.step(batch) for _ in range(4)]
    assert ["d/r1-extension" in step for step in stats] == [True, False, False, True]
    assert float(stats[0]["d/r1-extension"]) == pytest.approx(3 * float(usual.step(batch)["d/r1-extension"]))
