"""The plugin keeps the rules of gankit's plugins, and its networks are what its docstrings say."""

from collections.abc import Callable

import pytest
import torch
from gankit_latent import LatentDiscriminator, LatentGenerator, Options, Tokens, gankit_generator

from gankit.plugin import DataSpec, InputError
from gankit.testing import parametrize_checks


@parametrize_checks("latent")
def test_the_variant_keeps_the_rules(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 13), (4, 8, 8)])
def test_images_of_any_size_go_through_patches_and_back(shape: tuple[int, int, int]) -> None:
    tokens, images = Tokens(DataSpec(shape), Options()), torch.randn(2, *shape)
    assert torch.equal(tokens.images(tokens.patches(images)), images)


@pytest.mark.parametrize("z_dim", [64, 3 * 9 * 13])
def test_both_networks_with_conditions(z_dim: int) -> None:
    data, y = DataSpec((3, 9, 13), condition=2), torch.eye(2)
    images = LatentGenerator(data, z_dim, Options())(torch.randn(2, z_dim), y)
    assert images.shape == (2, 3, 9, 13)
    assert LatentDiscriminator(data, Options())(images, y).shape == (2,)


def test_z_is_the_image_that_the_generator_begins_from() -> None:
    """With blocks that begin as the identity, a patch of G(z) depends on the same patch of z and on no other one."""
    torch.manual_seed(0)
    generator = LatentGenerator(DataSpec((1, 8, 8)), 64, Options())
    z = torch.zeros(1, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator(z)[0, 0, :4, :4].sum(), z)
    seen = gradient.reshape(8, 8) != 0
    assert seen[:4, :4].all()
    assert not seen[4:].any()
    assert not seen[:, 4:].any()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="5 heads do not divide a width of 96"):
        gankit_generator(DataSpec((1, 8, 8)), 64, Options(heads=5))
    with pytest.raises(InputError, match="z of 64 numbers has not the size of the data, 784"):
        gankit_generator(DataSpec((1, 28, 28)), 64, Options(transport=0.1))
