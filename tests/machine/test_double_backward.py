"""The convolutions that penalties are taken through: the same numbers as PyTorch's own, to second order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gankit.contracts import Batch
from gankit.game.critic import Critic
from gankit.game.networks import Discriminator
from gankit.game.penalties import gradient_penalty, leaf, squared_gradients
from gankit.machine import double_backward
from gankit.machine.double_backward import FastDoubleBackward, Geometry, convolution, inputs_only
from gankit.machine.precision import Precision

CPU = torch.device("cpu")
Choose = Callable[[bool], None]

GEOMETRIES = [
    (2, Geometry((1, 1), (1, 1), (1, 1), False, (0, 0), 1)),
    (2, Geometry((2, 2), (1, 0), (1, 2), False, (0, 0), 1)),
    (2, Geometry((2, 3), (0, 2), (2, 1), False, (0, 0), 2)),
    (2, Geometry((2, 2), (1, 1), (1, 1), True, (0, 0), 1)),
    (2, Geometry((3, 2), (2, 1), (1, 2), True, (1, 0), 2)),
    (1, Geometry((2,), (1,), (1,), False, (0,), 4)),
    (3, Geometry((1, 2, 1), (1, 0, 1), (1, 1, 1), False, (0, 0, 0), 1)),
    (3, Geometry((1, 2, 1), (1, 0, 1), (1, 1, 1), True, (0, 1, 0), 2)),
]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Turns the fast double backward on or off."""
    known = double_backward.DIMENSIONS

    def chosen(fast: bool) -> None:
        monkeypatch.setattr(double_backward, "DIMENSIONS", known if fast else {})

    return chosen


@pytest.mark.parametrize(("dimensions", "geometry"), GEOMETRIES)
def test_first_and_second_derivatives_agree_with_finite_differences(dimensions: int, geometry: Geometry) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, *(5, 4, 4)[:dimensions], dtype=torch.float64, requires_grad=True)
    ends = (4, 6 // geometry.groups) if geometry.transposed else (8, 4 // geometry.groups)
    weight = torch.randn(*ends, *(3, 2, 2)[:dimensions], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: convolution(a, b, geometry), (x, weight))
    assert torch.autograd.gradgradcheck(lambda a, b: convolution(a, b, geometry), (x, weight))


CALLS: list[Callable[[Tensor, Tensor, Tensor], Tensor]] = [
    lambda x, w, b: functional.conv2d(x, w, b),
    lambda x, w, b: functional.conv2d(x, w, b, 2, 1),
    lambda x, w, b: functional.conv2d(x, w, stride=(2, 1), padding=(0, 1), dilation=2),
    lambda x, w, b: torch.conv2d(x, w[:, :2], b, 1, [1], 1, 2),
    lambda x, w, b: functional.conv2d(x, w, b, padding="same"),  # stays PyTorch's
    lambda x, w, b: functional.conv2d(x[0], w, b).unsqueeze(0),  # so does a single sample
    lambda x, w, b: functional.conv_transpose2d(x, w, b, 2, 1, 1),
    lambda x, w, b: functional.conv_transpose2d(x, w[:, :2], groups=2, stride=2, dilation=2),
    lambda x, w, b: functional.conv1d(x[:, :, 0], w[:, :, 0], b, padding=1),
    lambda x, w, b: functional.conv3d(x[:, :, None], w[:, :, None], b, padding=(0, 1, 1)),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_every_way_to_call_a_convolution_gives_what_pytorch_gives(number: int, choose: Choose) -> None:
    found: list[tuple[Tensor, ...]] = []
    for fast in (False, True):
        choose(fast)
        torch.manual_seed(0)
        x, weight = (torch.randn(4, 4, 6, 6, dtype=torch.float64), torch.randn(4, 4, 3, 3, dtype=torch.float64))
        bias = torch.randn(4, dtype=torch.float64)
        for tensor in (x, weight, bias):
            tensor.requires_grad_()
        with FastDoubleBackward():
            y = CALLS[number](x, weight, bias)
        (gx,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        derived = torch.autograd.grad(gx.square().sum(), (x, weight))
        found.append((y.detach(), gx.detach(), *derived))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_penalties_of_a_critic_are_the_same_either_way(layout: torch.memory_format, choose: Choose) -> None:
    found = []
    for fast in (False, True):
        choose(fast)
        torch.manual_seed(0)
        discriminator = Discriminator((3, 16, 16)).to(memory_format=layout)  # type: ignore[call-overload]
        with torch.no_grad():
            for parameter in discriminator.parameters():
                parameter.mul_(3)
        x = torch.randn(5, 3, 16, 16).to(memory_format=layout)
        batch = Batch(real=x, fake=-x, z=torch.zeros(5, 1))
        critic = Critic(discriminator, batch, Precision("fp32", CPU))
        points = leaf(x)
        both = gradient_penalty(critic, leaf(-x)).mean() + squared_gradients(critic(points), points).mean()
        found.append(torch.autograd.grad(both, list(discriminator.parameters()), allow_unused=True))
    for ours, theirs in zip(*found, strict=True):
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert float(found[0][0].abs().max()) > 0


def test_the_gradient_of_samples_computes_no_gradient_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = double_backward.weight_gradient
    monkeypatch.setattr(double_backward, "weight_gradient", lambda *a: calls.append(1) or original(*a))
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3), nn.Flatten(), nn.Linear(8, 1))
    x = torch.randn(2, 1, 6, 6, requires_grad=True)
    with FastDoubleBackward():
        scores = network(x)
    with inputs_only():
        (gx,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    assert calls == []
    (gx.square().sum() + scores.sum()).backward()
    assert len(calls) == 4  # two layers, each in the penalty and in the scores
    assert all(parameter.grad is not None for parameter in network.parameters())
