"""StyleGAN2: formulas against values worked out by hand, its networks against plain code, and the recipe's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import gankit as command
from support_plugins import FAKE, REAL, batch_of, critic_of, loop_with
from support_plugins import double as float64
from support_runs import assert_same_state, state_of
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import gankit
from gankit.contracts import Batch, DataSpec
from gankit.errors import InputError
from gankit.game.critic import coupling
from gankit.game.loop import TrainingLoop
from gankit.game.penalties import gradient_penalty, leaf
from gankit.game.vectors import LinearCritic
from gankit.sample.walks import mixed, stops_of
from gankit_variants import stylegan2
from gankit_variants.stylegan2 import PLANS, Options, StyleGan2Loss, path_lengths
from gankit_variants.stylegan2_layers import Convolution, Linear, MinibatchDeviation, ModulatedConvolution
from gankit_variants.stylegan2_networks import Plan, StyleGan2Discriminator, StyleGan2Generator

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 9, 13), (4, 8, 8), (2, 8, 40), (1, 3, 2)]
MINI = Plan(width=16, full=64, w_dim=12, mapping=2, label_mapping=2, residual=False, group=4)


def networks(
    shape: tuple[int, ...] = (3, 16, 16), plan: Plan = MINI, condition: int = 0, **more: Any
) -> tuple[StyleGan2Generator, StyleGan2Discriminator]:
    torch.manual_seed(0)
    return StyleGan2Generator(shape, 8, plan, condition, **more), StyleGan2Discriminator(shape, plan, condition)


def disturbed(module: nn.Module) -> nn.Module:
    """Biases and the strengths of noise begin at zero: give them values."""
    for parameter in module.parameters():
        if not parameter.detach().any():
            nn.init.normal_(parameter, 0.0, 0.1)
    return module


# -- the game ----------------------------------------------------------------------------------------------------------


def test_the_logistic_game_with_r1_at_real_samples() -> None:
    along = lambda x: x[:, 0]  # noqa: E731
    real, fake = (float64([[score, 0.0] for score in scores]) for scores in (REAL, FAKE))
    batch = batch_of(real, fake)
    terms = StyleGan2Loss().discriminator(critic_of(along, batch), batch)
    assert {name: term.mean().item() for name, term in terms.items()} == {
        "real": pytest.approx(0.6380888942471007, rel=1e-13),
        "fake": pytest.approx(0.7359407153536401, rel=1e-13),
    }
    (g,) = StyleGan2Loss().generator(critic_of(along, batch), batch).values()
    assert g.mean().item() == pytest.approx(0.902607382020307, rel=1e-13)
    critic = critic_of(LinearCritic(3.0, 4.0), batch)
    assert StyleGan2Loss(10.0).penalties(critic, batch)["r1"].tolist() == [125.0] * 3


def test_path_lengths_of_1_and_3() -> None:
    """Their mean 2 moves a from 0 to 0.02: 2 ((1 - 0.02)^2 + (3 - 0.02)^2) / 2; a follows the lengths in the gradient."""
    loss, lengths = StyleGan2Loss(path_length=2.0).double(), float64([1.0, 3.0]).requires_grad_()
    penalty = loss.path_penalty(lengths).mean()
    assert penalty.item() == pytest.approx(9.8408, rel=1e-12)
    assert loss.path_mean.item() == pytest.approx(0.02, rel=1e-12)
    (slopes,) = torch.autograd.grad(penalty, lengths)
    own = [2 * 0.98, 2 * 2.98]  # of 2 (l_i - a)^2 / 2, and a itself moves by 0.005 with each length
    assert slopes.tolist() == pytest.approx([value - 0.005 * sum(own) for value in own], rel=1e-12)


def test_the_path_length_of_a_linear_synthesis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A = [[1, 0], [0, 2], [1, 1], [0, 0]] makes 2x2 pixels of the mean of two equal w; the noise is 1/2 after scaling."""
    matrix = float64([[1, 0], [0, 2], [1, 1], [0, 0]])

    class Synthesis:
        def synthesise(self, ws: Tensor) -> Tensor:
            return (ws.mean(1) @ matrix.T).reshape(-1, 1, 2, 2)

    monkeypatch.setattr(torch, "randn_like", torch.ones_like)  # over the root of 4 pixels
    ws = torch.randn(3, 2, 2).double().requires_grad_()
    lengths = path_lengths(Synthesis(), ws)  # type: ignore[arg-type]
    assert lengths.tolist() == pytest.approx([0.9013878188659973] * 3, rel=1e-12)


def test_path_lengths_come_in_every_fourth_step_of_g_and_weigh_four_times() -> None:
    options = {"width": 8, "path_length": 2.0}
    loop = loop_with(variant="stylegan2", options=options, d_steps=2, batch=4)
    seen, due = [], []
    path_penalty = loop.loss.path_penalty
    loop.loss.path_penalty = lambda lengths: seen.append(path_penalty(lengths)) or seen[-1]  # type: ignore[attr-defined, func-returns-value]
    for step in range(17):
        torch.manual_seed(step)
        stats = loop.step(Batch(torch.randn(4, 3, 16, 16)))
        if "g/path" in stats:
            due.append(step)
            assert seen[-1].shape == (2,)  # half of the batch
            assert float(stats["g/path"]) == pytest.approx(4 * seen[-1].mean().item())
    assert due == [7, 15]  # after 8 batches, which are 4 steps of G
    assert float(loop.loss.path_mean) > 0
    assert not loop_with(variant="stylegan2", options={"width": 8}).phases.keys() & {"path_length"}


# -- layers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_demodulation_gives_outputs_of_variance_one_for_any_style(twice: bool, scale: float) -> None:
    torch.manual_seed(0)
    layer = ModulatedConvolution(64, 48, 3, 10, demodulate=True, twice=twice)
    x, w = torch.randn(4, 64, 24, 24), torch.randn(4, 10)
    with torch.no_grad():
        layer.affine.weight.mul_(scale)
        layer.affine.bias.mul_(scale)
        y, demodulation = layer(x, w)
    assert demodulation is not None
    inside = (y * demodulation)[:, :, 2:-2, 2:-2]
    if not twice:
        assert inside.std().item() == pytest.approx(1, abs=0.03)
        return
    # The blur of white noise: 4 times the weights, a quarter of the pixels, and the power of [1, 3, 3, 1] / 8 along
    # each axis of the products with a kernel of three numbers a pixel apart.
    assert 0.5 < inside.std().item() < 1


def per_sample(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool) -> Tensor:
    """The definition: a kernel of its own for each sample, one after the other."""
    found = []
    for image, style in zip(x, styles, strict=True):
        kernel = weight / math.sqrt(weight[0].numel()) * style[None, :, None, None]
        if demodulate:
            kernel = kernel * (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        found.append(F.conv2d(image[None], kernel, padding=weight.shape[2] // 2))
    return torch.cat(found)


@pytest.mark.parametrize(("size", "demodulate"), [(3, True), (1, False)])
def test_modulation_is_a_kernel_for_each_sample(size: int, demodulate: bool) -> None:
    torch.manual_seed(0)
    layer = ModulatedConvolution(6, 5, size, 4, demodulate=demodulate, twice=False).double()
    x, w = torch.randn(3, 6, 7, 5).double(), torch.randn(3, 4).double()
    styles = w @ layer.affine.weight.T / 2 + 1
    y, demodulation = layer(x, w)
    y = y if demodulation is None else y * demodulation
    assert torch.allclose(y, per_sample(x, layer.weight, styles, demodulate), atol=1e-12)


def test_equalised_rates_one_step_moves_every_layer_by_its_own_scale() -> None:
    """Adam moves each stored weight by the rate, and so the used one by rate / sqrt(fan in); a mapping's by 0.01 of it."""
    wide, narrow, mapping = Linear(400, 3), Linear(4, 3), Linear(400, 3, activate=True, lr=0.01)
    assert narrow.weight.detach().abs().max() < 5
    assert mapping.weight.std().item() == pytest.approx(100, rel=0.1)
    for layer, scale in ((wide, 1 / 20), (narrow, 1 / 2), (mapping, 0.01 * math.sqrt(2) / 20)):
        x = torch.randn(1, layer.weight.shape[1])
        before = layer(x).detach()
        with torch.no_grad():
            layer.weight.add_(0.25 * x.sign())
        moved = (layer(x) - before).detach()
        gain = torch.where(before < 0, 0.2, 1.0) if layer.activate else torch.ones(())
        assert torch.allclose(moved, 0.25 * scale * gain * x.abs().sum(), rtol=1e-3, atol=1e-4) or layer.activate
    outputs = torch.randn(2000, 400) @ wide.weight.detach().T / 20
    assert outputs.std().item() == pytest.approx(1, rel=0.15)
    kept = Linear(400, 400, activate=True, lr=0.01)(torch.randn(500, 400))
    assert kept.square().mean().sqrt().item() == pytest.approx(1, rel=0.1)  # the gain keeps the second moment


def test_the_minibatch_deviation_of_1_and_3() -> None:
    """Of 1 and 3: sqrt(1 + 1e-8) for each number; a group is neighbours, and another group has its own."""
    x = float64([1.0, 3.0, 0.0, 0.0])[:, None, None, None].expand(4, 2, 1, 3)
    y = MinibatchDeviation(2)(x)
    assert y.shape == (4, 3, 1, 3)
    assert torch.equal(y[:, :2], x)
    assert y[:, 2, 0, 0].tolist() == pytest.approx([1.000000005, 1.000000005, 1e-4, 1e-4], rel=1e-12)
    assert torch.equal(y[:, 2, 0, 0], y[:, 2, 0, 2])


@pytest.mark.parametrize(("n", "group", "groups"), [(4, 32, 1), (6, 4, 2), (64, 32, 2), (64, 5, 16)])
def test_groups_are_the_largest_divisor_of_the_batch(n: int, group: int, groups: int) -> None:
    deviations = MinibatchDeviation(group)(torch.randn(n, 3, 2, 2).double())[:, 3, 0, 0]
    assert len(deviations.unique()) == groups
    alone = MinibatchDeviation(group)(torch.randn(1, 3, 2, 2).double())[:, 3]  # a batch of one has none
    assert torch.allclose(alone, torch.full_like(alone, 1e-4))


def test_real_and_fake_samples_in_one_pass_are_in_groups_of_their_own() -> None:
    real, fake = torch.randn(8, 3, 2, 2).double(), torch.randn(8, 3, 2, 2).double()
    layer = MinibatchDeviation(4)
    assert torch.allclose(layer(torch.cat([real, fake])), torch.cat([layer(real), layer(fake)]))


def test_the_discriminator_says_that_it_couples_a_batch_and_r1_is_let_pass() -> None:
    _, discriminator = networks()
    assert coupling(discriminator) == "minibatch standard deviation"
    assert coupling(nn.Linear(2, 1)) is None
    batch = batch_of(torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16))
    assert gradient_penalty(critic_of(discriminator, batch), leaf(batch.real)).shape == (4,)
    coupled = nn.Sequential(nn.Flatten(), nn.Linear(768, 1), nn.BatchNorm1d(1), nn.Flatten(0))
    with pytest.raises(InputError, match="the discriminator has batch norm"):
        gradient_penalty(critic_of(coupled, batch), leaf(batch.real))


# -- whole networks against plain code ---------------------------------------------------------------------------------

KERNEL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def filtered(x: Tensor, *, before: int, after: int, gain: float = 1.0) -> Tensor:
    """x with zeros around it, filtered by [1, 3, 3, 1]."""
    kernel = gain * KERNEL.to(x).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (before, after, before, after)), kernel, groups=x.shape[1])


def with_zeros(x: Tensor) -> Tensor:
    """A zero behind each pixel, along both axes."""
    y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    y[:, :, ::2, ::2] = x
    return y


def active(x: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(x + bias[:, None, None], 0.2) * math.sqrt(2)


def plain_mapping(mapping: nn.Module, z: Tensor | None, y: Tensor | None) -> Tensor:
    parts = [] if z is None else [z / z.square().mean(1, keepdim=True).sqrt()]
    if y is not None:
        e = y @ mapping.embed.weight.T / math.sqrt(y.shape[1]) + mapping.embed.bias
        parts.append(e / e.square().mean(1, keepdim=True).sqrt())
    x = torch.cat(parts, 1)
    for layer in mapping.layers:
        x = x @ (0.01 * layer.weight / math.sqrt(x.shape[1])).T + 0.01 * layer.bias
        x = F.leaky_relu(x, 0.2) * math.sqrt(2)
    return x


def plain_generator(g: StyleGan2Generator, z: Tensor, y: Tensor | None = None) -> Tensor:
    """The skip generator, with the weights of ours: upsampling first, then a kernel for each sample."""
    w = plain_mapping(g.mapping, z, y)

    def modulated(x: Tensor, layer: nn.Module, demodulate: bool, flip: bool = False) -> Tensor:
        m = layer.convolution
        weight = m.weight.flip(2, 3) if flip else m.weight
        return per_sample(x, weight, w @ m.affine.weight.T / math.sqrt(w.shape[1]) + m.affine.bias, demodulate)

    def styled(x: Tensor, layer: nn.Module) -> Tensor:
        return active(modulated(x, layer, True) + layer.strength * layer.noise, layer.bias)

    x = styled(g.constant.expand(len(z), *g.constant.shape), g.layers[0])
    image = modulated(x, g.to_pixels[0], False) + g.to_pixels[0].bias[:, None, None]
    for stage in range(1, len(g.sizes)):
        size = x.shape[2]
        # Filter and kernel commute. The authors' kernels of these layers are mirrored: theirs is a transposed convolution.
        up = filtered(F.pad(with_zeros(x), (8, 8, 8, 8)), before=2, after=1, gain=4.0)
        layer = g.layers[2 * stage - 1]
        y_up = modulated(up, layer, True, flip=True)[:, :, 8 : 8 + 2 * size, 8 : 8 + 2 * size]
        x = active(y_up + layer.strength * layer.noise, layer.bias)
        x = styled(x, g.layers[2 * stage])
        image = filtered(with_zeros(image), before=2, after=1, gain=4.0)
        image = image + modulated(x, g.to_pixels[stage], False) + g.to_pixels[stage].bias[:, None, None]
    return image


def plain_discriminator(d: StyleGan2Discriminator, x: Tensor, y: Tensor | None = None) -> Tensor:
    def convolved(x: Tensor, layer: Convolution, **how: Any) -> Tensor:
        return F.conv2d(x, layer.weight / math.sqrt(layer.weight[0].numel()), **how)

    first, *blocks = d.layers
    x = active(convolved(x, first), first.bias)
    for block in blocks:
        halved = filtered(x, before=1, after=1)[:, :, ::2, ::2]
        keeping, halving = block.branch
        x = active(convolved(x, keeping, padding=1), keeping.bias)
        x = active(convolved(filtered(x, before=2, after=2), halving, stride=2), halving.bias)
        x = x if block.skip is None else (x + convolved(halved, block.skip)) * math.sqrt(0.5)
    group = x.reshape(-1, d.deviation.group, *x.shape[1:])
    deviation = (group.var(1, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(d.deviation.group)
    x = torch.cat([x, deviation[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)
    x = active(convolved(x, d.mixed, padding=1), d.mixed.bias).flatten(1)
    x = F.leaky_relu(x @ d.features.weight.T / math.sqrt(x.shape[1]) + d.features.bias, 0.2) * math.sqrt(2)
    x = x @ d.score.weight.T / math.sqrt(x.shape[1]) + d.score.bias
    return x[:, 0] if y is None else (x * plain_mapping(d.mapping, None, y)).sum(1) / math.sqrt(x.shape[1])


@pytest.mark.parametrize("condition", [0, 4])
@pytest.mark.parametrize("residual", [False, True])
def test_networks_give_what_plain_code_gives_with_their_weights(residual: bool, condition: int) -> None:
    pair = networks(plan=replace(MINI, residual=residual), condition=condition)
    g, d = (disturbed(network).double().eval() for network in pair)
    z, told = torch.randn(4, 8).double(), (torch.eye(4).double(),) if condition else ()
    images = g(z, *told)
    assert torch.allclose(images, plain_generator(g, z, *told), atol=1e-6)  # type: ignore[arg-type]
    assert torch.allclose(d(images, *told), plain_discriminator(d, images, *told), atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("condition", [0, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_any_size(shape: tuple[int, ...], condition: int) -> None:
    generator, discriminator = networks(shape, replace(PLANS["small"], width=16), condition)
    told = (torch.eye(5)[:4],) if condition else ()
    images = generator(torch.randn(4, 8), *told)
    assert images.shape == (4, *shape)
    assert 0.2 < images.std() < 5
    assert discriminator(images, *told).shape == (4,)
    points = torch.randn(4, *shape, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(points, *told).sum(), points)
    assert gradient.all()  # every pixel of an odd size reaches the score


@pytest.mark.parametrize("shape", [(2,), (1, 64), (1, 8, 8, 8)], ids=["points", "signals", "volumes"])
def test_what_is_no_image_is_refused_in_one_line_and_played_with_other_networks(shape: tuple[int, ...]) -> None:
    data = DataSpec(shape)
    with pytest.raises(InputError, match=f"stylegan2 draws images, and these data are {data.kind}"):
        stylegan2.gankit_generator(data, 8, Options())
    loop = loop_with(variant="stylegan2", shape=shape, options={"networks": "core"})
    assert bool(loop.step(Batch(torch.rand(4, *shape)))["d/r1"].isfinite())
    for options, what in (
        ({"width": 8}, "width is for"),
        ({"discriminator": "orig"}, "discriminator is for"),
        ({"style_mixing": 0.5}, "style_mixing is for"),
        ({"path_length": 2.0}, "this generator has no w"),
    ):
        with pytest.raises(InputError, match=what):
            loop_with(variant="stylegan2", shape=shape, options={"networks": "core", **options})


# -- chance, w and truncation ------------------------------------------------------------------------------------------


def test_noise_is_drawn_in_training_and_fixed_in_samples() -> None:
    generator, _ = networks()
    z = torch.randn(2, 8)
    assert torch.equal(generator(z), generator(z))  # its strength begins at zero
    disturbed(generator)
    assert not torch.allclose(generator(z), generator(z))
    generator.eval()
    assert torch.equal(generator(z), generator(z))
    before = generator(z)
    with torch.no_grad():
        generator.layers[-1].noise.mul_(-1)
    assert not torch.allclose(generator(z), before)


def test_the_mean_of_w_follows_batches_of_training() -> None:
    generator, _ = networks()
    z = torch.randn(6, 8)
    w = generator.mapping(z)
    generator(z)
    generator(z)
    assert torch.allclose(generator.w_average, (1 - 0.995**2) * w.mean(0), atol=1e-6)
    generator.eval()
    generator(z)
    kept = generator.w_average.clone()
    assert torch.allclose(kept, (1 - 0.995**2) * w.mean(0), atol=1e-6)
    assert torch.allclose(generator.map(z)[:, 3], w, atol=1e-6)
    assert torch.equal(generator(z), generator.synthesise(generator.map(z)))


def test_style_mixing_takes_another_w_from_a_layer_on_in_training_only() -> None:
    generator, _ = networks(style_mixing=0.5)
    z = torch.randn(400, 8)
    own = generator.eval().map(z)
    assert torch.equal(own, own[:, :1].expand_as(own))
    ws = generator.train().map(z)
    w = generator.mapping(z)
    mine = (ws - w[:, None]).abs().amax(2) < 1e-6
    theirs = (ws - w.roll(1, 0)[:, None]).abs().amax(2) < 1e-6
    assert bool((mine ^ theirs).all())
    assert bool(mine[:, 0].all())
    assert bool((mine[:, :-1] >= mine[:, 1:]).all())  # once another one, then to the end
    assert theirs[:, -1].float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert theirs.sum(1).unique().tolist() == list(range(generator.styles))


def test_samples_of_a_file_can_be_truncated_and_their_styles_mixed(tmp_path: Path, refusal: Callable[..., str]) -> None:
    settings: dict[str, Any] = {"data": "noise", "device": "cpu", "steps": 2, "batch": 4, "z_dim": 8}
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", images=rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8))
    settings["data"] = tmp_path / "noise.npz"
    gankit.train("stylegan2", out=tmp_path / "run", options={"width": 8}, **settings)
    gankit.train("gan", out=tmp_path / "plain", **settings)
    for psi, out in ((1, "whole"), (0.5, "half"), (0, "mean")):
        done = command("sample", "run", "-n", 4, "--truncation", psi, "-o", f"{out}.npz", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    whole, half, mean = (np.load(tmp_path / f"{n}.npz")["samples"].astype(int) for n in ("whole", "half", "mean"))
    assert np.array_equal(whole, gankit.load(tmp_path / "run").sample(4))
    assert np.abs(mean - mean[:1]).max() == 0
    assert np.abs(half - mean).mean() < np.abs(whole - mean).mean()
    assert command("sample", "run", "-n", 2, "-o", "folder", cwd=tmp_path).returncode == 0
    assert "another" in refusal("sample run -n 2 --truncation 0.5 -o folder", tmp_path)  # not beside the others
    assert "the generator of 'gan' has no styles to mix" in refusal("mix plain", tmp_path)
    assert command("mix", "run", "--coarse", "0,1", "--fine", "0,2,3", "-o", "mixed.png", cwd=tmp_path).returncode == 0
    trained = gankit.load(tmp_path / "run")
    rows, columns = stops_of(trained, [0, 1]), stops_of(trained, [0, 2, 3])
    tables = mixed(trained, rows, columns, 2)
    assert np.abs(tables[0][0].astype(int) - trained.sample(1)[0]).max() <= 1  # its own coarse and fine styles
    assert (tables[1][0] != tables[0][0]).any()
    assert "--from 9: the generator has layers 0 to 3" in refusal("mix run --from 9", tmp_path)
    assert "truncation 1.5: it lies between 0 and 1" in refusal("sample run --truncation 1.5", tmp_path)


# -- a run -------------------------------------------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {"width": 8, "path_length": 2.0, "path_every": 2, "style_mixing": 0.5}


def test_a_run_with_everything_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"options": EVERYTHING, "conditional": True, "penalty_every": 3, "batch": 8, "z_dim": 8}
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", images=images, labels=np.arange(40) % 3)
    settings |= {"data": tmp_path / "noise.npz", "device": "cpu", "precision": "bf16"}
    straight = gankit.train("stylegan2", steps=9, out=tmp_path / "straight", **settings)
    gankit.train("stylegan2", steps=5, out=tmp_path / "broken", **settings)
    gankit.resume(tmp_path / "broken", steps=9)
    assert_same_state(straight.folder, tmp_path / "broken")
    state = state_of(straight.folder)
    assert state["loop.loss.path_mean"] > 0
    assert state["loop.generator.w_average"].any()


def test_two_processes_have_one_mean_of_paths_and_of_w(tmp_path: Path) -> None:
    """Each has path lengths and w of its own; a checkpoint compares their states, and refuses two that differ."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", images=rng.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8))
    options = [word for name, value in EVERYTHING.items() for word in ("-s", f"{name}={value}")]
    fixed = ["--data", "noise.npz", "--device", "cpu", "--gpus", 2, "--batch", 8, "--steps", 5, "--out", "run"]
    result = command("train", "--variant", "stylegan2", *fixed, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert state_of(tmp_path / "run")["loop.loss.path_mean"] > 0


# -- the recipe for CIFAR-10, number by number -------------------------------------------------------------------------

RECIPE = "stylegan2-ada-cifar10"


def recipe_loop(options: dict[str, Any] | None = None, **more: Any) -> TrainingLoop:
    """The recipe with narrow networks, on 16x16 pixels."""
    from gankit.run.build import build_loop
    from gankit.run.plan import plan_run
    from gankit.settings.layers import Layer

    given = {"recipe": RECIPE, "device": "cpu", "precision": "fp32", "batch": 4, "z_dim": 8, **more}
    plan = plan_run([Layer("test", {**given, "options": {"width": 8, **(options or {})}})])
    return build_loop(plan, DataSpec((3, 16, 16), ("a", "b"), condition=2), torch.device("cpu"))


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def test_the_networks_have_the_parameters_of_the_configuration() -> None:
    """Layer by layer: 512 channels at 4, 8, 16 and 32 pixels, z and w of 512, 2 layers in the mapping, 8 for labels."""
    c, classes = 512, 10
    styled = linear(c, c) + 9 * c * c + c + 1  # the style, the kernel, the bias, the strength of the noise
    to_rgb = linear(c, c) + 3 * c + 3
    synthesis = 16 * c + (1 + 3 * 2) * styled + 4 * to_rgb
    block = 2 * (9 * c * c + c)
    trunk = (3 * c + c) + 3 * block + (9 * (c + 1) * c + c) + linear(16 * c, c)
    for condition, expected in (
        (0, (2 * linear(c, c) + synthesis, trunk + linear(c, 1))),
        (
            classes,
            (
                linear(classes, c) + linear(2 * c, c) + linear(c, c) + synthesis,
                trunk + linear(c, c) + linear(classes, c) + 8 * linear(c, c),
            ),
        ),
    ):
        data, options = DataSpec((3, 32, 32), condition=condition), Options(networks="cifar")
        with torch.device("meta"):
            pair = stylegan2.gankit_generator(data, 512, options), stylegan2.gankit_discriminator(data, options)
        assert tuple(sum(p.numel() for p in network.parameters()) for network in pair if network) == expected


def test_the_articles_networks_at_1024_have_the_published_number_of_parameters() -> None:
    assert [channels for _, channels in PLANS["paper"].stages((3, 1024, 1024))] == [512] * 5 + [256, 128, 64, 32]
    data, options = DataSpec((3, 1024, 1024)), Options(networks="paper")
    with torch.device("meta"):
        pair = stylegan2.gankit_generator(data, 512, options), stylegan2.gankit_discriminator(data, options)
    assert [sum(p.numel() for p in network.parameters()) for network in pair if network] == [30_370_060, 29_012_513]


def test_initial_weights_are_standard_normal_and_used_at_their_scale() -> None:
    torch.manual_seed(0)
    g, d = StyleGan2Generator((3, 32, 32), 512, PLANS["cifar"]), StyleGan2Discriminator((3, 32, 32), PLANS["cifar"])
    with torch.no_grad():
        for name, p in [*g.named_parameters(), *d.named_parameters()]:
            if p.ndim > 1:
                assert p.std().item() == pytest.approx(100 if "mapping" in name else 1, rel=0.1), name
            elif "affine" in name:
                assert p.eq(1).all(), name
            else:
                assert not p.any(), name
        layer = g.layers[3].convolution
        assert (layer.weight * layer.scale).std().item() == pytest.approx(1 / math.sqrt(512 * 9), rel=0.01)
        used = g.mapping.layers[0].weight * g.mapping.layers[0].weight_gain
        assert used.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.01)
    assert d.deviation.group == 32
    assert all(block.skip is None for block in list(d.layers)[1:])
    assert {layer.clamp for layer in g.layers} == {256.0}


def test_rates_betas_and_settings_are_those_of_the_configuration() -> None:
    """lr 2.5e-3 and betas (0, 0.99); a penalty in every k-th step: times k/(k+1), to the power of it."""
    loop = recipe_loop(batch=64, z_dim=512)
    config = loop.config
    for player, k in (("generator", 4), ("discriminator", 16)):
        (group,) = loop.players[player].optimizer.param_groups
        assert group["lr"] == pytest.approx(2.5e-3 * k / (k + 1), rel=1e-8)
        assert group["betas"] == pytest.approx((0, 0.99 ** (k / (k + 1))), rel=1e-9)
        assert group["eps"] == 1e-8
    assert (config.batch, config.z_dim, config.penalty_every, config.d_steps) == (64, 512, 16, 1)
    assert (config.conditional, config.ema_halflife_images) == (True, 500_000)
    assert loop.loss.gamma == 0.01
    assert (loop.parts["ada"].options.target, loop.parts["ada"].options.images) == (0.6, 500_000)
    assert (loop.networks.generator.style_mixing, "path_length" in loop.phases) == (0.0, False)


def test_one_update_is_that_of_plain_code() -> None:
    """Gradients of the plain networks, and Adam's first and second steps by its formula, for both players."""
    loop = recipe_loop({"ada": {"p": 0.0}})
    g, d = disturbed(loop.networks.generator), disturbed(loop.networks.discriminator)
    for layer in g.layers:
        layer.strength.data.zero_()  # in training noise is chance
    torch.manual_seed(1)
    real, y = torch.randn(4, 3, 16, 16), torch.eye(2)[[0, 1, 1, 0]]
    z_d, z_g = torch.randn(2, 4, 8)
    draws = iter([z_d, z_g, z_d, z_g])
    loop.sample_z = lambda n: next(draws)  # type: ignore[method-assign]
    found: dict[str, list[list[Tensor]]] = {name: [] for name in loop.players}
    for name, player in loop.players.items():
        player.optimizer.register_step_pre_hook(
            lambda *_, name=name, player=player: found[name].append(
                [p.grad.clone() for p in player.parameters.values()]
            )
        )
    before = {name: [p.detach().clone() for p in player.parameters.values()] for name, player in loop.players.items()}
    d.deviation.group = 4  # the recipe's 32 are more than the batch
    x = real.clone().requires_grad_()
    r, f = plain_discriminator(d, x, y), plain_discriminator(d, plain_generator(g, z_d, y).detach(), y)
    (slope,) = torch.autograd.grad(r.sum(), x, create_graph=True)
    penalty = 16 * 0.01 / 2 * slope.square().sum((1, 2, 3)).mean()
    wanted = torch.log1p(torch.exp(-r)).mean() + torch.log1p(torch.exp(f)).mean() + penalty
    gradients = torch.autograd.grad(wanted, list(d.parameters()))
    stats = loop.step(Batch(real, condition=y))
    assert float(stats["d/real"] + stats["d/fake"] + stats["d/r1"]) == pytest.approx(wanted.item(), rel=1e-4)
    for (name, _), ours, plain in zip(d.named_parameters(), found["discriminator"][0], gradients, strict=True):
        assert torch.allclose(ours, plain, rtol=1e-3, atol=1e-5 * float(plain.abs().max()) + 1e-8), name
    loop.step(Batch(real, condition=y))
    for player, rate, beta in (("generator", 2e-3, 0.9919919678), ("discriminator", 2.352941176e-3, 0.9905854573)):
        for p, old, g1, g2 in zip(
            loop.players[player].parameters.values(), before[player], *found[player], strict=True
        ):
            v = (beta * (1 - beta) * g1**2 + (1 - beta) * g2**2) / (1 - beta**2)
            moved = rate * (g1 / (g1.abs() + 1e-8) + g2 / (v.sqrt() + 1e-8))
            assert torch.allclose(p, old - moved, rtol=1e-5, atol=2e-5)
