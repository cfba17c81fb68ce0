"""The default networks: any size, one score a sample, no coupling within a batch, twice differentiable."""

from __future__ import annotations

import pytest
import torch

from gankit.errors import InputError
from gankit.game.networks import Discriminator, Generator, PointDiscriminator, PointGenerator

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 64, 64), (4, 48, 64), (2, 37, 53), (1, 4, 4), (1, 2, 9), (3, 5, 100)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_any_size_and_one_to_four_channels(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    images = Generator(shape, z_dim=8)(torch.randn(3, 8))
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    assert Discriminator(shape)(images).shape == (3,)


def test_channels_last_changes_no_value() -> None:
    torch.manual_seed(0)
    generator, z = Generator((3, 28, 28), 8), torch.randn(4, 8)
    expected = generator(z)
    assert torch.allclose(generator.to(memory_format=torch.channels_last)(z), expected, atol=1e-5)


@pytest.mark.parametrize("points", [False, True])
def test_a_sample_does_not_depend_on_the_others_of_its_batch(points: bool) -> None:
    """What gradient penalties and seeds need: no batch statistics in either network, in training mode too."""
    torch.manual_seed(0)
    generator = PointGenerator(2, 8) if points else Generator((1, 12, 12), 8)
    discriminator = PointDiscriminator(2) if points else Discriminator((1, 12, 12))
    z = torch.randn(5, 8)
    samples = generator(z)
    assert torch.allclose(samples[1:2], generator(z[1:2]), atol=1e-6)
    assert torch.allclose(discriminator(samples)[1:2], discriminator(samples[1:2]), atol=1e-5)


@pytest.mark.parametrize("points", [False, True])
def test_a_penalty_on_the_critics_gradient_reaches_its_weights(points: bool) -> None:
    torch.manual_seed(0)
    critic = (PointDiscriminator(2) if points else Discriminator((1, 12, 12))).double()
    x = torch.randn(3, 2, dtype=torch.float64) if points else torch.randn(3, 1, 12, 12, dtype=torch.float64)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    assert penalty.requires_grad
    penalty.backward()
    weights = [parameter for name, parameter in critic.named_parameters() if name.endswith("weight")]
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights)


def test_parameter_counts_are_known() -> None:
    """They stand in docs/benchmarks.md; a change of the networks must change both."""

    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    counts = {shape: (count(Generator(shape, 64)), count(Discriminator(shape))) for shape in SHAPES[:3]}
    assert counts == {
        (1, 28, 28): (463_345, 371_473),
        (3, 32, 32): (558_483, 374_353),
        (3, 64, 64): (1_501_779, 1_557_457),
    }


def test_single_pixels_are_refused() -> None:
    with pytest.raises(InputError, match="1x9 are too small"):
        Generator((1, 1, 9), 8)
