"""Slopes of discriminators and Jacobians of generators that are known by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gankit.contracts import Batch
from gankit.game.critic import Critic
from gankit.look import sensitivity
from gankit.look.sensitivity import Spread, participation, slopes
from gankit.machine.precision import Precision

FP32 = Precision("fp32", torch.device("cpu"))


class Parabola(nn.Module):
    """D(x) = |x|² / 2, whose slope is |x|; as [N, 3], the score before two heads."""

    def forward(self, x: Tensor) -> Tensor:
        score = x.square().sum(1) / 2
        return torch.stack([score, 7 * score, -score], dim=1)


def test_a_linear_discriminator_has_one_slope_everywhere() -> None:
    discriminator = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    discriminator[0].weight.data = torch.tensor([[3.0, 4.0]])
    found = slopes(Critic(discriminator, Batch(torch.randn(8, 2), torch.randn(8, 2)), FP32))
    assert list(found) == ["real", "between", "fake"]
    assert all(spread == Spread(5.0, 5.0, 5.0) for spread in found.values())


def test_the_slope_is_that_of_the_score_at_each_place() -> None:
    real = torch.tensor([[0.0, float(number)] for number in range(21)])  # the twentieths are numbers of the list
    fake = real + torch.tensor([0.0, 100.0])
    found = slopes(Critic(Parabola(), Batch(real, fake), FP32))
    assert found["real"] == Spread(10.0, 1.0, 19.0)
    assert found["fake"] == Spread(110.0, 101.0, 119.0)
    assert 10 < found["between"].median < 110


def linear(matrix: Tensor) -> nn.Module:
    """G(z) = matrix z, as images."""
    network = nn.Sequential(nn.Linear(*matrix.T.shape, bias=False), nn.Unflatten(1, (1, -1, 1)))
    network[0].weight.data = matrix
    return network


def test_a_linear_generator_participates_as_its_singular_values_say() -> None:
    """(4 + 1 + 1)² / (16 + 1 + 1) = 2."""
    rotated = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(0))).Q
    matrix = rotated[:, :3] @ torch.diag(torch.tensor([2.0, 1.0, 1.0]))
    found = participation(linear(matrix), torch.randn(4, 3))
    assert found.directions.median == pytest.approx(2, rel=1e-5)
    assert (found.of, found.largest.high) == (3, pytest.approx(2, rel=1e-5))
    assert found.tenth == pytest.approx(2, rel=1e-5)


def test_no_more_directions_than_numbers_in_a_sample() -> None:
    found = participation(linear(torch.tensor([[1.0] * 9, [1.0] * 9])), torch.randn(4, 9))
    assert (found.of, found.directions.median) == (2, pytest.approx(1, rel=1e-4))


def test_a_generator_that_ignores_z_uses_no_direction() -> None:
    class Blind(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return torch.ones(len(z), 4)

    found = participation(Blind(), torch.randn(4, 3))
    assert (found.directions.median, found.largest.median, found.tenth) == (0.0, 0.0, float("inf"))


def test_conditions_go_with_their_z_when_memory_allows_one_sample_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def scaled(z: Tensor, y: Tensor) -> Tensor:
        return z * y

    y = torch.tensor([[1.0, 1.0], [1.0, 0.0], [3.0, 3.0]])
    whole = participation(scaled, torch.randn(3, 2), y)
    monkeypatch.setattr(sensitivity, "MOST_NUMBERS", 1)
    assert participation(scaled, torch.randn(3, 2), y) == whole
    assert (whole.directions.median, whole.largest.median) == (2.0, 1.0)
