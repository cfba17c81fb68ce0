"""Values of a plugin's formulas worked out by hand, and their comparison with the results on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gankit.contracts import Batch
from gankit.game.critic import Critic
from gankit.game.loss import AdversarialLoss, Terms, named
from gankit.game.parts import Part, Phase, Step
from gankit.game.players import Player
from gankit.machine.precision import Precision, switches_kept
from gankit.settings.config import TrainConfig

# Tolerances relative to max(1, |expected|). bf16 has eight bits: 2^-8 per operation.
TOLERANCE = {"fp64": 1e-9, "fp32": 2e-6, "tf32": 2e-3, "fp16": 2e-3, "bf16": 2e-2}


class LinearCritic(nn.Module):
    """The critic D(x) = w · x, whose gradient is w everywhere."""

    def __init__(self, *weights: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weights, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, …] -> [N]."""
        return nn.functional.linear(x.flatten(1), self.weight[None]).squeeze(1)


class _Identity(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Scored(AdversarialLoss):
    """Scores both sides and minimises nothing: the loss of a vector that is about a part alone."""

    def discriminator(self, critic: Critic, batch: Batch) -> Terms:
        """No terms."""
        critic(batch.real)
        critic(batch.fake)
        return {}

    def generator(self, critic: Critic, batch: Batch) -> Terms:
        """No terms."""
        critic(batch.fake)
        return {}


@dataclass(frozen=True, kw_only=True)
class Vector:
    """One case: the expected values of a loss or a part for some samples and a critic.

    `expected` names the values: 'd' and 'g' are the sums of a player's terms, 'd/<term>' and 'g/<term>' the mean of
    one, 'state/<buffer>' a buffer of the loss or the part after both players, '<name>' a value that the loss logged.
    Without a critic the samples are the scores themselves.
    """

    name: str
    """The name of the case, as printed."""
    loss: Callable[[], AdversarialLoss] = Scored
    """A fresh loss; by default one that scores both sides and minimises nothing."""
    part: Callable[[], Part] | None = None
    """A fresh part, whose terms and penalties come beside those of the loss."""
    real: Sequence[Any]
    """Real samples, nested lists [N, *shape]."""
    fake: Sequence[Any]
    """Fake samples [N, *shape]."""
    expected: Mapping[str, float]
    """Name of a value -> the value worked out by hand."""
    critic: Callable[[], nn.Module] | None = None
    """Makes the discriminator; None: samples are scores."""
    labels: Sequence[int] | None = None
    """Labels [N] of the real samples."""
    condition: Sequence[Sequence[float]] | None = None
    """y [N, K]."""
    z: Sequence[Sequence[float]] | None = None
    """Latent vectors [N, z_dim] of the fakes."""
    state: Mapping[str, float] | None = None
    """Buffers of the loss at the start."""
    source: str = ""
    """The source of the value: paper and equation."""


@dataclass(frozen=True)
class Checked:
    """One value of a vector, as expected and as computed."""

    vector: str
    value: str
    expected: float
    got: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether both agree within the tolerance; NaN does not."""
        return abs(self.got - self.expected) <= self.tolerance * max(1.0, abs(self.expected))


def check(vector: Vector, device: torch.device, precision: str) -> Iterator[Checked]:
    """Compute a vector on a device in 'fp64' or a precision of training, with seeded random numbers."""
    dtype = torch.float64 if precision == "fp64" else torch.float32
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), switches_kept():
        torch.manual_seed(0)
        policy = Precision("fp32" if precision == "fp64" else precision, device)
        got = _compute(vector, device, dtype, policy)
    for name, expected in vector.expected.items():
        yield Checked(vector.name, name, expected, got[name], TOLERANCE[precision])


def _compute(vector: Vector, device: torch.device, dtype: torch.dtype, precision: Precision) -> dict[str, float]:
    loss = vector.loss().to(device, dtype)
    part = (vector.part() if vector.part else Part()).to(device, dtype)
    critic = (vector.critic() if vector.critic else _Identity()).to(device, dtype)
    buffers = dict([*loss.named_buffers(), *part.named_buffers()])
    for name, value in (vector.state or {}).items():
        buffers[name].fill_(value)
    batch = Batch(
        real=torch.tensor(vector.real, dtype=dtype, device=device),
        fake=torch.tensor(vector.fake, dtype=dtype, device=device),
        z=torch.tensor(vector.z or [[0.0]] * len(vector.fake), dtype=dtype, device=device),
        labels=None if vector.labels is None else torch.tensor(vector.labels, device=device),
        condition=None if vector.condition is None else torch.tensor(vector.condition, dtype=dtype, device=device),
    )
    got: dict[str, float] = {}
    for phase in (
        Phase("discriminator", loss.discriminator, prefix="d", penalised=True),
        Phase("generator", loss.generator, prefix="g"),
    ):
        terms = _terms(phase, loss, part, Critic(critic, batch, precision, penalties_due=phase.penalised), batch)
        means = {f"{phase.prefix}/{name}": float(term.detach().mean()) for name, term in terms.items()}
        got |= {**means, phase.prefix: sum(means.values())}
    got |= {name: float(value.mean()) for name, value in loss.logged.items()}
    return got | {f"state/{name}": float(value) for name, value in buffers.items() if value.numel() == 1}


def _terms(phase: Phase, loss: AdversarialLoss, part: Part, critic: Critic, batch: Batch) -> dict[str, Tensor]:
    """All terms of a phase in the first step, with penalties in that of the discriminator."""
    nothing = {"nothing": nn.Parameter(torch.zeros((), device=batch.real.device))}  # nobody moves in a vector
    player = Player(nothing, TrainConfig(), lr=0.0, optimizer="sgd", scaler=critic.precision.scaler())
    n = len(batch.real)
    step = Step(phase, phase.player, player, number=0, images=n, images_since=n, penalty_gain=int(phase.penalised))
    critic = step.critic = part.critic(critic, step)
    step.terms |= named(phase.objective(critic, batch), phase.objective)
    if phase.penalised:
        step.terms |= named(loss.penalties(critic, batch), loss.penalties)
        step.terms |= named(part.penalties(critic, batch, step), part.penalties)
    return step.terms | named(part.terms(critic, batch, step), part.terms)
