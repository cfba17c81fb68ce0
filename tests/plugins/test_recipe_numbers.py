"""R3GAN's recipes against formulas written from the paper and the description of its authors' code.

Sizes, schedules and initial values of each recipe, and one update of both players by plain PyTorch, with narrow
networks so that it is fast.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from support_plugins import CPU
from torch import Tensor, nn
from torch.nn import functional

from gankit.contracts import Batch, DataSpec
from gankit.game.loop import TrainingLoop
from gankit.host import recipes
from gankit.look.cost import stand_in
from gankit.run.build import build_loop, data_spec, latent_space
from gankit.run.plan import Plan, plan_run
from gankit.settings.layers import Layer
from gankit_extensions import ada


@dataclass(frozen=True)
class Preset:
    """A row of the authors' presets."""

    widths: tuple[int, ...]  # channels of each stage, coarse to fine
    group: int  # channels in a group of the 3x3 convolutions
    classes: int
    batch: int
    images: float
    decay: float  # images until the five quantities have reached their last value
    gamma: tuple[float, float]
    p: float
    halflife: float


PRESETS = {
    "r3gan-cifar10": Preset((768,) * 4, 16, 10, 512, 250e6, 2e7, (0.05, 0.005), 0.55, 5e6),
    "r3gan-ffhq64": Preset((768, 768, 768, 768, 384), 16, 0, 256, 100e6, 2e7, (2, 0.2), 0.3, 5e5),
    "r3gan-imagenet64": Preset((1536,) * 5, 32, 1000, 4096, 1e9, 2e8, (1, 0.1), 0.4, 5e7),
    "paper-r3gan": Preset((768, 768, 768, 768, 384, 192, 96), 16, 0, 256, 100e6, 2e7, (150, 15), 0.3, 5e5),
}
BLOCKS, Z, SIDE = 2, 64, 4  # blocks in a stage, length of z, side of the coarsest stage
SLOPE_GAIN = 1.3867505  # sqrt(2 / (1 + 0.2^2))
FOUND = {found.name: found for found in recipes.discover() if found.dist == "gankit"}
both = pytest.mark.parametrize("name", PRESETS)


def planned(name: str, **given: Any) -> tuple[Plan, DataSpec]:
    """A recipe as it would be run, and its data."""
    found = FOUND[name]
    given = {"recipe": name, "precision": "fp32", "device": "cpu", **given}
    if "data" not in found.recipe.settings:
        given["data"] = "to-be-given"
    plan = plan_run([Layer("argument", given)])
    data = stand_in(found.recipe.data, samples=4)
    assert data is not None
    return plan, data_spec(data, latent_space(plan, data))


def built(name: str, width: int) -> tuple[TrainingLoop, DataSpec]:
    """The loop of a recipe for batches of two, with narrow networks."""
    plan, data = planned(name, batch=2, options={"width": width})
    return build_loop(plan, data, CPU), data


def v(images: float, base: float, final: float, decay: float) -> float:
    """The authors' cosine for all five quantities."""
    return base + (1 - 0.5 * (1 + math.cos(math.pi * images / decay))) * (final - base) if images <= decay else final


@both
def test_the_networks_have_as_many_parameters_as_their_layers(name: str) -> None:
    """A block: 1x1 C -> 2C, 3x3 in groups, 1x1 2C -> C, and two biases of 2C channels."""
    preset = PRESETS[name]
    widths, width = preset.widths, preset.widths[0]
    blocks = sum(BLOCKS * (2 * c * c + 2 * c * preset.group * 9 + 2 * c * c + 2 * c + 2 * c) for c in widths)
    transitions = sum(a * b for a, b in itertools.pairwise(widths) if a != b)
    trunk = blocks + transitions + 3 * widths[-1] + SIDE * SIDE * width
    inputs = Z + (Z if preset.classes else 0)
    g = trunk + inputs * width + preset.classes * Z
    d = trunk + width * (width if preset.classes else 1) + preset.classes * width
    plan, data = planned(name)
    hook, options, z_dim = plan.composition.hook, plan.live.options, plan.config.z_dim
    with torch.device("meta"):
        output = hook.gankit_loss(data=data, options=options).output
        networks = (
            hook.gankit_generator(data=data, z_dim=z_dim, options=options),
            hook.gankit_discriminator(data=data, options=options, output=output, z_dim=z_dim),
        )
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [g, d]


@both
def test_the_settings_are_those_of_the_preset(name: str) -> None:
    preset, (plan, data) = PRESETS[name], planned(name)
    config = plan.config
    assert (config.batch, config.images, config.z_dim) == (preset.batch, preset.images, Z)
    assert (config.conditional, data.condition) == (preset.classes > 0, preset.classes)
    assert (config.g_reals, config.d_steps, config.penalty_every, config.mirror) == ("fresh", 1, 1, True)
    assert (config.optimizer, config.betas[0], config.z_prior) == ("adam", 0.0, "normal")
    assert not config.reuse_fakes
    assert ada.shares_of(plan.extension_options["ada"]["transforms"]) == {
        **dict.fromkeys(["xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac", "cutout"], 1.0),
        **dict.fromkeys(["brightness", "contrast", "lumaflip", "hue", "saturation"], 0.5),
        "imgfilter": 0.0,
        "noise": 0.0,
    }


@both
def test_five_quantities_follow_one_cosine(name: str) -> None:
    preset, (plan, _) = PRESETS[name], planned(name)
    ends = {
        "g_lr": (2e-4, 5e-5),
        "d_lr": (2e-4, 5e-5),
        "betas.1": (0.9, 0.99),
        "options.gamma": preset.gamma,
        "options.ada.p": (0.0, preset.p),
        "ema_halflife_images": (0.0, preset.halflife),
    }
    assert plan.schedules.keys() == ends.keys()
    for key, (base, final) in ends.items():
        assert v(preset.decay / 2, base, final, preset.decay) == pytest.approx((base + final) / 2)
        for images in (0.0, preset.decay / 2, preset.decay, preset.images):
            found = plan.schedules[key].at(images, plan.config.total_images)
            assert found == pytest.approx(v(images, base, final, preset.decay)), (key, images)


@pytest.mark.parametrize(("name", "width"), [("r3gan-cifar10", 192), ("r3gan-ffhq64", 192), ("r3gan-imagenet64", 192)])
def test_initial_values_have_the_spread_of_the_authors(name: str, width: int) -> None:
    """W ~ N(0, gain^2 / fan_in); within a block Fix-up's 1.3867505 L^(-1/4) for L blocks in all, and 0 at its end."""
    torch.manual_seed(0)
    preset, (loop, data) = PRESETS[name], built(name, width)
    depth = BLOCKS * len(preset.widths)
    gains = [SLOPE_GAIN * depth**-0.25, SLOPE_GAIN * depth**-0.25, 0.0]
    for network in (loop.networks.generator, loop.networks.discriminator):
        branches = [module for module in network.modules() if type(module).__name__ == "Block"]
        assert len(branches) == depth
        inside = set()
        for branch in branches:
            convolutions = [layer for layer in branch.modules() if isinstance(layer, nn.Conv2d)]
            assert [layer.kernel_size[0] for layer in convolutions] == [1, 3, 1]
            assert convolutions[1].in_channels // convolutions[1].groups == preset.group
            assert not any(bias.any() for key, bias in branch.named_parameters() if key.endswith("bias"))
            for layer, gain in zip(convolutions, gains, strict=True):
                check_spread(layer.weight, gain, layer.weight[0].numel())
            inside |= set(convolutions)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d) and layer not in inside:
                assert layer.bias is None
                check_spread(layer.weight, 1.0, layer.in_channels)
    g, d = loop.networks.generator, loop.networks.discriminator
    check_spread(g.basis, 1.0, 1)
    check_spread(g.scale.weight, 1.0, 2 * Z if data.condition else Z)
    check_spread(d.basis, 1.0, SIDE * SIDE)  # a depthwise convolution of 4x4
    check_spread(d.score.weight, 1.0, width)
    if data.condition:
        check_spread(g.embed.weight, 1.0, data.condition)
        check_spread(d.embed.weight, width**-0.5, data.condition)


def check_spread(weight: Tensor, gain: float, fan_in: int) -> None:
    """Within five standard deviations of an estimate from so many numbers."""
    expected = gain / math.sqrt(fan_in)
    found = weight.detach().double().square().mean().sqrt().item()
    assert found == pytest.approx(expected, rel=5 / math.sqrt(2 * weight.numel()), abs=1e-12)


# -- one update of both players ----------------------------------------------------------------------------------------


def resampled(x: Tensor, *, up: bool) -> Tensor:
    """By two with [1, 3, 3, 1] and zeros outside, a convolution for each channel."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4) / (16 if up else 64)
    convolve = functional.conv_transpose2d if up else functional.conv2d
    return convolve(x, kernel, stride=2, padding=1, groups=x.shape[1])


def blocks(x: Tensor, p: Iterator[Tensor], group: int) -> Tensor:
    """The blocks of a stage; the weights come in order."""
    for _ in range(BLOCKS):
        y = functional.leaky_relu(functional.conv2d(x, next(p), next(p)), 0.2)
        y = functional.leaky_relu(
            functional.conv2d(y, next(p), next(p), padding=1, groups=2 * x.shape[1] // group), 0.2
        )
        x = x + functional.conv2d(y, next(p))
    return x


def plain_generator(network: Any, z: Tensor, y: Tensor | None, widths: list[int], group: int) -> Tensor:
    """The authors' generator with the weights of ours: each stage resamples, and then has its blocks."""
    p = iter(list(network.layers.parameters()))
    z = z if y is None else torch.cat([z, y @ network.embed.weight.T], dim=1)
    x = network.basis * (z @ network.scale.weight.T)[:, :, None, None]
    for stage, width in enumerate(widths):
        if stage and width != widths[stage - 1]:
            x = functional.conv2d(x, next(p))
        x = blocks(resampled(x, up=True) if stage else x, p, group)
    return functional.conv2d(x, next(p))


def plain_discriminator(network: Any, x: Tensor, y: Tensor | None, widths: list[int], group: int) -> Tensor:
    """The authors' discriminator with the weights of ours: each stage has its blocks, and then resamples."""
    p = iter(list(network.layers.parameters()))
    x = functional.conv2d(x, next(p))
    for stage in reversed(range(len(widths))):
        x = blocks(x, p, group)
        if stage:
            x = resampled(x, up=False)
            x = functional.conv2d(x, next(p)) if widths[stage] != widths[stage - 1] else x
    features = functional.conv2d(x, network.basis[:, None], groups=x.shape[1]).flatten(1) @ network.score.weight.T
    return features[:, 0] if y is None else (features * (y @ network.embed.weight.T)).sum(1)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["r3gan-cifar10", "r3gan-ffhq64", "r3gan-imagenet64"])
def test_one_update_is_that_of_plain_code(name: str, share: float) -> None:
    """At 0, half and all of the schedules, through the augmentation, whose random numbers are the same in both.

    Penalties are taken at images before they are augmented. Adam's first step is rate * g / (|g| + 1e-8).
    """
    torch.manual_seed(0)
    preset, (loop, data) = PRESETS[name], built(name, width := 32)
    widths = [max(preset.group, width * c // preset.widths[0]) for c in preset.widths]
    g, d = loop.networks.generator, loop.networks.discriminator
    for parameter in (*g.parameters(), *d.parameters()):
        if not parameter.any():  # each block begins as the identity
            nn.init.normal_(parameter, 0.0, 0.05)
    loop.steps = int(share * preset.decay) // 2
    part = loop.parts["ada"]
    assert isinstance(part, ada.Ada)
    pipeline, given = part.pipeline, []

    def augmented(images: Tensor, p: Tensor | float) -> Tensor:
        given.append(float(p))
        torch.manual_seed(7)
        return pipeline(images, p)

    part.pipeline = augmented  # type: ignore[assignment]
    real, fresh = torch.randn(2, *data.shape), torch.randn(2, *data.shape)
    y, y_fresh = (torch.eye(data.condition)[rows] if data.condition else None for rows in ([0, 3], [2, 1]))
    z_d, z_g = torch.randn(2, Z), torch.randn(2, Z)
    draws = iter([z_d, z_g])
    loop.sample_z = lambda n: next(draws)  # type: ignore[method-assign]

    n = loop.steps * 2
    gamma, rate, p = (v(n, *ends, preset.decay) for ends in (preset.gamma, (2e-4, 5e-5), (0.0, preset.p)))
    twice = None if y is None else torch.cat([y, y])
    fake = plain_generator(g, z_d, y, widths, preset.group).detach()
    points = torch.cat([real, fake]).requires_grad_()
    scores = plain_discriminator(d, augmented(points, p), twice, widths, preset.group)
    (slopes,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
    r, f = scores.chunk(2)
    r1, r2 = slopes.square().sum((1, 2, 3)).chunk(2)
    d_loss = functional.softplus(f - r).mean() + gamma / 2 * (r1.mean() + r2.mean())
    expected = {"d": step_of_adam(list(d.parameters()), d_loss, rate)}
    old = [parameter.detach().clone() for parameter in d.parameters()]
    for parameter, (new, _) in zip(d.parameters(), expected["d"], strict=True):
        parameter.data.copy_(new)  # G's phase comes after D's
    with torch.no_grad():
        r = plain_discriminator(d, augmented(fresh, p), y_fresh, widths, preset.group)
    images = plain_generator(g, z_g, y_fresh, widths, preset.group)
    f = plain_discriminator(d, augmented(images, p), y_fresh, widths, preset.group)
    g_loss = functional.softplus(r - f).mean()
    expected["g"] = step_of_adam(list(g.parameters()), g_loss, rate)
    for parameter, value in zip(d.parameters(), old, strict=True):
        parameter.data.copy_(value)

    given.clear()
    stats = loop.step(Batch(real, condition=y, fresh=Batch(fresh, condition=y_fresh)))
    assert given == pytest.approx([p] * 3)
    assert float(stats["d/pair"] + stats["d/r1"] + stats["d/r2"]) == pytest.approx(d_loss.item(), rel=1e-4)
    assert float(stats["g/pair"]) == pytest.approx(g_loss.item(), rel=1e-3)
    assert loop.players["discriminator"].optimizer.param_groups[0]["betas"] == pytest.approx(
        (0.0, v(n, 0.9, 0.99, preset.decay))
    )
    for network, key in ((d, "d"), (g, "g")):
        for parameter, (new, slope) in zip(network.parameters(), expected[key], strict=True):
            # The step is the sign of the slope times the rate, and a slope of nearly zero has the sign of its rounding.
            clear = slope.abs() > 1e-3 * slope.abs().max()
            assert (clear | (slope == 0)).float().mean() > 0.5  # a class that is not in the batch has none
            assert torch.allclose(parameter[clear], new[clear], atol=0.02 * rate)


def step_of_adam(parameters: list[nn.Parameter], loss: Tensor, rate: float) -> list[tuple[Tensor, Tensor]]:
    """Each parameter after Adam's first step, with unbiased averages of the slope and of its square; and the slope."""
    slopes = torch.autograd.grad(loss, parameters)
    steps = [rate * slope / (slope.abs() + 1e-8) for slope in slopes]
    return [(p.detach() - step, slope) for p, step, slope in zip(parameters, steps, slopes, strict=True)]
