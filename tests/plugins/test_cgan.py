"""The conditional GAN: the perceptrons of the paper."""

from __future__ import annotations

import torch
from support_plugins import MNIST
from torch import nn

from gankit_variants import cgan, gan


def test_the_conditional_perceptrons_have_the_sizes_of_the_paper() -> None:
    generator, discriminator = cgan.OriginalGenerator(MNIST, 100, 10), cgan.OriginalDiscriminator(MNIST, 10)
    assert [m.out_features for m in generator.modules() if isinstance(m, nn.Linear)] == [200, 1000, 1200, 784]
    assert [m.shape for m in discriminator.modules() if isinstance(m, gan.Maxout)] == [(240, 5), (50, 5), (240, 4)]
    y = torch.eye(10)[:2]
    assert discriminator(generator(torch.rand(2, 100), y), y).shape == (2,)
