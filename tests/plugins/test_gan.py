"""The original GAN: gradients worked out by hand, and the networks of the paper."""

from __future__ import annotations

import math

import pytest
import torch
from support_plugins import FAKE, MNIST, REAL, batch_of, double

from gankit.contracts import DataSpec
from gankit.errors import InputError
from gankit.run.build import count_parameters
from gankit_variants import cgan, gan


def test_gan_smoothing_pulls_the_real_score_to_log_nine() -> None:
    real = double([math.log(9.0)]).requires_grad_()
    term = gan.GanLoss(label_smoothing=0.1).discriminator(torch.clone, batch_of(real, double([0.0])))["real"]
    assert term.item() == pytest.approx(0.32508297339144815)  # the entropy of 0.9
    (gradient,) = torch.autograd.grad(term.sum(), real)
    assert gradient.item() == pytest.approx(0.0, abs=1e-15)


def test_gan_gradients() -> None:
    real, fake = double(REAL).requires_grad_(), double(FAKE).requires_grad_()
    terms = gan.GanLoss(label_smoothing=0.1).discriminator(torch.clone, batch_of(real, fake))
    gradients = torch.autograd.grad(sum(term.mean() for term in terms.values()), [real, fake])
    assert gradients[0].tolist() == pytest.approx([-0.0064009740, -0.0925135563, -0.2103528595], abs=1e-9)
    assert gradients[1].tolist() == pytest.approx([0.0608085079, 1 / 6, 0.2436861929], abs=1e-9)


@pytest.mark.parametrize(("objective", "expected"), [("non-saturating", -0.9999999979), ("minimax", -2.0611536e-9)])
def test_only_the_minimax_generator_starves_when_it_is_found_out(objective: str, expected: float) -> None:
    score = double([-20.0]).requires_grad_()
    term = gan.GanLoss(objective).generator(torch.clone, batch_of(score, score))["fake"].sum()
    (gradient,) = torch.autograd.grad(term, score)
    assert gradient.item() == pytest.approx(expected, rel=1e-7)


def test_the_original_networks_have_the_sizes_of_the_authors_code() -> None:
    assert count_parameters(gan.OriginalGenerator(MNIST, 100)) == 2_503_984
    assert count_parameters(gan.OriginalDiscriminator(MNIST)) == 1_231_441


def test_maxout_takes_the_largest_piece_of_each_unit() -> None:
    layer = gan.Maxout(1, 2, 3)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0], [-2.0], [0.5], [3.0], [0.0], [-1.0]]))
        layer.linear.bias.zero_()
    assert layer(torch.tensor([[1.0], [-1.0]])).tolist() == [[1.0, 3.0], [2.0, 1.0]]


def test_the_original_networks_refuse_what_they_were_not_made_for() -> None:
    with pytest.raises(InputError, match="unconditional"):
        gan.gankit_generator(DataSpec(MNIST, ("a", "b"), 2), 10, gan.Options(networks="original"))
    for variant, data in ((gan, DataSpec((2,))), (cgan, DataSpec((2,), ("a", "b"), 2))):
        with pytest.raises(InputError, match="points are not bounded"):
            variant.gankit_generator(data, 10, variant.Options(networks="original"))
