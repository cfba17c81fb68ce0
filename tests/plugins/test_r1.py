"""R1: the penalty of one step, worked out by hand."""

from __future__ import annotations

import pytest
import torch
from support_plugins import CPU, batch_of, critic_of, double, loop_with, step_of
from torch import Tensor

from gankit.contracts import Batch
from gankit.errors import InputError
from gankit.game.critic import Critic
from gankit.game.loop import TrainingLoop
from gankit.game.penalties import finite_differences, leaf, squared_gradients
from gankit.game.vectors import LinearCritic
from gankit.machine.precision import Precision


def test_r1_is_half_gamma_times_the_squared_gradient_at_real_samples() -> None:
    loop = loop_with("r1", shape=(2,), options={"r1": {"gamma": 4.0}})
    batch = batch_of(double([[1.0, 2.0]]), torch.zeros(1, 2).double())
    critic, step = critic_of(LinearCritic(3.0, 4.0), batch), step_of(loop, "discriminator", images=4)
    assert loop.parts["r1"].penalties(critic, batch, step)["r1-extension"].tolist() == [50.0]


def test_between_real_and_fake_the_gradient_is_that_of_the_point_between_them() -> None:
    """D(x) = |x|^2 / 2 has the gradient x, so the penalty tells where it was taken."""
    loop = loop_with("r1", shape=(2,), options={"r1": {"gamma": 2.0, "at": "between"}})
    batch = batch_of(double([[1.0, 0.0]] * 64), double([[1.0, 2.0]] * 64))
    critic, step = critic_of(lambda x: x.square().sum(1) / 2, batch), step_of(loop, "discriminator", images=4)
    terms = loop.parts["r1"].penalties(critic, batch, step)
    squares = terms["r1-extension"].detach() - 1  # the first coordinate is 1 everywhere, the second one epsilon * 2
    assert 0 <= float(squares.min()) < 0.5
    assert 2 < float(squares.max()) <= 4


def test_a_penalty_that_is_due_in_every_third_step_counts_three_times_there() -> None:
    lazy = loop_with("r1", shape=(2,), penalty_every=3)
    usual = loop_with("r1", shape=(2,))
    batch = Batch(torch.randn(4, 2))
    stats = [lazy.step(batch) for _ in range(4)]
    assert ["d/r1-extension" in step for step in stats] == [True, False, False, True]
    assert float(stats[0]["d/r1-extension"]) == pytest.approx(3 * float(usual.step(batch)["d/r1-extension"]))


# -- both sides, a share of the batch, and estimates by finite differences ---------------------------------------------


def penalties(loop: TrainingLoop, critic: Critic, batch: Batch) -> dict[str, Tensor]:
    terms = loop.parts["r1"].penalties(critic, batch, step_of(loop, "discriminator", images=4))
    assert isinstance(terms, dict)
    return {name: term.detach() for name, term in terms.items()}


def quadratic(x: Tensor) -> Tensor:
    """|x|^2 / 2, whose gradient is x."""
    return x.square().sum(1) / 2


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("real", {"r1-extension": [5.0]}),
        ("fake", {"r2-extension": [25.0]}),
        ("both", {"r1-extension": [5.0], "r2-extension": [25.0]}),
    ],
)
def test_where_the_gradient_is_penalised(at: str, expected: dict[str, list[float]]) -> None:
    loop = loop_with("r1", shape=(2,), options={"r1": {"gamma": 2.0, "at": at}})
    batch = batch_of(double([[1.0, 2.0]]), double([[3.0, 4.0]]))
    assert {k: v.tolist() for k, v in penalties(loop, critic_of(quadratic, batch), batch).items()} == expected


@pytest.mark.parametrize("estimate", ["autograd", "finite"])
def test_a_share_of_the_batch_keeps_its_conditions(estimate: str) -> None:
    """Each sample is scored with its own y: D(x, y) = |x| y, and the penalty of the first two is y^2."""

    class Conditional(torch.nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x[:, 0] * y[:, 0]

    options = {"gamma": 2.0, "at": "both", "share": 0.5, "estimate": estimate}
    loop = loop_with("r1", shape=(2,), options={"r1": options})
    batch = batch_of(torch.ones(4, 2), torch.ones(4, 2))
    batch.condition = torch.tensor([[1.0], [3.0], [100.0], [100.0]])
    torch.manual_seed(0)
    found = penalties(loop, critic_of(Conditional(), batch), batch)
    if estimate == "autograd":
        assert [float(term) for term in found.values()] == [5.0] * 2
    else:  # each is e^2 times that, with one e for each sample
        assert all(0 < float(term) < 5 * 20 for term in found.values())


def network() -> torch.nn.Module:
    """Discriminators of images whose gradients are far from zero and from linear."""
    torch.manual_seed(1)
    first, last = torch.nn.Conv2d(1, 16, 3, 2, 1), torch.nn.Linear(16 * 49, 1)
    return torch.nn.Sequential(
        first, torch.nn.LeakyReLU(0.2), torch.nn.Conv2d(16, 16, 3, 2, 1), torch.nn.SiLU(), torch.nn.Flatten(), last,
        torch.nn.Flatten(0),
    )  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("sigma", [1e-3, 1e-2, 1e-1])
def test_finite_differences_estimate_the_square_in_any_precision_of_the_run(precision: str, sigma: float) -> None:
    """Under autocast in bf16 rounding would be many times the difference: hence the guard in full precision."""
    discriminator, images = network(), torch.randn(64, 1, 28, 28)
    batch = batch_of(images, images)
    critic = Critic(discriminator, batch, Precision(precision, CPU))
    exact = squared_gradients(critic(points := leaf(images)), points).mean()
    estimates = torch.stack([finite_differences(critic, images, sigma).mean() for _ in range(40)])
    assert float((estimates.mean() / exact).detach()) == pytest.approx(1.0, abs=0.1)


def test_without_the_guard_the_estimate_under_bf16_would_be_wrong() -> None:
    """The reason for the guard, so that nobody takes it away as a cost without a use."""
    discriminator, images = network(), torch.randn(64, 1, 28, 28)
    exact = squared_gradients(discriminator(points := leaf(images)), points).mean()
    with Precision("bf16", CPU).autocast():
        moved = discriminator(images + 1e-3 * torch.randn_like(images)).float()
        naive = ((moved - discriminator(images).float()) / 1e-3).square().mean()
    assert float((naive / exact).detach()) > 2


def test_both_passes_of_a_finite_difference_see_the_same_augmentation() -> None:
    """Else the difference would be that of two random changes, divided by sigma^2."""
    calls: list[Tensor] = []

    def noisy(samples: Tensor) -> Tensor:
        calls.append(torch.randn(len(samples), 2, dtype=samples.dtype))
        return samples + calls[-1]

    batch = batch_of(double([[1.0, 2.0]] * 512), double([[0.0, 0.0]] * 512))
    critic = critic_of(LinearCritic(3.0, 4.0), batch)
    critic.shown = noisy
    torch.manual_seed(0)
    estimate = finite_differences(critic, batch.real, 0.01).detach()
    assert torch.equal(*calls)
    assert float(estimate.mean()) == pytest.approx(25, rel=0.3)
    assert len(set(torch.rand(2).tolist()) | {0.0}) == 3  # and the stream has gone on


def test_finite_differences_train_the_discriminator_without_a_second_derivative() -> None:
    """The gradient of the estimate is that of E|grad D|^2: for D(x) = w x it is 2 w."""
    weight = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    batch = batch_of(torch.zeros(20_000, 2).double(), torch.zeros(1, 2).double())
    torch.manual_seed(0)
    finite_differences(critic_of(lambda x: x @ weight, batch), batch.real, 0.01).mean().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == pytest.approx([6.0, 8.0], rel=0.06)


def test_finite_differences_refuse_batch_norm() -> None:
    batch = batch_of(torch.randn(4, 2), torch.randn(4, 2))
    critic = critic_of(torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1)), batch)
    with pytest.raises(InputError, match="batch norm"):
        finite_differences(critic, batch.real)


@pytest.mark.parametrize("variant", ["gan", "r3gan"])
def test_a_step_with_finite_differences(variant: str) -> None:
    own = {"estimate": "finite"}
    options = own if variant == "r3gan" else {"r1": own}
    loop = loop_with(*(["r1"] if variant == "gan" else []), variant=variant, options=options)
    images = torch.randn(2, 4, 3, 16, 16)
    stats = loop.step(Batch(images[0], fresh=Batch(images[1])))
    assert float(stats["d/r1-extension" if variant == "gan" else "d/r1"]) >= 0
