"""The neutral networks: sizes of the paper, outputs of every kind, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gankit
from gankit.contracts import CriticOutput, DataSpec
from gankit.errors import InputError
from gankit.run.build import count_parameters
from gankit_extensions.lucic_nets import LucicNets, Options, OptionsWithBatchNorm

PLAIN, NORMALISED = LucicNets(Options()), LucicNets(OptionsWithBatchNorm())


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
        assert count_parameters(PLAIN.gankit_generator(data, 64)) == g
        assert count_parameters(NORMALISED.gankit_discriminator(data, CriticOutput())) == d_norm
        assert count_parameters(PLAIN.gankit_discriminator(data, CriticOutput())) == d
        reconstructs = CriticOutput(code=64)
        assert count_parameters(PLAIN.gankit_discriminator(data, reconstructs)) == autoencoder


def test_the_neutral_networks_answer_what_a_loss_reads() -> None:
    data, y = DataSpec((1, 28, 28), ("a", "b"), 2), torch.eye(2)
    images = PLAIN.gankit_generator(data, 8)(torch.randn(2, 8), y)
    assert images.shape == (2, 1, 28, 28)
    assert float(images.detach().abs().max()) <= 1
    assert PLAIN.gankit_discriminator(data, CriticOutput())(images, y).shape == (2,)
    assert NORMALISED.gankit_discriminator(data, CriticOutput(heads=3))(images, y).shape == (2, 4)
    for nets in (PLAIN, NORMALISED):
        assert nets.gankit_discriminator(data, CriticOutput(code=64))(images).shape == images.shape


@pytest.mark.parametrize("shape", [(2,), (1, 30, 28)])
def test_the_neutral_networks_refuse_what_they_cannot_make(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="multiples of 4"):
        PLAIN.gankit_generator(DataSpec(shape), 8)


def test_a_penalty_with_the_normalised_discriminator_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gradient penalties are per sample"):
        gankit.train("wgan-gp", extensions=["lucic-nets-bn"], steps=1, batch=4, out=tmp_path / "run")


def test_width_multiplies_every_layer(tmp_path: Path) -> None:
    data, narrow = DataSpec((1, 28, 28)), LucicNets(Options(width=0.25))
    assert narrow.gankit_generator(data, 64)(torch.randn(2, 64)).shape == (2, 1, 28, 28)
    # 64 z -> 256 -> 32 channels of 7x7 -> 16 channels -> 1, biases and two numbers a channel of batch norm
    linear, up = 64 * 256 + 3 * 256 + 256 * 1568 + 3 * 1568, 32 * 16 * 16 + 3 * 16 + 16 * 16 + 1
    assert count_parameters(narrow.gankit_generator(data, 64)) == linear + up
    for output in (CriticOutput(), CriticOutput(code=64)):
        full = count_parameters(PLAIN.gankit_discriminator(data, output))
        assert count_parameters(narrow.gankit_discriminator(data, output)) < full / 3
    run = gankit.train(
        "gan", extensions=["lucic-nets"], options={"lucic-nets": {"width": 0.1}}, steps=1, batch=4, out=tmp_path / "run"
    )
    assert gankit.load(run.folder).sample(2).shape == (2, 28, 28, 1)
