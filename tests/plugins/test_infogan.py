"""InfoGAN: the code within z, its reconstruction by D, and the grid that shows it."""

from __future__ import annotations

import pytest
import torch
from support_plugins import MNIST, critic_of, loop_with
from torch import Tensor, nn

from gankit.contracts import Batch, CriticOutput, DataSpec
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


def test_q_is_a_layer_of_its_own_on_the_features_of_d() -> None:
    """By hand for one sample: 128 numbers h from the trunk, normalised, leaky, and a linear layer."""

    class Trunk(nn.Module):
        def forward(self, samples: Tensor) -> Tensor:
            return torch.cat([samples[:, :1], torch.tensor([3.0, -1.0]).repeat(len(samples), 64)], dim=1)

    network = infogan.ReadingDiscriminator(Trunk(), 1, "layer-norm")
    with torch.no_grad():
        network.q[2].weight.zero_()
        network.q[2].weight[0, :2] = torch.tensor([2.0, 100.0])
        network.q[2].bias.fill_(5.0)
        # Mean 1 and deviation 2: h becomes 1 and -1, the leaky ReLU makes 1 and -0.01, and Q is 2 - 1 + 5.
        output = network(torch.tensor([[0.25], [-0.5]]))
    assert output.tolist() == [pytest.approx([0.25, 6.0], abs=1e-4), pytest.approx([-0.5, 6.0], abs=1e-4)]


@pytest.mark.parametrize("shape", [(1, 12, 12), (2,)], ids=str)
def test_each_kind_of_q_reads_what_the_loss_asks_for_and_moves_with_d(shape: tuple[int, ...]) -> None:
    for q, extra in (("layer-norm", True), ("batch-norm", True), ("linear", False)):
        loop = loop_with(variant="infogan", shape=shape, z_dim=14, options={"q": q})
        network = loop.networks.discriminator
        assert network(torch.randn(4, *shape)).shape == (4, 13)
        assert isinstance(network, infogan.ReadingDiscriminator) == extra
        stats = loop.step(Batch(torch.randn(4, *shape)))
        assert {"d/category", "g/continuous"} <= stats.keys()
        assert any(name.startswith("q.") for name in loop.players["discriminator"].parameters) == extra


def test_the_samples_of_a_batch_are_independent_but_with_batch_norm() -> None:
    samples = torch.randn(4, 1, 12, 12)
    for q, independent in (("layer-norm", True), ("batch-norm", False)):
        options, output = infogan.Options(q=q), CriticOutput(heads=12)
        network = infogan.gankit_discriminator(DataSpec((1, 12, 12)), options, output)
        assert network is not None
        together, alone = network(samples)[:2], network(samples[:2])
        assert torch.allclose(together[:, 0], alone[:, 0], atol=1e-5)  # the score never depends on others
        assert torch.allclose(together, alone, atol=1e-4) == independent


def test_a_penalty_works_beside_layer_norm_and_is_refused_beside_batch_norm() -> None:
    def step(q: str) -> dict[str, Tensor]:
        loop = loop_with("r1", variant="infogan", shape=(2,), z_dim=14, options={"q": q})
        return loop.step(Batch(torch.randn(4, 2)))

    assert "d/r1-extension" in step("layer-norm")
    with pytest.raises(InputError, match="batch norm"):
        step("batch-norm")


def test_a_discriminator_of_an_extension_is_read_linearly() -> None:
    loop = loop_with("lucic-nets", variant="infogan", shape=(1, 12, 12), z_dim=14, options={"q": "linear"})
    assert loop.networks.discriminator(torch.randn(4, 1, 12, 12)).shape == (4, 13)


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
