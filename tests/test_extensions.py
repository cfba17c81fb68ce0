"""The extensions of this repository: neutral networks of known size, and spectral normalisation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import gankit
from gankit.building import build_loop, count_parameters
from gankit.config import Layer
from gankit.contracts import CriticOutput, DataSpec
from gankit.errors import InputError
from gankit.plan import plan_run
from gankit_extensions import lucic_nets, lucic_nets_bn

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("shape", "g", "d_norm", "d", "autoencoder"),
    [
        ((1, 28, 28), 6_642_241, 6_559_169, 6_556_865, 1_073_601),
        ((3, 32, 32), 8_616_131, 8_527_297, 8_524_993, 1_325_379),
        ((3, 64, 64), 33_855_683, 33_693_121, 33_690_817, 4_495_683),
    ],
)
def test_the_neutral_networks_have_the_papers_numbers_of_parameters(
    shape: tuple[int, int, int], g: int, d_norm: int, d: int, autoencoder: int
) -> None:
    data = DataSpec(shape)
    with torch.device("meta"):
        assert count_parameters(lucic_nets.networks.gankit_generator(data, 64)) == g
        assert count_parameters(lucic_nets_bn.networks.gankit_discriminator(data, CriticOutput())) == d_norm
        assert count_parameters(lucic_nets.networks.gankit_discriminator(data, CriticOutput())) == d
        reconstructs = CriticOutput(code=64)
        assert count_parameters(lucic_nets.networks.gankit_discriminator(data, reconstructs)) == autoencoder


def test_the_neutral_networks_answer_what_a_loss_reads() -> None:
    data, y = DataSpec((1, 28, 28), ("a", "b"), 2), torch.eye(2)
    images = lucic_nets.networks.gankit_generator(data, 8)(torch.randn(2, 8), y)
    assert images.shape == (2, 1, 28, 28)
    assert float(images.detach().abs().max()) <= 1
    assert lucic_nets.networks.gankit_discriminator(data, CriticOutput())(images, y).shape == (2,)
    assert lucic_nets_bn.networks.gankit_discriminator(data, CriticOutput(heads=3))(images, y).shape == (2, 4)
    for nets in (lucic_nets.networks, lucic_nets_bn.networks):
        assert nets.gankit_discriminator(data, CriticOutput(code=64))(images).shape == images.shape


@pytest.mark.parametrize("shape", [(2,), (1, 30, 28)])
def test_the_neutral_networks_refuse_what_they_cannot_make(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="multiples of 4"):
        lucic_nets.networks.gankit_generator(DataSpec(shape), 8)


def test_a_penalty_with_the_normalised_discriminator_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gradient penalties are per sample"):
        gankit.train("wgan-gp", extensions=["lucic-nets-bn"], steps=1, batch=4, out=tmp_path / "run")


def normalised_loop(**settings: object):
    layers = [Layer("test", {"variant": "hinge", "extensions": ["spectral-norm"], "batch": 4, "z_dim": 8, **settings})]
    return build_loop(plan_run(layers), DataSpec((1, 16, 16)), CPU)


def test_spectral_norm_divides_by_the_largest_singular_value() -> None:
    loop = normalised_loop()
    layers = [m for m in loop.networks.discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert layers
    for _ in range(50):  # power iterations
        loop.networks.discriminator(torch.zeros(1, 1, 16, 16))
    for layer in layers:
        weight = layer.weight.detach().flatten(1)
        assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1.0, abs=0.02)


def test_the_vectors_of_the_power_iteration_move_in_training_and_are_saved() -> None:
    loop = normalised_loop()
    before = {name: value.clone() for name, value in loop.state_dict().items() if name.endswith("._u")}
    assert before
    torch.manual_seed(0)
    loop.step(torch.rand(4, 1, 16, 16))
    after = loop.state_dict()
    assert all(not torch.equal(value, after[name]) for name, value in before.items() if value.numel() > 1)  # type: ignore[arg-type]


def test_spectral_norm_goes_together_with_a_gradient_penalty() -> None:
    loop = normalised_loop(variant="wgan-gp")
    torch.manual_seed(0)
    stats = [loop.step(torch.rand(4, 1, 16, 16)) for _ in range(5)]
    assert all(torch.isfinite(value) for step in stats for value in step.values())
    originals = [p for name, p in loop.players["discriminator"].items() if name.endswith("original") and p.ndim > 1]
    assert originals
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in originals)


def test_a_run_with_spectral_norm_resumes_bit_for_bit(tmp_path: Path) -> None:
    def train(folder: str, steps: int) -> gankit.RunResult:
        return gankit.train(
            "hinge", extensions=["spectral-norm"], steps=steps, batch=4, z_dim=8, out=tmp_path / folder, device="cpu"
        )

    straight = train("straight", 4)
    gankit.resume(train("broken", 2).folder, steps=4)
    states = [
        (tmp_path / folder / "checkpoints" / "step-000000004" / "state.safetensors").read_bytes()
        for folder in ("straight", "broken")
    ]
    assert straight.step == 4
    assert states[0] == states[1]


def test_spectral_norm_refuses_weights_that_begin_at_zero() -> None:
    with pytest.raises(InputError, match="they begin at zero"):  # 0 / 0 in the first step
        normalised_loop(variant="r3gan")
