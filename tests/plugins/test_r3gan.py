"""R3GAN: the game against vectors worked out by hand, and its networks at any size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from support_plugins import FAKE, MNIST, REAL, batch_of, critic_of, loop_with
from support_plugins import double as float64
from torch import Tensor, nn

from gankit.contracts import Batch, DataSpec
from gankit.errors import InputError
from gankit.game.parts import Part, Step
from gankit.game.vectors import LinearCritic
from gankit_extensions import ada
from gankit_variants import r3gan
from gankit_variants.r3gan import PLANS, Options, R3ganDiscriminator, R3ganGenerator, R3ganLoss, Resample

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
    real, fake = (samples.clone().requires_grad_() for samples in (batch.real, batch.fake))
    attached = Batch(real * 1, fake * 1)
    terms = R3ganLoss(1.0).generator(critic_of(score, attached), attached)
    assert len(seen) == 2
    of_real, of_fake = torch.autograd.grad(terms["pair"].sum(), [real, fake], allow_unused=True)
    assert of_real is None
    assert of_fake.abs().min() > 0


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
    batch = Batch(torch.randn(4, 2), fresh=Batch(torch.randn(4, 2)))
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
    assert torch.allclose(Resample((8, 8), (4, 4), zero_border=True)(x), halved, atol=1e-6)
    assert torch.allclose(Resample((8, 8), (16, 16), zero_border=True)(x), doubled, atol=1e-6)
    inside = slice(2, -2)
    found = Resample((8, 8), (16, 16), zero_border=False)(x)
    assert torch.allclose(found[..., inside, inside], doubled[..., inside, inside], atol=1e-6)
    assert not torch.allclose(found, doubled, atol=1e-3)


@pytest.mark.parametrize(("before", "after"), [(4, 8), (8, 4), (4, 7), (7, 4), (13, 7), (1, 2), (2, 1)])
def test_without_zeros_at_the_border_resampling_is_pytorchs(before: int, after: int) -> None:
    x = torch.randn(1, 2, before, before)
    wanted = nn.functional.interpolate(x, (after, after), mode="bilinear", antialias=True)
    resample = Resample((before, before), (after, after), zero_border=False)
    assert torch.allclose(resample(x), wanted, atol=1e-6)
    assert torch.allclose(resample(torch.ones_like(x)), torch.ones_like(wanted))


def test_an_odd_size_fades_at_its_border_too() -> None:
    assert r3gan.bilinear(8, 4, zero_border=True).sum(1).tolist() == [0.875, 1, 1, 0.875]
    assert r3gan.bilinear(7, 4, zero_border=True).sum(1).tolist() == pytest.approx([0.875, 1, 1, 0.875])


def test_stages_are_those_of_the_paper() -> None:
    assert PLANS["cifar"].stages((3, 32, 32)) == [((side, side), 768) for side in (4, 8, 16, 32)]
    assert [channels for _, channels in PLANS["ffhq"].stages((3, 64, 64))] == [768, 768, 768, 768, 384]
    assert [channels for _, channels in PLANS["ffhq"].stages((3, 256, 256))] == [768, 768, 768, 768, 384, 192, 96]
    assert [channels for _, channels in PLANS["imagenet"].stages((3, 32, 32))] == [1536] * 4
    assert [channels for _, channels in PLANS["imagenet"].stages((3, 64, 64))] == [1536] * 5


@pytest.mark.parametrize(
    ("name", "side", "groups"), [("cifar", 32, [96] * 4), ("ffhq", 64, [96] * 4 + [48]), ("imagenet", 64, [96] * 5)]
)
def test_each_stage_has_two_blocks_in_the_groups_of_the_paper(name: str, side: int, groups: list[int]) -> None:
    """The cardinalities of the authors' presets: 16 channels a group, 32 for ImageNet."""
    with torch.device("meta"):
        pair = networks((3, side, side), name, z_dim=64)
    for network, order in zip(pair, (1, -1), strict=True):
        found = [layer.groups for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.groups > 1]
        assert found == [count for count in groups[::order] for _ in range(2)]


def test_a_width_makes_a_mini_version() -> None:
    data = DataSpec((3, 32, 32))
    for width, millions in ((384, 5.6), (256, 2.7), (192, 1.6)):
        options = Options(networks="cifar", width=width)
        plan = r3gan.plan_of(data, options)
        assert plan is not None
        assert [channels for _, channels in plan.stages(data.shape)] == [width] * 4
        with torch.device("meta"):
            pair = r3gan.gankit_generator(data, 64, options), r3gan.gankit_discriminator(data, options)
        for network in pair:
            assert network is not None
            assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 1) == millions


def test_a_width_that_fits_no_groups_or_no_networks_is_refused() -> None:
    with pytest.raises(InputError, match="blocks of 200 channels, which groups of 16 do not divide"):
        r3gan.gankit_generator(DataSpec((3, 32, 32)), 64, Options(networks="cifar", width=100))
    for data, options in ((DataSpec((2,)), Options(width=64)), (DataSpec(MNIST), Options(networks="core", width=64))):
        with pytest.raises(InputError, match="width is for r3gan's own networks"):
            r3gan.gankit_discriminator(data, options)


# -- the recipe, against an implementation of its own ------------------------------------------------------------------

MINI = {"networks": "cifar", "width": 16}
SIDE, WIDTHS, BLOCKS, GROUP = 16, [16, 16, 16], 2, 16  # coarse to fine: 4, 8 and 16 pixels


def filtered(x: Tensor, *, up: bool) -> Tensor:
    """Resampling by two with [1, 3, 3, 1] and zeros outside, a convolution for each channel."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]).to(x)
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4) / (16 if up else 64)
    convolve = nn.functional.conv_transpose2d if up else nn.functional.conv2d
    return convolve(x, kernel, stride=2, padding=1, groups=x.shape[1])


def plain_block(x: Tensor, p: Iterator[Tensor]) -> Tensor:
    y = nn.functional.leaky_relu(nn.functional.conv2d(x, next(p), next(p)), 0.2)
    y = nn.functional.conv2d(y, next(p), next(p), padding=1, groups=2 * x.shape[1] // GROUP)
    return x + nn.functional.conv2d(nn.functional.leaky_relu(y, 0.2), next(p))


def plain_generator(network: nn.Module, z: Tensor, y: Tensor | None = None) -> Tensor:
    """The authors' generator, stage by stage, with the weights of ours."""
    p = iter(list(network.layers.parameters()))
    z = z if y is None else torch.cat([z, y @ network.embed.weight.T], dim=1)
    x = network.basis * (z @ network.scale.weight.T)[:, :, None, None]
    for stage in range(len(WIDTHS)):
        x = filtered(x, up=True) if stage else x
        for _ in range(BLOCKS):
            x = plain_block(x, p)
    return nn.functional.conv2d(x, next(p))


def plain_discriminator(network: nn.Module, x: Tensor, y: Tensor | None = None) -> Tensor:
    """The authors' discriminator, with the weights of ours."""
    p = iter(list(network.layers.parameters()))
    x = nn.functional.conv2d(x, next(p))
    for stage in range(len(WIDTHS)):
        x = filtered(x, up=False) if stage else x
        for _ in range(BLOCKS):
            x = plain_block(x, p)
    features = nn.functional.conv2d(x, network.basis[:, None], groups=x.shape[1]).flatten(1) @ network.score.weight.T
    return features[:, 0] if y is None else (features * (y @ network.embed.weight.T)).sum(1)


@pytest.mark.parametrize("condition", [0, 3])
def test_the_papers_networks_give_what_plain_code_gives_with_their_weights(condition: int) -> None:
    torch.manual_seed(0)
    plan = replace(PLANS["cifar"], width=16)
    generator = disturbed(R3ganGenerator((3, SIDE, SIDE), 8, plan, condition))
    discriminator = disturbed(R3ganDiscriminator((3, SIDE, SIDE), plan, condition))
    z, told = torch.randn(3, 8), (torch.eye(3),) if condition else ()
    images = generator(z, *told)
    assert torch.allclose(images, plain_generator(generator, z, *told), atol=1e-5)
    assert torch.allclose(discriminator(images, *told), plain_discriminator(discriminator, images, *told), atol=1e-4)


def test_initial_weights_have_the_spread_of_the_paper() -> None:
    """N(0, 1/fan_in); within a block 1.3867505 L^(-1/4) times that, and zero for its last layer (L blocks in all)."""
    with torch.no_grad():
        generator, discriminator = networks((3, 32, 32), "cifar", z_dim=64)
        block = next(layer for layer in generator.modules() if isinstance(layer, r3gan.Block))
        first, _, second, _, last = block.branch
        gain = 1.3867505 * 8**-0.25
        assert first.weight.std().item() == pytest.approx(gain / 768**0.5, rel=0.01)
        assert second.weight.std().item() == pytest.approx(gain / (16 * 9) ** 0.5, rel=0.01)
        assert not last.weight.any()
        assert not first.bias.any()
        assert generator.scale.weight.std().item() == pytest.approx(64**-0.5, rel=0.02)
        assert generator.basis.std().item() == pytest.approx(1, rel=0.02)
        assert generator.layers[-2].weight.std().item() == pytest.approx(768**-0.5, rel=0.05)
        assert discriminator.basis.std().item() == pytest.approx(1 / 4, rel=0.02)
        assert discriminator.score.weight.std().item() == pytest.approx(768**-0.5, rel=0.1)


def test_one_step_is_that_of_plain_code() -> None:
    """Both updates of a step: gradients by autograd on the plain networks, and Adam's first step by its formula."""
    rate, beta2, gamma, n = 1e-3, 0.9, 0.5, 4
    loop = loop_with(
        variant="r3gan", shape=(3, SIDE, SIDE), options={**MINI, "gamma": gamma}, g_lr=rate, d_lr=rate,
        betas=(0.0, beta2), ema_halflife_images="cosine(0, 5M, 20M)",
    )  # fmt: skip
    g, d = disturbed(loop.networks.generator), disturbed(loop.networks.discriminator)
    torch.manual_seed(1)
    real, fresh, z_d, z_g = (torch.randn(n, *shape) for shape in [(3, SIDE, SIDE)] * 2 + [(8,)] * 2)
    draws = iter([z_d, z_g])
    loop.sample_z = lambda n: next(draws)  # type: ignore[method-assign]
    found: dict[str, list[Tensor]] = {}
    for name, player in loop.players.items():
        parameters = list(player.parameters.values())
        player.optimizer.register_step_pre_hook(
            lambda *_, name=name, parameters=parameters: found.update({name: [p.grad.clone() for p in parameters]})
        )
    before = {name: [p.detach().clone() for p in player.parameters.values()] for name, player in loop.players.items()}

    x, fake = real.clone().requires_grad_(), plain_generator(g, z_d).detach().requires_grad_()
    r, f = plain_discriminator(d, x), plain_discriminator(d, fake)
    slopes = torch.autograd.grad(r.sum() + f.sum(), [x, fake], create_graph=True)
    penalty = sum(slope.square().sum((1, 2, 3)) for slope in slopes)
    wanted = (torch.log1p(torch.exp(f - r)) + gamma / 2 * penalty).mean()
    gradients = {"discriminator": torch.autograd.grad(wanted, list(d.parameters()))}
    stats = loop.step(Batch(real, fresh=Batch(fresh)))
    # The generator has not moved when D's new scores of its fakes and of the fresh samples are compared.
    for p, old in zip(g.parameters(), before["generator"], strict=True):
        p.data.copy_(old)
    scores = plain_discriminator(d, plain_generator(g, z_g)) - plain_discriminator(d, fresh)
    g_loss = torch.log1p(torch.exp(-scores)).mean()
    gradients["generator"] = torch.autograd.grad(g_loss, list(g.parameters()))

    assert float(stats["score/real"]) == pytest.approx(r.mean().item(), abs=1e-4)
    assert float(stats["d/pair"] + stats["d/r1"] + stats["d/r2"]) == pytest.approx(wanted.item(), rel=1e-4)
    assert float(stats["g/pair"]) == pytest.approx(g_loss.item(), rel=1e-4)
    for name, expected in gradients.items():
        for ours, plain in zip(found[name], expected, strict=True):
            assert torch.allclose(ours, plain, rtol=1e-3, atol=1e-5 * float(plain.abs().max())), name
    # m = g, v = (1 - beta2) g^2, both divided by one minus their rate: the step is g / (|g| + 1e-8).
    for p, old, slope in zip(d.parameters(), before["discriminator"], found["discriminator"], strict=True):
        assert torch.allclose(p, old - rate * slope / (slope.abs() + 1e-8), atol=1e-6)
    for average, p, old, slope in zip(
        loop.generator.parameters(), g.parameters(), before["generator"], found["generator"], strict=True
    ):
        assert torch.equal(p, old)
        # With a half-life of zero the average is the generator itself.
        assert torch.allclose(average, old - rate * slope / (slope.abs() + 1e-8), atol=1e-6)


def test_fakes_of_other_labels_are_not_compared_with_fresh_samples() -> None:
    settings = {"variant": "r3gan", "shape": (2,), "reuse_fakes": True}
    with pytest.raises(InputError, match="and G's phase has others"):
        loop_with(conditional=True, **settings)
    loop_with(**settings)
    loop_with(conditional=True, g_reals="shared", **settings)


def v(images: int, base: float, final: float, decay: int) -> float:
    """The authors' cosine for all five quantities."""
    return base + (1 - 0.5 * (1 + math.cos(math.pi * min(images / decay, 1)))) * (final - base)


@pytest.mark.parametrize("images", [0, 4, 5_000_000, 20_000_000, 30_000_000])
def test_the_five_schedules_of_the_paper_can_be_written(images: int) -> None:
    """Those of CIFAR-10: learning rates, beta2, gamma, the augmentation's p and the half-life of the average."""
    loop = loop_with(
        "ada", variant="r3gan", shape=(3, 8, 8), g_lr="cosine(2e-4, 5e-5, 20M)", d_lr="cosine(2e-4, 5e-5, 20M)",
        betas="0,cosine(0.9, 0.99, 20M)", ema_halflife_images="cosine(0, 5M, 20M)",
        options={"gamma": "cosine(0.05, 0.005, 20M)", "ada": {"p": "cosine(0, 0.55, 20M)"}},
    )  # fmt: skip
    loop.steps = images // 4
    batch = Batch(torch.randn(4, 3, 8, 8), fresh=Batch(torch.randn(4, 3, 8, 8)))
    assert "ada/p" not in loop.step(batch)  # there is no controller
    found = loop.scheduled()
    expected = {
        "lr/generator": v(images, 2e-4, 5e-5, 20_000_000),
        "lr/discriminator": v(images, 2e-4, 5e-5, 20_000_000),
        "beta2/generator": v(images, 0.9, 0.99, 20_000_000),
        "beta2/discriminator": v(images, 0.9, 0.99, 20_000_000),
        "ema_halflife": v(images + 4, 0, 5_000_000, 20_000_000),  # it is used at the end of the step
        "options.gamma": v(images, 0.05, 0.005, 20_000_000),
        "options.ada.p": v(images, 0, 0.55, 20_000_000),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    part = loop.parts["ada"]
    assert isinstance(part, ada.Ada)
    assert part.options.p is not None
    assert float(part.options.p) == pytest.approx(expected["options.ada.p"])
    assert isinstance(loop.loss, R3ganLoss)
    assert float(loop.loss.gamma) == pytest.approx(expected["options.gamma"])
    group = loop.players["discriminator"].optimizer.param_groups[0]
    assert (float(group["lr"]), group["betas"][1]) == pytest.approx(
        (expected["lr/generator"], expected["beta2/generator"])
    )
    if images == 0:
        assert all(map(torch.equal, loop.generator.parameters(), loop.networks.generator.parameters()))


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
