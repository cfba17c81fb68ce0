"""The Jacobian of a game's vector field: against differences of gradients written down by hand, and against theory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm

from gankit.contracts import Batch
from gankit.game.critic import Critic
from gankit.game.field import VectorField
from gankit.game.game import Networks
from gankit.game.loop import TrainingLoop
from gankit.game.loss import AdversarialLoss
from gankit.game.parts import Part, Phase, Step
from gankit.game.penalties import leaf, squared_gradients
from gankit.look.arnoldi import leading
from gankit.settings.config import TrainConfig

GAMMA = 0.6


class Logistic(AdversarialLoss):
    """Non-saturating, with gamma/2 |dD/dx|² at both sides' samples, and fakes that are compared with detached scores."""

    def __init__(self, gamma: float, *, compared: bool = False) -> None:
        super().__init__()
        self.gamma, self.compared = gamma, compared

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        pair = critic.pair()
        return {"real": softplus(-pair.real), "fake": softplus(pair.fake)}

    def penalties(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        squares = squared_gradients(critic.pair().scores, critic.pair().points)
        return {name: self.gamma / 2 * part for name, part in zip(("r1", "r2"), squares.chunk(2), strict=True)}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        against = critic(batch.real).detach() if self.compared else 0.0
        return {"fake": softplus(against - critic(batch.fake))}


def game(generator: nn.Module, discriminator: nn.Module, loss: AdversarialLoss, z_dim: int = 2) -> TrainingLoop:
    return TrainingLoop(Networks(generator.double(), discriminator.double()), loss, TrainConfig(batch=6, z_dim=z_dim))


def matrix_of(field: VectorField) -> Tensor:
    """dv/dtheta [P, P]."""
    return torch.stack([field.transposed(row) for row in torch.eye(field.size, dtype=torch.float64)])


class Constant(nn.Module):
    """G(z) = theta."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1))

    def forward(self, z: Tensor) -> Tensor:
        return self.theta.expand(len(z), 1)


class Line(nn.Module):
    """D(x) = psi x."""

    def __init__(self) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.psi * x[:, 0]


@pytest.mark.parametrize("gamma", [0.0, 0.15])
def test_the_dirac_game_has_the_eigenvalues_of_theory(gamma: float) -> None:
    """-gamma ± sqrt(gamma² - 1/4) with R1 and R2 of gamma/2 each (Mescheder et al. 2018, lemma 3.2)."""
    loop = game(Constant(), Line(), Logistic(gamma))
    zeros = torch.zeros(6, 1, dtype=torch.float64)
    field = VectorField(loop, Batch(zeros), torch.zeros(6, 2, dtype=torch.float64))
    root = (0.25 - gamma**2) ** 0.5
    found = leading(field.transposed, field.value, count=2, most=10)
    assert sorted((e.value.real, e.value.imag) for e in found) == [
        pytest.approx((-gamma, -root), abs=1e-6),
        pytest.approx((-gamma, root), abs=1e-6),
    ]


def small_networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(1)
    generator = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))
    discriminator = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0))
    return generator, discriminator


def test_the_leading_eigenvalues_are_those_of_the_whole_jacobian() -> None:
    """The field is written down anew here, without gankit, and its Jacobian is that of central differences."""
    generator, discriminator = small_networks()
    loop = game(generator, discriminator, Logistic(GAMMA, compared=True))
    real, z = (torch.randn(6, 2, dtype=torch.float64) for _ in range(2))
    parameters = [*generator.parameters(), *discriminator.parameters()]
    count = len(list(generator.parameters()))

    def by_hand() -> Tensor:
        fake, scores = generator(z), discriminator(real)
        of_g = torch.autograd.grad(softplus(scores.detach() - discriminator(fake)).mean(), parameters[:count])
        points = torch.cat([real, fake.detach()]).requires_grad_()
        scores = discriminator(points)
        (slopes,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
        both = torch.cat([softplus(-scores[:6]), softplus(scores[6:])]) + GAMMA / 2 * slopes.square().sum(1)
        of_d = torch.autograd.grad(2 * both.mean(), parameters[count:])
        return -torch.cat([slope.reshape(-1) for slope in (*of_g, *of_d)])

    columns = []
    for parameter in parameters:
        for index in range(parameter.numel()):
            sides = []
            for shift in (1e-5, -2e-5):
                with torch.no_grad():
                    parameter.view(-1)[index] += shift
                sides.append(by_hand())
            with torch.no_grad():
                parameter.view(-1)[index] += 1e-5
            columns.append((sides[0] - sides[1]) / 2e-5)
    expected = torch.stack(columns, dim=1)

    field = VectorField(loop, Batch(real), z)
    assert torch.allclose(field.value, by_hand(), atol=1e-7)
    assert torch.allclose(matrix_of(field), expected, atol=1e-6)
    found = leading(field.transposed, field.value, count=20, most=field.size, share=1e-9)
    true = sorted(torch.linalg.eigvals(expected).tolist(), key=abs, reverse=True)
    assert len(found) == 20
    for one in true[:19]:  # the twentieth may be one of a pair
        assert min(abs(one - other.value) for other in found) < 1e-6


def test_looking_leaves_modes_statistics_and_power_iterations_as_they_are() -> None:
    generator, _ = small_networks()
    discriminator = nn.Sequential(spectral_norm(nn.Linear(2, 4)), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0))
    loop = game(generator, discriminator.eval(), Logistic(0.0))
    before = {name: tensor.clone() for name, tensor in discriminator.state_dict().items()}
    real, z = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    VectorField(loop, Batch(real), z)
    assert all(torch.equal(tensor, before[name]) for name, tensor in discriminator.state_dict().items())
    assert not any(module.training for module in discriminator.modules())
    assert all(parameter.grad is None for parameter in discriminator.parameters())


def test_a_phase_that_is_played_half_as_often_counts_half() -> None:
    loop = game(*small_networks(), Logistic(0.0))
    real, z = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    alone = VectorField(loop, Batch(real), z).value
    weight = loop.networks.generator[0].weight  # type: ignore[index]
    loop.phases["pull"] = Phase("generator", lambda critic, batch: {"sum": weight.sum()}, turns=5)
    loop.phases["generator"].turns = 10
    pulled = VectorField(loop, Batch(real), z).value
    assert torch.allclose(pulled[:8], alone[:8] - 0.5)
    assert torch.allclose(pulled[8:], alone[8:])


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


class Once(Part):
    def shown(self, samples: Tensor, step: Step) -> Tensor:
        return Doubled.apply(samples) if step.name == "generator" else samples  # type: ignore[no-any-return]


def test_a_function_that_is_differentiable_once_is_refused_and_not_left_out() -> None:
    loop = game(*small_networks(), Logistic(0.0))
    loop.add_part("once", Once())
    real, z = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        VectorField(loop, Batch(real), z)


class AtReal(Part):
    """R1 at a leaf, as most penalties take it."""

    def penalties(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        points = leaf(batch.real)
        return {"r1-part": GAMMA / 2 * squared_gradients(critic(points), points)}


def test_penalties_count_with_their_average_weight_whatever_their_rhythm() -> None:
    real, z = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    values = []
    for every in (1, 4):
        networks = Networks(*(network.double() for network in small_networks()))
        loop = TrainingLoop(networks, Logistic(0.0), TrainConfig(batch=6, z_dim=2, penalty_every=every))
        loop.add_part("r1", AtReal())
        loop.steps = 3
        values.append(VectorField(loop, Batch(real), z).value)
    without = VectorField(game(*small_networks(), Logistic(0.0)), Batch(real), z).value
    assert torch.equal(values[0], values[1])
    assert not torch.allclose(values[0], without)
