"""Optimisers: each of them for each player, with settings of its own, and the state of all parameter groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import HOOKS, LOSS
from support_runs import RING8, assert_same_state, state_of

import gankit
from gankit.game.players import Player
from gankit.settings.config import TrainConfig

MOMENTS = {"adam": {"exp_avg", "exp_avg_sq"}, "adamw": {"exp_avg", "exp_avg_sq"}, "sgd": {"momentum_buffer"}}
MOMENTS |= {"rmsprop": {"square_avg", "momentum_buffer"}}
OTHER = {"adam": "sgd", "sgd": "rmsprop", "rmsprop": "adamw", "adamw": "adam"}
OWN: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9},
    "rmsprop": {"momentum": 0.9},
    "adamw": {"weight_decay": 0.1},
}


@pytest.mark.parametrize("kind", ["adam", "adamw", "rmsprop", "sgd"])
def test_each_optimiser_trains_and_is_resumed_bit_for_bit(tmp_path: Path, kind: str) -> None:
    other = OTHER[kind]
    settings: dict[str, Any] = {**RING8, "g_optimizer": kind, "d_optimizer": other}
    settings |= {**OWN.get(kind, {}), **OWN.get(other, {})}
    straight = gankit.train("gan", steps=5, out=tmp_path / "straight", **settings)
    gankit.train("gan", steps=2, out=tmp_path / "broken", **settings)
    before = state_of(tmp_path / "broken")
    gankit.resume(tmp_path / "broken", steps=5)
    assert_same_state(straight.folder, tmp_path / "broken")
    after = state_of(straight.folder)
    for player, optimizer in (("generator", kind), ("discriminator", other)):
        names = {name.rpartition(".")[2] for name in after if name.startswith(f"loop.optimizer.{player}.")}
        assert MOMENTS[optimizer] <= names
        weights = [name for name in after if name.startswith(f"loop.{player}.") and name.endswith("weight")]
        assert not [name for name in weights if torch.equal(before[name], after[name])]


def test_weight_decay_is_decoupled_from_the_gradient(tmp_path: Path) -> None:
    """adamw scales weights by 1 - lr * decay, and moves them as adam does."""
    settings: dict[str, Any] = {**RING8, "steps": 1, "d_lr": 1e-3}
    adam = gankit.train("gan", out=tmp_path / "adam", **settings)
    adamw = gankit.train("gan", out=tmp_path / "adamw", d_optimizer="adamw", weight_decay=0.1, **settings)
    start = gankit.train("gan", out=tmp_path / "start", **{**settings, "d_lr": 0.0})
    one, other, begin = (state_of(run.folder)["loop.discriminator.layers.0.weight"] for run in (adam, adamw, start))
    assert torch.allclose(one - other, 1e-3 * 0.1 * begin, atol=5e-7)
    assert not torch.equal(one, other)


def test_betas_without_adam_are_refused(tmp_path: Path, refusal: Callable[..., str]) -> None:
    common = "train --data ring8 --steps 1 --betas 0.5,0.9"
    for arguments in (f"{common} --optimizer rmsprop", f"{common} --variant wgan"):
        said = refusal(arguments, tmp_path)
        assert "betas has no effect: the players are trained with rmsprop, not with adam or adamw" in said
        assert "leave out --betas, or choose --optimizer adam" in said
    said = refusal("train --data ring8 --steps 1 --momentum 0.9", tmp_path)
    assert "momentum has no effect" in said
    assert not list(tmp_path.iterdir())


def test_d_betas_are_those_of_the_discriminator_alone(tmp_path: Path, refusal: Callable[..., str]) -> None:
    """After one step an average of squared gradients is 1 - beta2 times the square of an average of gradients with 0."""
    settings: dict[str, Any] = {**RING8, "steps": 1, "betas": (0.0, 0.9)}
    given = gankit.train("gan", out=tmp_path / "given", d_betas="0,linear(0.75, 0.8, 100k)", **settings)
    for player, share in (("generator", 0.1), ("discriminator", 0.25)):
        state = state_of(given.folder)
        moments = [name for name in state if name.startswith(f"loop.optimizer.{player}.") and name.endswith("exp_avg")]
        assert moments
        for name in moments:
            square = state[name.removesuffix("exp_avg") + "exp_avg_sq"]
            assert torch.allclose(square, share * state[name].square(), rtol=1e-4)
    said = refusal("train --data ring8 --steps 1 --d-betas 0.5", tmp_path)
    assert "--d-betas 0.5: a second value is missing" in said
    said = refusal("train --data ring8 --steps 1 --d-betas 0,0.9 --d-optimizer sgd", tmp_path)
    assert "d_betas has no effect: D is trained with sgd, not with adam or adamw" in said


ENCODER = (
    LOSS.replace("class Loss", "from gankit.plugin import TrainingLoop\nfrom torch import nn\n\nclass Loss").replace(
        'return {"score": -critic(batch.fake)}',
        'return {"score": -critic(batch.fake), "code": (self.encoder[0](batch.fake) - batch.z[:, :1]).square().mean(1)}',
    )
    + HOOKS
    + """
@hookimpl
def gankit_training_loop(networks, loss, config):
    loop = TrainingLoop(networks, loss, config)
    loss.encoder = [nn.Linear(2, 1)]
    loop.add_network("generator", "encoder", loss.encoder[0], lr_scale=0.25)
    return loop
"""
)


@pytest.mark.parametrize("g_lr", [1e-3, "linear(1e-3, 0, 320)"])
def test_the_learning_rate_of_every_group_survives_a_resume(tmp_path: Path, g_lr: object) -> None:
    variant = tmp_path / "encoder.py"
    variant.write_text(ENCODER)
    settings: dict[str, Any] = {**RING8, "g_lr": g_lr}
    straight = gankit.train(variant, steps=6, out=tmp_path / "straight", **settings)
    gankit.train(variant, steps=3, out=tmp_path / "broken", **settings)
    gankit.resume(tmp_path / "broken", variant=variant, steps=6)
    assert_same_state(straight.folder, tmp_path / "broken")
    state = state_of(straight.folder)
    rate = 1e-3 if g_lr == 1e-3 else 1e-3 * (1 - 80 / 320)
    rates = [state[f"loop.optimizer.generator.lr.{group}"] for group in (0, 1)]
    assert rates == pytest.approx([rate, 0.25 * rate])


def test_what_is_added_to_a_player_follows_its_rate_in_graphs_too() -> None:
    """A graph would keep a number for ever: the rate of every group is a tensor, which is changed in place."""
    weight, later = (torch.nn.Parameter(torch.ones(())) for _ in range(2))
    player = Player(
        {"w": weight}, TrainConfig(), lr="linear(1e-2, 0, 100)", scaler=torch.amp.GradScaler("cpu", enabled=False)
    )
    player.optimizer.param_groups[0]["lr"] = torch.tensor(1e-2)  # as on a GPU with --graphs auto
    player.add({"later": later}, lr_scale=0.5)
    rates = [group["lr"] for group in player.optimizer.param_groups]
    player.follow(50, None)
    player.scale_lr(0.1)
    assert [group["lr"] for group in player.optimizer.param_groups] == pytest.approx([5e-4, 2.5e-4])
    assert all(group["lr"] is rate for group, rate in zip(player.optimizer.param_groups, rates, strict=True))
