"""Spectral normalisation: the norm itself, its state, penalties, exact resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support_plugins import loop_with
from support_runs import assert_same_state
from torch import nn
from torch.nn.utils import parametrize

import gankit
from gankit.contracts import Batch
from gankit.errors import InputError
from gankit.game.loop import TrainingLoop


def normalised_loop(variant: str = "hinge") -> TrainingLoop:
    return loop_with("spectral-norm", variant=variant, shape=(1, 16, 16))


def test_spectral_norm_divides_by_the_largest_singular_value() -> None:
    loop = normalised_loop()
    layers = [m for m in loop.networks.discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert layers
    for _ in range(50):  # power iterations
        loop.networks.discriminator(torch.zeros(1, 1, 16, 16))
    for layer in layers:
        weight = layer.weight.detach().flatten(1)
        assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("shape", [(2, 64), (1, 8, 8, 8)])
def test_every_layer_for_signals_and_volumes_is_normalised(shape: tuple[int, ...]) -> None:
    discriminator = loop_with("spectral-norm", variant="hinge", shape=shape).networks.discriminator
    convolutions = [m for m in discriminator.modules() if isinstance(m, nn.Conv1d | nn.Conv3d)]
    assert convolutions
    assert all(parametrize.is_parametrized(layer, "weight") for layer in convolutions)


def test_the_vectors_of_the_power_iteration_move_in_training_and_are_saved() -> None:
    loop = normalised_loop()
    before = {name: value.clone() for name, value in loop.state_dict().items() if name.endswith("._u")}
    assert before
    torch.manual_seed(0)
    loop.step(Batch(torch.rand(4, 1, 16, 16)))
    after = loop.state_dict()
    assert all(not torch.equal(value, after[name]) for name, value in before.items() if value.numel() > 1)  # type: ignore[arg-type]


def test_spectral_norm_goes_together_with_a_gradient_penalty() -> None:
    loop = normalised_loop(variant="wgan-gp")
    torch.manual_seed(0)
    stats = [loop.step(Batch(torch.rand(4, 1, 16, 16))) for _ in range(5)]
    assert all(torch.isfinite(value) for step in stats for value in step.values())
    originals = [
        p for name, p in loop.players["discriminator"].parameters.items() if name.endswith("original") and p.ndim > 1
    ]
    assert originals
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in originals)


def test_a_run_with_spectral_norm_resumes_bit_for_bit(tmp_path: Path) -> None:
    def train(folder: str, steps: int) -> gankit.RunResult:
        return gankit.train(
            "hinge", extensions=["spectral-norm"], steps=steps, batch=4, z_dim=8, out=tmp_path / folder, device="cpu"
        )

    straight = train("straight", 4)
    gankit.resume(train("broken", 2).folder, steps=4)
    assert straight.step == 4
    assert_same_state(straight.folder, tmp_path / "broken")


def test_spectral_norm_refuses_weights_that_begin_at_zero() -> None:
    with pytest.raises(InputError, match="they begin at zero"):  # 0 / 0 in the first step
        loop_with("spectral-norm", variant="r3gan", shape=(1, 16, 16), options={"networks": "small"})
