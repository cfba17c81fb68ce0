"""What only one variant has: the shapes of papers, orders of steps, schedules, gradients. Values common to all are vectors
(`gankit verify`), computed by tests/test_conformance.py."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gankit.contracts import Batch, DataSpec
from gankit.errors import InputError
from gankit.game.loop import Networks
from gankit.game.loss import AdversarialLoss
from gankit.run.build import count_parameters
from gankit.settings.config import TrainConfig
from gankit_variants import acgan, began, cgan, dcgan, dragan, gan, infogan, wgan

REAL = [2.0, 0.5, -1.0]  # scores of three real samples
FAKE = [-1.5, 0.0, 1.0]
MNIST = (1, 28, 28)


def identity(scores: Tensor) -> Tensor:
    return scores


def batch_of(real: Tensor, fake: Tensor) -> Batch:
    return Batch(real, fake, z=torch.zeros(len(real), 1))


def double(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# -- gan ---------------------------------------------------------------------------------------------------------------


def test_gan_smoothing_pulls_the_real_score_to_log_nine() -> None:
    real = double([math.log(9.0)]).requires_grad_()
    term = gan.GanLoss(label_smoothing=0.1).discriminator(identity, batch_of(real, double([0.0])))["real"]
    assert term.item() == pytest.approx(0.32508297339144815)  # the entropy of 0.9
    (gradient,) = torch.autograd.grad(term.sum(), real)
    assert gradient.item() == pytest.approx(0.0, abs=1e-15)


def test_gan_gradients() -> None:
    real, fake = double(REAL).requires_grad_(), double(FAKE).requires_grad_()
    terms = gan.GanLoss(label_smoothing=0.1).discriminator(identity, batch_of(real, fake))
    gradients = torch.autograd.grad(sum(term.mean() for term in terms.values()), [real, fake])
    assert gradients[0].tolist() == pytest.approx([-0.0064009740, -0.0925135563, -0.2103528595], abs=1e-9)
    assert gradients[1].tolist() == pytest.approx([0.0608085079, 1 / 6, 0.2436861929], abs=1e-9)


@pytest.mark.parametrize(("objective", "expected"), [("non-saturating", -0.9999999979), ("minimax", -2.0611536e-9)])
def test_only_the_minimax_generator_starves_when_it_is_found_out(objective: str, expected: float) -> None:
    score = double([-20.0]).requires_grad_()
    term = gan.GanLoss(objective).generator(identity, batch_of(score, score))["fake"].sum()
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


# -- cgan --------------------------------------------------------------------------------------------------------------


def test_the_conditional_perceptrons_have_the_sizes_of_the_paper() -> None:
    generator, discriminator = cgan.OriginalGenerator(MNIST, 100, 10), cgan.OriginalDiscriminator(MNIST, 10)
    assert [m.out_features for m in generator.modules() if isinstance(m, nn.Linear)] == [200, 1000, 1200, 784]
    assert [m.shape for m in discriminator.modules() if isinstance(m, gan.Maxout)] == [(240, 5), (50, 5), (240, 4)]
    y = torch.eye(10)[:2]
    assert discriminator(generator(torch.rand(2, 100), y), y).shape == (2,)


# -- dcgan -------------------------------------------------------------------------------------------------------------


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


# -- wgan --------------------------------------------------------------------------------------------------------------


class Line(nn.Module):
    """D(x) = a + b x for points [N, 1]; far outside the clipping at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor([0.5])), nn.Parameter(torch.tensor([-0.02, 0.003, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.a + x[:, 0] * self.b.sum()


def clipped_loop(config: TrainConfig, *, warm_up: bool = False) -> wgan.ClippedLoop:
    torch.manual_seed(0)
    return wgan.ClippedLoop(Networks(nn.Linear(4, 1), Line()), wgan.WassersteinLoss(), config, 0.01, warm_up)


def test_clipping_clamps_every_parameter() -> None:
    loop = clipped_loop(TrainConfig(batch=4, z_dim=4))
    loop.clip_weights()
    discriminator = loop.networks.discriminator
    assert isinstance(discriminator, Line)
    assert discriminator.a.tolist() == pytest.approx([0.01])
    assert discriminator.b.tolist() == pytest.approx([-0.01, 0.003, 0.0])


def test_the_generator_meets_a_clipped_critic() -> None:
    largest: list[float] = []

    class Watched(wgan.ClippedLoop):
        def g_step(self, real: Tensor, labels: Tensor | None, condition: Tensor | None) -> dict[str, Tensor]:
            largest.extend(float(p.detach().abs().max()) for p in self.players["discriminator"].values())
            return super().g_step(real, labels, condition)

    config = TrainConfig(batch=4, z_dim=4, optimizer="rmsprop", d_lr=0.5)  # one step leaves the bounds by far
    loop = Watched(Networks(nn.Linear(4, 1), Line()), wgan.WassersteinLoss(), config, 0.01, False)
    for _ in range(3):
        loop.step(torch.randn(4, 1))
    assert len(largest) == 6
    assert max(largest) <= 0.01 + 1e-9


def test_the_warm_up_is_that_of_the_authors() -> None:
    config = TrainConfig(batch=2, z_dim=4, d_steps=5)
    loop = clipped_loop(config, warm_up=True)
    real = torch.randn(2, 1)
    moved = [step for step in range(2520) if "g/fake" in loop.step(real)]
    assert moved[:25] == [100 * k + 99 for k in range(25)]  # 100 critic steps before each of the first 25
    assert moved[25:28] == [2504, 2509, 2514]  # then five
    loop.g_steps = 500
    assert loop.d_steps() == 100
    loop.g_steps = 501
    assert loop.d_steps() == 5


# -- dragan ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, 0.07549024320360753), (0.5, 0.017403715465645866)])
def test_dragan_perturbs_with_half_the_standard_deviation_of_the_batch(alpha: float, expected: float) -> None:
    real = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    points = dragan.perturb(real, "one-sided", torch.ones_like(real), torch.full((2, 1), alpha))
    norms = points.norm(dim=1)  # the gradient of ||x||^2 / 2
    assert (norms - 1).square().mean().item() == pytest.approx(expected)


def test_dragans_centred_noise_stays_within_the_range_of_images() -> None:
    real = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1)
    moved = dragan.perturb(real, "centred", torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1), torch.ones(2, 1, 1, 1))
    assert moved.flatten().tolist() == [-1.0, 1.0]
    inwards = dragan.perturb(real, "centred", torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1), torch.ones(2, 1, 1, 1))
    assert inwards.flatten().tolist() == pytest.approx([-0.5, 0.5])


# -- began -------------------------------------------------------------------------------------------------------------


def test_began_generator_learns_through_the_target_too() -> None:
    """For AE(v) = c the loss |c - v| has the gradient of v alone; a detached target would have none."""
    fake = torch.tensor([[0.3]], requires_grad=True)
    loss = began.BeganLoss(gamma=0.5, lambda_k=1e-3)
    terms = loss.generator(lambda v: v.detach() * 0, batch_of(fake.detach(), fake))
    (gradient,) = torch.autograd.grad(terms["fake"].sum(), fake)
    assert gradient.item() == pytest.approx(1.0)


def test_began_takes_the_mean_over_pixels() -> None:
    x, ae = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]]), torch.tensor([[[0.25, 0.5], [0.5, 0.0]]])
    assert began.reconstruction_error(lambda v: ae, x).item() == pytest.approx(0.3125)


def test_began_halves_its_learning_rates_when_m_stalls() -> None:
    loss = began.BeganLoss(gamma=0.5, lambda_k=1e-3)
    networks = Networks(nn.Linear(4, 2), nn.Linear(2, 2))
    loop = began.DecayingLoop(networks, loss, TrainConfig(batch=2, z_dim=4, g_lr=1e-3, d_lr=2e-3), 20)
    for _ in range(20):  # windows of two steps; the best one, then five without a better one, and so on
        loss.convergence.fill_(1.0)
        loop._close_window(1.0)
    rates = [loop.optimizers[player].param_groups[0]["lr"] for player in ("generator", "discriminator")]
    assert rates == pytest.approx([1e-3 / 8, 2e-3 / 8])
    loop._close_window(0.5)
    assert (loop.best, loop.windows_since_best) == (0.5, 0)


# -- acgan, infogan ----------------------------------------------------------------------------------------------------


def test_acgan_needs_labels() -> None:
    with pytest.raises(InputError, match="needs a label"):
        acgan.gankit_loss(DataSpec(MNIST), acgan.Options())
    with pytest.raises(InputError, match="needs a label"):  # condition vectors beside the labels
        acgan.gankit_loss(DataSpec(MNIST, ("a", "b"), 7), acgan.Options())


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
    for terms in (loss.discriminator(identity, batch), loss.generator(identity, batch)):
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
