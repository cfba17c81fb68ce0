"""DCGAN: sizes of the paper and of its copies, any side that is a multiple of four, batch norm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gankit.contracts import DataSpec
from gankit.errors import InputError
from gankit.run.build import count_parameters
from gankit_variants import dcgan


@pytest.mark.parametrize(
    ("width", "kernel", "g", "d"), [(128, 5, 18_855_040, 17_232_768), (64, 4, 3_576_704, 2_765_568)]
)
def test_dcgan_has_the_sizes_of_the_paper_and_of_its_copies(width: int, kernel: int, g: int, d: int) -> None:
    assert count_parameters(dcgan.Generator((3, 64, 64), 100, width, kernel, 0)) == g
    assert count_parameters(dcgan.Discriminator((3, 64, 64), width, kernel, 0)) == d


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("side", [(4, 4), (8, 12), (20, 20), (28, 28), (32, 48), (36, 64)])
def test_dcgan_makes_any_size_that_is_a_multiple_of_four(side: tuple[int, int], kernel: int) -> None:
    shape = (3, *side)
    images = dcgan.Generator(shape, 8, 4, kernel, 2)(torch.randn(2, 8), torch.eye(2))
    assert images.shape == (2, *shape)
    assert float(images.detach().abs().max()) <= 1
    assert dcgan.Discriminator(shape, 4, kernel, 2)(images, torch.eye(2)).shape == (2,)


def test_dcgan_refuses_other_sizes_in_one_line() -> None:
    with pytest.raises(InputError, match="multiples of 4, not"):
        dcgan.gankit_generator(DataSpec((1, 30, 28)), 8, dcgan.Options())


def test_dcgan_has_batch_norm_everywhere_but_on_pixels_and_starts_as_the_paper() -> None:
    torch.manual_seed(0)
    g, d = dcgan.Generator((1, 32, 32), 100, 64, 4, 0), dcgan.Discriminator((1, 32, 32), 64, 4, 0)
    assert isinstance(g.layers[-1], nn.Tanh)
    assert isinstance(g.layers[-2], nn.ConvTranspose2d)
    assert isinstance(d.layers[1], nn.LeakyReLU)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in g.modules()) == 3
    assert sum(isinstance(m, nn.BatchNorm2d) for m in d.modules()) == 2
    norm = next(m for m in g.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert g.layers[0].weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not [
        m
        for m in (*g.modules(), *d.modules())
        if getattr(m, "bias", None) is not None and not isinstance(m, nn.BatchNorm2d)
    ]
