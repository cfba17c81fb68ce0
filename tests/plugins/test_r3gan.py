"""R3GAN: the game against vectors worked out by hand, and its networks at any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from support_plugins import FAKE, REAL, batch_of, critic_of, loop_with
from support_plugins import double as float64
from torch import Tensor, nn

from gankit.contracts import Batch, DataSpec
from gankit.errors import InputError
from gankit.game.parts import Part, Step
from gankit.game.vectors import LinearCritic
from gankit_variants import r3gan
from gankit_variants.r3gan import PLANS, Options, R3ganDiscriminator, R3ganGenerator, R3ganLoss, Resample, plan_of

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 9, 13), (4, 8, 8), (2, 8, 40)]


def game(real: list[float], fake: list[float]) -> Batch:
    """Samples (score, 0) of a game in which `along` reads the scores off."""
    return batch_of(*(float64([[score, 0.0] for score in scores]) for scores in (real, fake)))


def along(samples: Tensor) -> Tensor:
    return samples[:, 0]


def d_terms(loss: R3ganLoss, score: Callable[[Tensor], Tensor], batch: Batch) -> dict[str, Tensor]:
    """The terms of the discriminator in a step in which penalties are due."""
    critic = critic_of(score, batch, penalties_due=True)
    return {**loss.discriminator(critic, batch), **loss.penalties(critic, batch)}


@pytest.mark.parametrize(
    ("fake", "d", "g"),
    [(FAKE, 0.8769184711652334, 1.5435851378318999), (FAKE[::-1], 0.42047188529281204, 1.0871385519594789)],
)
def test_scores_are_paired_by_their_place_in_the_batch(fake: list[float], d: float, g: float) -> None:
    terms = d_terms(R3ganLoss(0.0), along, game(REAL, fake))
    assert [terms[name].sum().item() for name in ("r1", "r2")] == [0.0, 0.0]
    assert terms["pair"].mean().item() == pytest.approx(d, rel=1e-13)
    batch = game(REAL, fake)
    (term,) = R3ganLoss(0.0).generator(critic_of(along, batch), batch).values()
    assert term.mean().item() == pytest.approx(g, rel=1e-13)


def test_both_penalties_are_half_gamma_times_the_squared_norm() -> None:
    batch = batch_of(torch.randn(5, 2).double(), torch.randn(5, 2).double())
    terms = d_terms(R3ganLoss(0.05), LinearCritic(3.0, 4.0), batch)
    assert {name: term.shape for name, term in terms.items()} == dict.fromkeys(("pair", "r1", "r2"), (5,))
    assert torch.allclose(terms["r1"], float64(0.625))
    assert (terms["r1"] + terms["r2"]).mean().item() == pytest.approx(1.25, rel=1e-13)


def test_the_whole_objective_of_the_discriminator() -> None:
    """Scores R and F from samples along (3, 4) / 25, so that the critic's gradient is (3, 4)."""
    weight = float64([3.0, 4.0])
    real, fake = (float64(scores)[:, None] * weight / 25 for scores in (REAL, FAKE))
    terms = d_terms(R3ganLoss(0.05), LinearCritic(3.0, 4.0), batch_of(real, fake))
    assert sum(term.mean().item() for term in terms.values()) == pytest.approx(2.1269184711652334, rel=1e-13)


def test_the_penalty_reaches_the_weights_of_the_critic_and_not_the_samples() -> None:
    network, batch = LinearCritic(3.0, 4.0), game(REAL, FAKE)
    penalty = d_terms(R3ganLoss(10.0), network, batch)["r1"]
    assert penalty.requires_grad
    assert penalty.tolist() == [125.0] * 3
    (gradient,) = torch.autograd.grad(penalty.mean(), network.weight)
    assert gradient.tolist() == [30.0, 40.0]
    assert not batch.real.requires_grad
    assert not batch.fake.requires_grad


def test_images_are_summed_over_channels_and_pixels() -> None:
    images = torch.zeros(2, 3, 4, 5)
    terms = d_terms(R3ganLoss(2.0), lambda samples: samples.sum((1, 2, 3)), batch_of(images, images))
    assert terms["r2"].tolist() == [60.0, 60.0]


def test_each_network_sees_each_batch_once_and_real_scores_are_constant_to_the_generator() -> None:
    seen: list[tuple[bool, bool]] = []

    def score(samples: Tensor) -> Tensor:
        seen.append((torch.is_grad_enabled(), samples.requires_grad and samples.is_leaf))
        return samples.sum(1)

    batch = game(REAL, FAKE)
    d_terms(R3ganLoss(1.0), score, batch)
    assert seen == [(True, True)]  # one pass for both sides; leaves: core scores them in full precision
    seen.clear()
    R3ganLoss(1.0).generator(critic_of(score, batch), batch)
    assert sorted(seen) == [(False, False), (True, False)]


class KnownScores(Part):
    """Remembers the scores that are known in each phase."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, tuple[Tensor | None, Tensor | None]] = {}

    def after_update(self, step: Step) -> dict[str, Tensor]:
        assert step.critic is not None
        self.found[step.name] = (step.critic.real, step.critic.fake)
        return {}


@pytest.mark.parametrize("penalty_every", [1, 2])  # the second step has no penalty
def test_parts_and_statistics_know_the_scores_of_the_pair(penalty_every: int) -> None:
    loop, known = loop_with(variant="r3gan", shape=(2,), penalty_every=penalty_every), KnownScores()
    loop.add_part("known", known)
    batch = Batch(torch.randn(4, 2))
    for _ in range(2):
        stats = loop.step(batch)
    real, fake = known.found["discriminator"]
    assert real is not None
    assert fake is not None
    assert real.shape == fake.shape == (4,)
    assert not real.requires_grad
    assert (float(stats["score/real"]), float(stats["score/fake"])) == (float(real.mean()), float(fake.mean()))
    assert torch.allclose(stats["d/pair"], nn.functional.softplus(fake - real).mean())


def networks(
    shape: tuple[int, ...], name: str = "small", z_dim: int = 8, condition: int = 0
) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    plan = PLANS[name]
    return R3ganGenerator(shape, z_dim, plan, condition), R3ganDiscriminator(shape, plan, condition)


def disturbed(module: nn.Module) -> nn.Module:
    """Every block begins as the identity: give all weights that are zero a value."""
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, 0.0, 0.05)
    return module


@pytest.mark.parametrize("condition", [0, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_any_size_and_one_to_four_channels(shape: tuple[int, int, int], condition: int) -> None:
    generator, discriminator = networks(shape, condition=condition)
    told = (torch.eye(5)[:3],) if condition else ()
    images = generator(torch.randn(3, 8), *told)
    assert images.shape == (3, *shape)
    assert 0.2 < images.std() < 5
    assert discriminator(images, *told).shape == (3,)


def test_every_pixel_of_an_odd_size_reaches_the_score() -> None:
    _, discriminator = networks((1, 9, 13))
    images = torch.randn(1, 1, 9, 13, requires_grad=True)
    (gradient,) = torch.autograd.grad(disturbed(discriminator)(images).sum(), images)
    assert gradient.all()


@pytest.mark.parametrize("condition", [0, 5])
def test_a_sample_does_not_depend_on_the_others_of_its_batch(condition: int) -> None:
    generator, discriminator = map(disturbed, networks((1, 12, 12), condition=condition))
    z, told = torch.randn(5, 8), (torch.eye(5),) if condition else ()
    alone = tuple(y[1:2] for y in told)
    images = generator(z, *told)
    assert torch.allclose(images[1:2], generator(z[1:2], *alone), atol=1e-5)
    assert torch.allclose(discriminator(images, *told)[1:2], discriminator(images[1:2], *alone), atol=1e-4)


def test_the_condition_changes_images_and_scores() -> None:
    generator, discriminator = networks((1, 12, 12), condition=5)
    z, y = torch.randn(2, 8), torch.eye(5)
    assert not torch.allclose(generator(z, y[:2]), generator(z, y[2:4]))
    images = torch.randn(2, 1, 12, 12)
    assert not torch.allclose(discriminator(images, y[:2]), discriminator(images, y[2:4]))


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 9, 13)], ids=str)
def test_both_networks_learn_in_double_precision(shape: tuple[int, int, int]) -> None:
    """The penalty differentiates every layer of the critic twice; the generator's loss reaches all of G."""
    generator, discriminator = (disturbed(network).double() for network in networks(shape))
    fake = generator(torch.randn(2, 8).double())
    batch = batch_of(torch.randn(2, *shape).double(), fake.detach())
    d_terms(R3ganLoss(1.0), discriminator, batch)["r2"].mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in weights(discriminator))
    batch.fake = fake
    R3ganLoss(1.0).generator(critic_of(discriminator, batch), batch)["pair"].mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in weights(generator))


def weights(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for name, parameter in module.named_parameters() if not name.endswith("bias")]


def test_the_penalty_is_differentiated_twice_correctly() -> None:
    _, discriminator = networks((1, 8, 9))
    disturbed(discriminator).double()
    assert torch.autograd.gradgradcheck(
        lambda x: discriminator(x).sum(), torch.randn(1, 1, 8, 9).double().requires_grad_()
    )


def test_a_block_begins_as_the_identity() -> None:
    x = torch.randn(2, 16, 5, 5)
    assert torch.equal(r3gan.Block(16, 4)(x), x)


def test_resampling_by_two_is_the_filter_of_the_paper() -> None:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps)[None, None]
    x = torch.randn(1, 1, 8, 8)
    halved = nn.functional.conv2d(x, kernel / 64, stride=2, padding=1)
    doubled = nn.functional.conv_transpose2d(x, kernel / 16, stride=2, padding=1)
    inside = slice(2, -2)
    assert torch.allclose(Resample((8, 8), (4, 4))(x)[..., 1:3, 1:3], halved[..., 1:3, 1:3], atol=1e-6)
    assert torch.allclose(Resample((8, 8), (16, 16))(x)[..., inside, inside], doubled[..., inside, inside], atol=1e-6)
    assert torch.allclose(Resample((7, 13), (4, 7))(torch.ones(1, 2, 7, 13)), torch.ones(1, 2, 4, 7))


def test_stages_are_those_of_the_paper() -> None:
    assert PLANS["cifar"].stages((3, 32, 32)) == [((side, side), 768) for side in (4, 8, 16, 32)]
    assert [channels for _, channels in PLANS["cifar"].stages((3, 256, 256))] == [768, 768, 768, 768, 384, 192, 96]


def test_parameter_counts_are_known() -> None:
    """Those of `cifar` are what the authors' own code counts, at 32x32 with and without labels and at 64x64."""

    def counts(shape: tuple[int, ...], name: str, condition: int = 0) -> tuple[int, ...]:
        with torch.device("meta"):
            pair = networks(shape, name, z_dim=64, condition=condition)
        return tuple(sum(parameter.numel() for parameter in network.parameters()) for network in pair)

    assert counts((3, 32, 32), "cifar") == (20_732_160, 20_683_776)
    assert counts((3, 32, 32), "cifar", condition=10) == (20_781_952, 21_280_512)
    assert counts((3, 64, 64), "cifar") == (22_429_824, 22_381_440)
    assert counts((1, 28, 28), "small") == (172_032, 163_968)
    assert counts((3, 32, 32), "small") == (172_288, 164_224)


def test_points_are_left_to_core() -> None:
    assert r3gan.gankit_generator(DataSpec((2,)), 8, Options()) is None
    assert r3gan.gankit_discriminator(DataSpec((2,)), Options()) is None


def test_the_width_can_be_chosen_in_whole_groups() -> None:
    assert plan_of(Options(networks="cifar", width=192)) == replace(PLANS["cifar"], width=192)
    assert plan_of(Options()) == PLANS["small"]
    with pytest.raises(InputError, match="width 200 is not a multiple of 16"):
        plan_of(Options(width=200))
