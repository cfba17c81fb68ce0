"""BEGAN: gradients of the reconstruction error, and the halving of learning rates."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support_plugins import batch_of, step_of
from support_runs import RING8, assert_same_state, state_of
from torch import nn

import gankit
from gankit.game.game import Networks
from gankit.game.loop import TrainingLoop
from gankit.settings.config import TrainConfig
from gankit_variants import began


def test_began_generator_learns_through_the_target_too() -> None:
    """For AE(v) = c the loss |c - v| has the gradient of v alone; a detached target would have none."""
    fake = torch.tensor([[0.3]], requires_grad=True)
    loss = began.BeganLoss(gamma=0.5, lambda_k=1e-3)
    terms = loss.generator(lambda v: v.detach() * 0, batch_of(fake.detach(), fake))
    (gradient,) = torch.autograd.grad(terms["fake"].sum(), fake)
    assert gradient.item() == pytest.approx(1.0)


def test_began_takes_the_mean_over_pixels() -> None:
    x, ae = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]]), torch.tensor([[[0.25, 0.5], [0.5, 0.0]]])
    assert began.reconstruction_error(lambda v: ae, x).item() == pytest.approx(0.3125)


def test_began_halves_its_learning_rates_when_m_stalls() -> None:
    loss = began.BeganLoss(gamma=0.5, lambda_k=1e-3)
    networks = Networks(nn.Linear(4, 2), nn.Linear(2, 2))
    loop = TrainingLoop(networks, loss, TrainConfig(batch=2, z_dim=4, g_lr=1e-3, d_lr=2e-3))
    patience = began.Patience(loop, loss, patience_images=20)

    def play(m: float, begin: int, windows: int) -> None:
        loss.convergence.fill_(m)
        for images in range(begin + 2, begin + 4 * windows + 1, 2):  # a window is two steps
            patience.after_update(step_of(loop, "generator", images=images, images_since=2))

    play(1.0, 0, windows=20)  # the best one, then five without a better one, three times over; four more
    rates = [player.optimizer.param_groups[0]["lr"] for player in loop.players.values()]
    assert rates == pytest.approx([1e-3 / 8, 2e-3 / 8])
    play(0.5, 80, windows=1)
    assert (float(patience.best), float(patience.stalled)) == (0.5, 0.0)


def test_halved_learning_rates_survive_a_resume(tmp_path: Path) -> None:
    settings = {**RING8, "options": {"patience_images": 80}, "g_lr": 1e-12, "d_lr": 1e-12}
    straight = gankit.train("began", steps=20, out=tmp_path / "straight", **settings)
    gankit.train("began", steps=13, out=tmp_path / "broken", **settings)
    gankit.resume(tmp_path / "broken", steps=20)
    assert_same_state(straight.folder, tmp_path / "broken")
    state = state_of(straight.folder)
    for player in ("generator", "discriminator"):
        assert state[f"loop.optimizer.{player}.lr_scale.0"] < 1
        assert state[f"loop.optimizer.{player}.lr.0"] == 1e-12 * state[f"loop.optimizer.{player}.lr_scale.0"]
