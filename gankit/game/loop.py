"""The training loop's step: phases in turn, and in each of them one player moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from gankit.contracts import Batch
from gankit.errors import PluginError
from gankit.game.ema import Ema
from gankit.game.game import Game, Networks
from gankit.game.latent import draw_z
from gankit.game.loss import AdversarialLoss
from gankit.game.parts import Phase
from gankit.machine import processes
from gankit.settings.config import TrainConfig


class Replayed(Protocol):
    """Phases that are replayed from recordings (CUDA graphs) in place of `TrainingLoop.play`."""

    def __call__(self, name: str, data: Batch) -> dict[str, Tensor]:
        """Play a phase; its statistics."""
        ...

    def forget(self) -> None:
        """Drop what was recorded: a state was loaded."""
        ...


class TrainingLoop(Game):
    """The game: players, the phases in which they move, and the parts that take part in each.

    One `step` shows one batch to the discriminator; the generator moves at every `d_steps`-th of them. A variant with
    more networks adds players and phases to the loop in its `gankit_training_loop`; there is no need to subclass it.
    Random numbers come from torch's global generators, which the run seeds before every step.
    """

    def __init__(self, networks: Networks, loss: AdversarialLoss, config: TrainConfig) -> None:
        super().__init__(networks, loss, config, next(networks.generator.parameters()).device)
        self.ema = Ema(networks.generator, config.ema_halflife_images)
        """The average of the generator that is sampled."""
        self.averages: list[Ema] = []
        """Further averages of the generator, which move when `ema` does. A part that holds their modules keeps them."""
        of_loss = {f"loss.{name}": parameter for name, parameter in loss.named_parameters()}
        self.players |= {
            "generator": self._new_player(
                {**dict(networks.generator.named_parameters()), **of_loss}, config.g_lr, config.g_optimizer
            ),
            "discriminator": self._new_player(
                dict(networks.discriminator.named_parameters()), config.d_lr, config.d_optimizer, config.d_betas
            ),
        }
        self.phases |= {
            "discriminator": Phase(
                "discriminator", loss.discriminator, prefix="d", fakes="detached", penalised=True, frozen=()
            ),
            "generator": Phase(
                "generator",
                loss.generator,
                prefix="g",
                fakes="attached",
                due=lambda: self.due_every(self.d_steps()),
                fresh_reals=config.g_reals == "fresh",
            ),
        }
        self.d_steps: Callable[[], int] = lambda: config.d_steps
        """How many batches the discriminator is shown before the generator's next step."""
        self.replayed: Replayed | None = None
        """Plays phases from recordings, where the run has them."""

    # -- what a step needs ---------------------------------------------------------------------------------------------

    @property
    def generator(self) -> nn.Module:
        """The network to sample from: the averaged generator, in eval mode."""
        return self.ema.module

    @property
    def takes_fresh_reals(self) -> bool:
        """Whether a phase takes a real batch of its own, which the sampler then draws beside that of D."""
        return any(phase.fresh_reals for phase in self.phases.values())

    def sample_z(self, n: int) -> Tensor:
        """z [n, z_dim] from the prior of the run."""
        return draw_z(n, self.config.z_dim, self.config.z_prior, device=self.device)

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim] (and y [N, K]) -> fake samples [N, *shape], float32."""
        return self.call(self.networks.generator, z, *(() if condition is None else (condition,)))

    # -- the step ------------------------------------------------------------------------------------------------------

    def step(self, data: Batch) -> dict[str, Tensor]:
        """Show one batch of real samples and play the phases that are due; returns 0-d tensors on the device by name.

        `data` is a batch as it comes from the sampler: real samples, their labels and conditions, and in `fresh`
        another such batch for the phases that take one. Only the first counts as images shown.
        """
        self._set_schedules()
        for network in (self.networks.generator, self.networks.discriminator, *self.networks.extra.values()):
            network.train()
        due = [name for name, phase in self.phases.items() if phase.due()]
        fakes = _Fakes(self, keep=self.config.reuse_fakes and sum(self.phases[n].fakes != "none" for n in due) > 1)
        moved_before = max((p.last for p in self.phases.values() if p.player == "generator"), default=0)
        stats: dict[str, Tensor] = {}
        for name in due:
            own = self._batch_of(name, data)
            stats |= self.play(name, own, fakes) if self.replayed is None else self.replayed(name, own)
            self._played(name)
        self.steps += 1
        if any(self.phases[name].player == "generator" for name in due):
            batch = len(data.real) * processes.size()
            images = {"images": batch * (self.steps - moved_before), "images_seen": batch * self.steps}
            for average in (self.ema, *self.averages):
                average.update(self.networks.generator, total=self.total_images, **images)
        return stats

    def _batch_of(self, name: str, data: Batch) -> Batch:
        """The real samples of a phase; PluginError where it takes some of its own and there are none."""
        if not self.phases[name].fresh_reals:
            return data
        if data.fresh is None:
            raise PluginError(
                f"the phase '{name}' takes real samples of its own, and this batch has none",
                hint="give `step` a Batch that has another one in `fresh`, as Sampler(…, fresh_reals=True) does",
            )
        return data.fresh

    def play(self, name: str, data: Batch, fakes: _Fakes | None = None) -> dict[str, Tensor]:
        """One phase on these real samples: its player moves once. The docstring of `Part` shows the order."""
        with self._others_frozen(self.phases[name]):
            batch = (fakes or _Fakes(self, keep=False)).into(data, self.phases[name].fakes)
        return self._minimise(name, batch)

    # -- schedules and state -------------------------------------------------------------------------------------------

    @property
    def has_shares(self) -> bool:
        """Whether a schedule has points that are shares of the budget."""
        return super().has_shares or self.ema.halflife.has_shares

    def scheduled(self) -> dict[str, float]:
        """The numbers that follow a schedule, by name, as they were in the last step; for the statistics."""
        found = super().scheduled()
        if not self.ema.halflife.is_constant:
            # The average moves at the end of a step.
            found["ema_halflife"] = self.ema.halflife.at(self.steps * self.config.batch, self.total_images)
        return found

    def load_state_dict(self, state: Mapping[str, Tensor | int | float | str | bool]) -> None:
        """Continue exactly where `state_dict` was taken; raises InputError when names or shapes do not fit."""
        super().load_state_dict(state)
        if self.replayed is not None:
            self.replayed.forget()

    def _modules(self) -> dict[str, nn.Module]:
        """Name -> every module whose parameters and buffers are part of the state."""
        return {"generator": self.networks.generator, **super()._modules(), "ema": self.ema.module}


class _Fakes:
    """The fake samples of one step: drawn anew for each phase, or kept from D's phase for G's (`reuse_fakes`)."""

    def __init__(self, loop: TrainingLoop, *, keep: bool) -> None:
        self.loop, self.keep = loop, keep
        self.kept: tuple[Tensor, Tensor] | None = None

    def into(self, data: Batch, kind: str) -> Batch:
        """The batch of a phase: the real samples of `data`, with fakes for the same conditions."""
        if kind == "none":
            return data
        z, fake = self.kept or self._draw(data, graph=self.keep or kind == "attached")
        self.kept = (z, fake) if self.keep and kind != "attached" else None  # a graph serves one backward pass
        fake = fake if kind == "attached" else fake.detach()
        return replace(data, fake=fake, z=z)

    def _draw(self, data: Batch, *, graph: bool) -> tuple[Tensor, Tensor]:
        z = self.loop.sample_z(len(data.real))
        with torch.set_grad_enabled(graph):
            return z, self.loop.generate(z, data.condition)
