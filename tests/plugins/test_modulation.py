"""Modulation by class: scale and shift of what is normalised depend on y, and begin at one and zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support_plugins import CPU
from support_runs import assert_same_state
from torch import nn

import gankit
from gankit.contracts import Batch, DataSpec
from gankit.errors import InputError
from gankit.game.loop import TrainingLoop
from gankit.run.build import build_loop
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer
from gankit_extensions.modulation import Modulated, Told


def conditional_loop(variant: str = "gan", *extensions: str, **settings: Any) -> TrainingLoop:
    fixed = {"variant": variant, "extensions": extensions, "conditional": True, "batch": 6, "z_dim": 8}
    plan = plan_run([Layer("test", {**fixed, "precision": "fp32", **settings})])
    return build_loop(plan, DataSpec((1, 16, 16), ("a", "b", "c"), condition=3), CPU)


def test_what_was_normalised_is_scaled_and_shifted_by_y() -> None:
    told = Told()
    layer = Modulated(nn.Identity(), 2, 3, told)
    x, told.condition = torch.ones(3, 2, 4, 4), torch.eye(3)
    assert torch.equal(layer(x), x)  # it begins as what it follows
    with torch.no_grad():
        layer.by_condition.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 3], [4, 0, 0]]))
    # y = a: channel 0 is doubled, 4 is added to channel 1; b: channel 1 is tripled; c: 3 is added to channel 0.
    assert layer(x)[:, :, 0, 0].tolist() == [[2, 5], [1, 3], [4, 1]]


@pytest.mark.parametrize("variant", ["gan", "dcgan", "cgan"])
def test_every_normalisation_layer_is_modulated_and_learns(variant: str) -> None:
    plain = conditional_loop(variant).networks.generator
    loop = conditional_loop(variant, "modulation")
    layers = [layer for layer in loop.networks.generator.modules() if isinstance(layer, Modulated)]
    norms = [m for m in plain.modules() if isinstance(m, nn.BatchNorm2d) or type(m).__name__ == "PixelNorm"]
    assert len(layers) == len(norms) >= 2
    labels = torch.arange(6) % 3
    y = nn.functional.one_hot(labels, 3).float()
    for _ in range(2):
        loop.step(Batch(torch.randn(6, 1, 16, 16), labels=labels, condition=y))
    assert all(bool(layer.by_condition.weight.any()) for layer in layers)
    assert any(name.endswith("by_condition.weight") for name in loop.players["generator"].parameters)


def test_it_is_resumed_exactly_and_sampled_by_class(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "data": "digits", "conditional": True, "extensions": ["modulation"], "batch": 8, "device": "cpu",
    }  # fmt: skip
    straight = gankit.train("gan", out=tmp_path / "a", steps=4, **settings)
    gankit.train("gan", out=tmp_path / "b", steps=2, **settings)
    assert_same_state(straight.folder, gankit.resume(tmp_path / "b", steps=4).folder)
    assert gankit.load(straight.generator).sample(2, label="3").shape == (2, 28, 28, 1)


def test_what_it_cannot_modulate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="modulation needs conditions"):
        gankit.train("gan", data="digits", extensions=["modulation"], steps=1, device="cpu", out=tmp_path / "x")
    with pytest.raises(InputError, match="this generator has none"):
        gankit.train(
            "gan", data="ring8", conditional=True, extensions=["modulation"], steps=1, device="cpu", out=tmp_path / "x"
        )
    assert not any(tmp_path.iterdir())
