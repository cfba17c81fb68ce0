"""Discriminators for other loops: what a score sees, sizes, that they couple nothing, and feature matching."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gankit import Adversary, discriminators
from gankit.discriminators import (
    MultiPeriod,
    MultiResolution,
    MultiScale,
    Patch,
    Projected,
    Several,
    UNet,
    feature_matching,
)
from gankit.errors import InputError
from gankit.game.critic import coupling
from gankit.measure.features import lite0

needs_lite0 = pytest.mark.skipif(not lite0.available(), reason="gankit[lite0] is not installed")
CASES: list[tuple[str, Callable[[], nn.Module], tuple[int, ...]]] = [
    ("patch", lambda: Patch(3, width=8), (3, 40, 33)),
    ("patch-spectral", lambda: Patch(1, width=8, layers=2, norm="spectral"), (1, 28, 28)),
    ("patch-instance", lambda: Patch(3, width=8, norm="instance"), (3, 32, 32)),
    ("patch-signals", lambda: Patch(2, axes=1, width=8), (2, 300)),
    ("patch-volumes", lambda: Patch(1, axes=3, width=4, layers=2), (1, 12, 14, 16)),
    ("scales", lambda: MultiScale(lambda: Patch(3, width=8, layers=2), 3), (3, 64, 48)),
    ("unet", lambda: UNet(3, width=8), (3, 32, 24)),
    ("periods", lambda: MultiPeriod(1, width=4), (1, 1000)),
    ("resolutions", lambda: MultiResolution(2, width=4, windows=(256, 128)), (2, 1000)),
    ("projected", lambda: Projected(side=64, width=8), (1, 28, 28)),
    ("several", lambda: Several(MultiPeriod(1, width=4), MultiResolution(1, width=4, windows=(256, 128))), (1, 900)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        pytest.param(make, shape, id=name, marks=[needs_lite0] if name == "projected" else [])
        for name, make, shape in CASES
    ],
)
def test_it_plays_penalised_and_each_sample_has_scores_of_its_own(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    d = make()
    real, fake = torch.randn(2, 3, *shape) * 0.5
    with torch.no_grad():
        d(real)  # spectral norms begin at chance
        together, alone = d.eval()(real), torch.cat([d(real[i : i + 1]) for i in range(3)])
    assert together.dim() >= 2
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)
    assert coupling(d.train()) is None
    assert len(d.features(real)) >= 3
    adversary = Adversary(d, "hinge", shape=shape, parts=["r1"])
    stats = adversary.d_step(real, fake)
    assert all(bool(value.isfinite()) for value in stats.values())
    fake.requires_grad_()
    (adversary.g_loss(fake) + feature_matching(d, fake, real)).backward()
    assert bool(fake.grad.isfinite().all())
    assert bool(fake.grad.any())
    assert all(parameter.grad is None for parameter in d.parameters())


@pytest.mark.parametrize(("layers", "field"), [(3, 70), (2, 34)])
@pytest.mark.parametrize("axes", [1, 2])
def test_a_score_of_a_patch_sees_as_much_as_it_is_said_to(layers: int, field: int, axes: int) -> None:
    d = Patch(1, axes=axes, width=4, layers=layers)
    x = torch.randn(1, 1, *[160] * axes, requires_grad=True)
    scores = d(x)
    middle = tuple(side // 2 for side in scores.shape[1:])
    (gradient,) = torch.autograd.grad(scores[(0, *middle)], x)
    for axis in range(2, 2 + axes):
        seen = gradient.abs().amax(dim=[a for a in range(2 + axes) if a != axis]).nonzero()
        assert int(seen.max() - seen.min()) + 1 == field


def test_scales_count_alike() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return self.weight * x[:, 0]

    d = MultiScale(Mean, 3)
    x = torch.ones(2, 1, 16, 16)
    scores = d(x)
    assert scores.shape == (2, 3, 4, 4)
    scores.mean().backward()
    assert [float(one.weight.grad) for one in d.each] == pytest.approx([1 / 3] * 3)


def test_features_that_agree_have_no_loss() -> None:
    d = Patch(1, width=4)
    x = torch.randn(2, 1, 32, 32)
    assert float(feature_matching(d, x, x)) == 0
    assert float(feature_matching(d, x, x.flip(3))) > 0


def test_magnitudes_are_those_of_a_sine() -> None:
    steps = torch.arange(1024) / 1024
    tone = torch.sin(2 * torch.pi * 64 * steps)[None, None]
    seen: list[Tensor] = []
    d = MultiResolution(1, width=2, windows=(256,))
    d.stacks[0][0].register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    d(tone)
    assert int(seen[0][0, 0, 8].argmax()) == 16  # 64 periods in 1024 steps are 16 in a window of 256


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Patch(1, axes=4), "axes are 1, 2 or 3"),
        (lambda: UNet(1, width=4)(torch.zeros(1, 1, 12, 12)), "sides 12x12 are no multiples of 8"),
        (lambda: MultiResolution(1)(torch.zeros(1, 1, 900)), "too short for a window of 2048"),
    ],
)
def test_what_does_not_fit_is_said(call: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_each_says_what_it_returns() -> None:
    for name in ("Patch", "MultiScale", "UNet", "MultiPeriod", "MultiResolution", "Several"):
        assert "->" in (getattr(discriminators, name).__doc__ or "").splitlines()[0]
