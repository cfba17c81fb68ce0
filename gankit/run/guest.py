"""The game of an adversary in somebody else's loop: all of a game but its generator."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gankit.contracts import Batch
from gankit.errors import InputError
from gankit.game.game import Game, Networks
from gankit.game.loss import AdversarialLoss
from gankit.game.parts import Phase, Step
from gankit.game.state import State
from gankit.machine import processes
from gankit.machine.precision import Precision
from gankit.run.plan import Plan
from gankit.run.rehearsal import fitting

D, G = "discriminator", "generator"
MEMORY = 0.98  # of the averages of `Adversary.verdict`


def short_name(dtype: torch.dtype) -> str:
    """'float32' of torch.float32."""
    return str(dtype).removeprefix("torch.")


class GuestGame(Game):
    """The game without a generator: two phases, of which D's is played here and G's is a loss for somebody else."""

    def __init__(
        self, networks: Networks, loss: AdversarialLoss, plan: Plan, device: torch.device, *, callers: bool
    ) -> None:
        super().__init__(networks, loss, plan.config, device, CallersPrecision(device) if callers else None)
        self.watched = torch.zeros(2, device=device)
        """Averages over steps: the share of real samples scored above fake ones, and the size of scores."""
        config = plan.config
        self.seen = 0
        """The number of real samples that D has seen, in all processes."""
        self.pending = 0
        """Those of the step that is not finished; its gradients may be accumulated."""
        self.logits = plan.composition.info.scores == "logits"
        parameters = dict(networks.discriminator.named_parameters())
        self.players = {D: self._new_player(parameters, config.d_lr, config.d_optimizer, config.d_betas)}
        self.caller = copy.copy(self.players[D])
        """Who moves in the other phase, as parts see it: its loss is not scaled here."""
        self.caller.scaler = torch.amp.GradScaler(device.type, enabled=False)
        self.phases = {
            D: Phase(D, loss.discriminator, prefix="d", fakes="detached", penalised=True, frozen=()),
            G: Phase(G, loss.generator, prefix="g", fakes="attached", frozen=(D,)),
        }

    def attend(self) -> None:
        """Follow the networks where the caller has moved them."""
        device = next(self.networks.discriminator.parameters()).device
        if device != self.device:
            self.device, self.watched = device, self.watched.to(device)
            self.precision = (
                CallersPrecision(device)
                if isinstance(self.precision, CallersPrecision)
                else Precision(self.precision.name, device)
            )

    def begin(self, name: str, n: int) -> Step:
        """The present step of a phase, on `n` samples of this process."""
        phase, size = self.phases[name], n * processes.size()
        if name == D:
            self._set_schedules()
            self.pending += size
        player = self.players[D] if name == D else self.caller
        images = self.seen + (self.pending or size)
        return Step(
            phase, name, player, number=self.steps, images=images,
            images_since=images - self.seen, penalty_gain=self.penalty_gain(name),
        )  # fmt: skip

    def objective(self, step: Step, batch: Batch) -> Tensor:
        """What a phase minimises, with its graph."""
        return self._objective(step, batch)

    def only(self, name: str) -> AbstractContextManager[None]:
        """The context in which the discriminator gets no gradient."""
        return self._others_frozen(self.phases[name])

    def finish(self, step: Step) -> dict[str, Tensor]:
        """Move D and count the step."""
        stats = self._update(step)
        self._watch(step)
        self._played(D)
        self.steps, self.seen, self.pending = self.steps + 1, step.images, 0
        return stats

    @property
    def images(self) -> int:
        """Where schedules are."""
        return self.seen

    def _watch(self, step: Step) -> None:
        """Follow the scores of a step, without waiting for the device."""
        if step.critic is None or step.critic.real is None or step.critic.fake is None:
            return
        real, fake = step.critic.real.float(), step.critic.fake.float()
        ordered = (real > fake).float().mean() + 0.5 * (real == fake).float().mean()
        now = torch.stack([ordered, (real.abs().mean() + fake.abs().mean()) / 2])
        kept = min(MEMORY, self.steps / (self.steps + 1))  # a mean of all at first
        self.watched.lerp_(torch.nan_to_num(now, nan=torch.inf), 1 - kept)

    def counters(self) -> State:
        """All state that is no parameter or buffer of a module."""
        return self._counters() | {"seen": self.seen, "watched": self.watched.clone()}

    def restore(self, state: State) -> None:
        """Continue where `counters` was taken."""
        self._restore_counters(state)
        self.seen = int(state["seen"])
        self.watched.copy_(torch.as_tensor(state["watched"]))


class CallersPrecision(Precision):
    """The arithmetic that the caller has chosen: its autocast stays in force, but for penalties."""

    def __init__(self, device: torch.device) -> None:
        self.name, self.device_type, self._in_full = "the caller's", device.type, False

    @contextmanager
    def full(self) -> Iterator[None]:
        with torch.autocast(self.device_type, enabled=False):
            yield

    def autocast(self) -> AbstractContextManager[None]:
        return nullcontext()


class Scores(nn.Module):
    """A discriminator whose maps of scores [N, …] are scores: of every position one, [N · positions]."""

    def __init__(self, network: nn.Module, loss: AdversarialLoss) -> None:
        super().__init__()
        self.network = network
        self.reads = loss.output

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        """Samples [N, *shape] -> what the loss reads."""
        try:
            output = self.network(samples) if condition is None else self.network(samples, condition)
        except RuntimeError as error:
            own = next(parameter.dtype for parameter in self.network.parameters() if parameter.is_floating_point())
            if samples.dtype == own or torch.is_autocast_enabled(samples.device.type):
                raise
            raise InputError(
                f"samples are {short_name(samples.dtype)}, the discriminator is {short_name(own)}: {error}",
                hint="convert one of them",
            ) from error
        if not isinstance(output, Tensor) or output.shape[:1] != samples.shape[:1]:
            given = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"the discriminator gave {given} for {len(samples)} samples", hint="scores [N], or maps [N, …]"
            )
        if self.reads.heads:
            wanted, hint = fitting(output, tuple(samples.shape), self.reads)
            if wanted:
                raise InputError(f"the discriminator gave {list(output.shape)}, the loss reads {wanted}", hint=hint)
            return output
        return output.flatten()


class Elsewhere(nn.Module):
    """In place of the generator, which is the caller's."""

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        if memo:  # a copy of the whole adversary
            return Elsewhere()
        raise InputError(
            "the generator is not the adversary's: a part wants to average it",
            hint="gankit.plugin.Ema(module, halflife)",
        )


class FakesOnly:
    """A batch without real samples; whoever asks for them is told."""

    z = fresh = None

    def __init__(self, fake: Tensor, labels: Tensor | None, condition: Tensor | None) -> None:
        self.fake, self.labels, self.condition = fake, labels, condition

    @property
    def real(self) -> Tensor:
        raise InputError("this loss compares fake samples with real ones", hint="g_loss(fake, real)")
