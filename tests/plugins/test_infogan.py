"""InfoGAN: the code within z, its reconstruction by D, and the grid that shows it."""

from __future__ import annotations

import pytest
import torch
from support_plugins import MNIST, critic_of
from torch import Tensor, nn

from gankit.contracts import Batch, DataSpec
from gankit.errors import InputError
from gankit.game.loss import AdversarialLoss
from gankit_variants import infogan


def test_infogans_code_is_the_largest_of_its_numbers_and_the_rest_of_z_goes_through() -> None:
    seen: list[Tensor] = []

    class Inner(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            seen.append(z)
            return z

    infogan.CodedGenerator(Inner(), 3)(torch.tensor([[0.1, 0.9, -2.0, 0.5, 0.25]]))
    assert seen[0].tolist() == [[0.0, 1.0, 0.0, 0.5, 0.25]]


def test_infogans_information_term_reaches_both_players() -> None:
    loss: AdversarialLoss = infogan.InfoGanLoss(infogan.Options(categories=3, continuous=1))
    output = torch.zeros(2, 5, requires_grad=True)
    batch = Batch(output, output, z=torch.eye(2, 4))
    for terms in (
        loss.discriminator(critic_of(torch.clone, batch), batch),
        loss.generator(critic_of(torch.clone, batch), batch),
    ):
        (gradient,) = torch.autograd.grad(
            terms["category"].sum() + terms["continuous"].sum(), output, retain_graph=True
        )
        assert bool((gradient[:, 1:4].abs() > 0).all())


def test_infogans_grid_varies_the_category_along_a_row_and_nothing_else() -> None:
    grid = infogan.gankit_sample_grid(DataSpec(MNIST), torch.rand(256, 74), infogan.Options())
    assert grid.columns == 10
    assert infogan.category_of(grid.z, 10).tolist() == list(range(10)) * 8
    rows = grid.z.reshape(8, 10, 74)
    assert bool((rows[:, :, 10:] == rows[:, :1, 10:]).all())
    assert not torch.equal(rows[0, 0, 10:], rows[1, 0, 10:])


def test_a_code_that_does_not_fit_into_z_is_refused() -> None:
    with pytest.raises(InputError, match="has no room for 12 numbers"):
        next(infogan.gankit_generator(11, infogan.Options()))
