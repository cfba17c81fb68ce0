"""Gradient penalties per sample, in full precision and twice differentiable, against values worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gankit.contracts import Batch
from gankit.errors import InputError
from gankit.game.critic import Critic
from gankit.game.penalties import between, gradient_norms, gradient_penalty, leaf, squared_gradients
from gankit.game.vectors import LinearCritic
from gankit.machine.precision import Precision

CPU = torch.device("cpu")


def double(values: list[list[float]]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def half_square(x: Tensor) -> Tensor:
    """D(x) = ||x||^2 / 2, whose gradient is x."""
    return 0.5 * x.flatten(1).square().sum(1)


@pytest.mark.parametrize(("w", "expected"), [((3.0, 4.0), 16.0), ((0.6, 0.8), 0.0), ((0.0, 0.0), 1.0)])
def test_a_linear_critic(w: tuple[float, float], expected: float) -> None:
    critic = LinearCritic(*w)
    penalty = gradient_penalty(critic, leaf(double([[0.3, -2.0]])))
    assert penalty.tolist() == pytest.approx([expected], abs=1e-12)
    assert penalty.requires_grad
    penalty.sum().backward()
    assert critic.weight.grad is not None
    assert bool(torch.isfinite(critic.weight.grad).all())


def test_the_derivative_with_respect_to_the_weights() -> None:
    critic = LinearCritic(3.0, 4.0)
    (10 * gradient_penalty(critic, leaf(double([[1.0, 1.0]])))).mean().backward()
    assert critic.weight.grad is not None
    assert critic.weight.grad.tolist() == pytest.approx([48.0, 64.0])


@pytest.mark.parametrize(
    ("w", "target", "expected"), [((3.0, 4.0), 1.0, 16.0), ((0.6, 0.0), 1.0, 0.0), ((3.0, 4.0), 0.0, 25.0)]
)
def test_one_sided_penalties_cost_nothing_below_the_target(
    w: tuple[float, float], target: float, expected: float
) -> None:
    penalty = gradient_penalty(LinearCritic(*w), leaf(double([[0.3, -2.0]])), target, one_sided=True)
    assert penalty.tolist() == pytest.approx([expected], abs=1e-12)


def test_norms_are_per_sample_over_all_axes_and_not_over_the_batch() -> None:
    points = leaf(double([[3.0, 4.0], [1.0, 0.0]]).reshape(2, 1, 1, 2))
    assert gradient_norms(half_square, points).tolist() == pytest.approx([5.0, 1.0])
    with_heads = lambda x: torch.stack([half_square(x), *[torch.zeros(len(x), dtype=x.dtype)] * 9], 1)  # noqa: E731
    assert gradient_norms(with_heads, points).tolist() == pytest.approx([5.0, 1.0])  # type: ignore[arg-type]
    assert gradient_penalty(half_square, points).mean().item() == pytest.approx(8.0)  # whole batch: 16.80


def test_a_quadratic_critic_half_way_between_real_and_fake() -> None:
    theta = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(lambda x: theta * half_square(x), leaf(double([[1.5, 2.0]])))
    assert penalty.item() == pytest.approx(2.25)
    penalty.sum().backward()
    assert theta.grad is not None
    assert theta.grad.item() == pytest.approx(7.5)


def test_points_between_lie_on_the_segment_of_their_own_pair_each_at_its_own_place() -> None:
    torch.manual_seed(0)
    real, fake = torch.zeros(64, 1, 4, 4), torch.ones(64, 1, 4, 4) * torch.arange(1, 65).reshape(-1, 1, 1, 1)
    points = between(real, fake)
    assert points.is_leaf
    assert points.requires_grad
    share = points.detach().flatten(1) / torch.arange(1, 65).reshape(-1, 1)
    assert float((share.max(1).values - share.min(1).values).max()) < 1e-6  # one epsilon for a whole sample
    assert share[:, 0].unique().numel() > 60  # and another one for each
    assert 0 <= float(share.min()) < 0.1
    assert 0.9 < float(share.max()) <= 1


def test_squared_gradients_are_r1_without_its_half() -> None:
    critic = LinearCritic(3.0, 4.0)
    points = leaf(double([[1.0, 2.0], [0.0, 0.0]]))
    penalty = 5.0 * squared_gradients(critic(points), points).mean()  # gamma 10
    assert penalty.item() == pytest.approx(125.0)
    penalty.backward()
    assert critic.weight.grad is not None
    assert critic.weight.grad.tolist() == pytest.approx([30.0, 40.0])


def bound(network: nn.Module, real: Tensor, precision: str) -> Critic:
    return Critic(network, Batch(real, real + 1, torch.zeros(len(real), 1)), Precision(precision, CPU))


def test_penalties_are_computed_in_full_precision_under_bf16() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 1), nn.Flatten(0))
    real = torch.randn(16, 32)
    exact, under_bf16 = (gradient_norms(bound(network, real, p), leaf(real)) for p in ("fp32", "bf16"))
    assert torch.equal(exact, under_bf16)
    rough = bound(network, real, "bf16")(real)
    assert not torch.equal(rough, bound(network, real, "fp32")(real)), "bf16 was not on at all"


def test_batch_norm_in_the_critic_is_refused_where_a_gradient_is_penalised() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1), nn.Flatten(0))
    real = torch.randn(8, 4)
    critic = bound(network, real, "fp32")
    critic(real)
    with pytest.raises(InputError, match=r"has batch norm \('1'\)"):
        gradient_norms(critic, leaf(real))
    network.eval()
    assert gradient_norms(critic, leaf(real)).shape == (8,)
