"""The training loop's step: phases in turn, and in each of them one player moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from gankit.contracts import Batch
from gankit.errors import InputError, PluginError
from gankit.game.critic import Critic, frozen
from gankit.game.ema import Ema
from gankit.game.latent import draw_z
from gankit.game.loss import AdversarialLoss, named
from gankit.game.parts import METHODS, Part, Phase, Step, overrides
from gankit.game.players import Player
from gankit.game.state import State, load_module, module_state
from gankit.machine import processes
from gankit.machine.layout import channels_last
from gankit.machine.precision import Precision
from gankit.settings.config import TrainConfig
from gankit.settings.schedule import Number, Schedule


@dataclass
class Networks:
    """The networks of a game, on their device."""

    generator: nn.Module
    """z [N, z_dim] (and y [N, K]) -> samples [N, *shape]."""
    discriminator: nn.Module
    """Samples [N, *shape] (and y [N, K]) -> what the loss reads, as its `CriticOutput` says."""
    extra: dict[str, nn.Module] = field(default_factory=dict)
    """Name -> network: those that a variant or an extension has added."""


class Replayed(Protocol):
    """Phases that are replayed from recordings (CUDA graphs) in place of `TrainingLoop.play`."""

    def __call__(self, name: str, data: Batch) -> dict[str, Tensor]:
        """Play a phase; its statistics."""
        ...

    def forget(self) -> None:
        """Drop what was recorded: a state was loaded."""
        ...


class TrainingLoop:
    """The game: players, the phases in which they move, and the parts that take part in each.

    One `step` shows one batch to the discriminator; the generator moves at every `d_steps`-th of them. A variant with
    more networks adds players and phases to the loop in its `gankit_training_loop`; there is no need to subclass it.
    Random numbers come from torch's global generators, which the run seeds before every step.
    """

    def __init__(self, networks: Networks, loss: AdversarialLoss, config: TrainConfig) -> None:
        self.networks = networks
        """All networks, on `device`."""
        self.loss = loss
        """Its buffers are part of every checkpoint, its parameters learn together with the generator."""
        self.config = config
        """The settings of the game, as resolved."""
        self.device = next(networks.generator.parameters()).device
        """Where networks and batches lie."""
        self.precision = Precision(config.precision, self.device)
        """The arithmetic of the networks: `with loop.precision.autocast():`."""
        self.total_images: int | None = None
        """The budget of the run in images, for schedules in shares of it; None where time alone ends the run."""
        self.ema = Ema(networks.generator, config.ema_halflife_images)
        """The average of the generator that is sampled."""
        self.steps = 0
        """The number of batches shown to the discriminator so far."""
        of_loss = {f"loss.{name}": parameter for name, parameter in loss.named_parameters()}
        self.players: dict[str, Player] = {
            "generator": self._player(
                {**dict(networks.generator.named_parameters()), **of_loss}, config.g_lr, config.g_optimizer
            ),
            "discriminator": self._player(
                dict(networks.discriminator.named_parameters()), config.d_lr, config.d_optimizer, config.d_betas
            ),
        }
        """Name -> player. `add_player` brings another one."""
        self.phases: dict[str, Phase] = {
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
        """Name -> phase, in the order in which they are played."""
        self.d_steps: Callable[[], int] = lambda: config.d_steps
        """How many batches the discriminator is shown before the generator's next step."""
        self.parts: dict[str, Part] = {}
        """Name -> part, in their order; `add_part` adds one."""
        self.replayed: Replayed | None = None
        """Plays phases from recordings, where the run has them."""
        self.logits = False
        """Whether D's scores are logits, so that statistics have the probabilities D(x) and D(G(z))."""
        self._taking: dict[str, list[Part]] = {method: [] for method in METHODS}
        self._scheduled: dict[str, tuple[Schedule, Tensor]] = {}

    def _player(
        self,
        parameters: Mapping[str, nn.Parameter],
        lr: Number,
        optimizer: str | None,
        betas: tuple[Number, Number] | None = None,
    ) -> Player:
        scaler = self.precision.scaler()
        return Player(parameters, self.config, lr=lr, optimizer=optimizer, betas=betas, scaler=scaler)

    # -- before the first step -----------------------------------------------------------------------------------------

    def add_player(
        self, name: str, networks: Mapping[str, nn.Module], *, lr: Number | None = None, optimizer: str | None = None
    ) -> Player:
        """Add a player with networks of its own, by name; they lie in `networks.extra`.

        `lr` is the generator's and `optimizer` that of the settings where they are None. The player moves in the phases
        that name it.
        """
        parameters = {key: p for network, module in networks.items() for key, p in self._adopt(network, module).items()}
        self.players[name] = self._player(parameters, self.config.g_lr if lr is None else lr, optimizer)
        return self.players[name]

    def add_network(self, player: str, name: str, module: nn.Module, *, lr_scale: float = 1.0) -> None:
        """Add a network (an encoder, say) that moves with a player, at `lr_scale` times its learning rate."""
        self.players[player].add(self._adopt(name, module), lr_scale)

    def _adopt(self, name: str, module: nn.Module) -> dict[str, nn.Parameter]:
        if name in self.networks.extra:
            raise PluginError(f"two networks are called '{name}'", hint="give one of them another name")
        self.networks.extra[name] = channels_last(module.to(self.device))
        return {f"{name}.{key}": parameter for key, parameter in module.named_parameters()}

    def add_part(self, name: str, part: Part) -> None:
        """Let a part take part in every step from now on; InputError where it changes samples that D reconstructs."""
        if name in self.parts:
            raise PluginError(f"two parts of the game are called '{name}'", hint="give one of them another name")
        if overrides(part, "shown") and self.loss.output.code:
            raise InputError(
                f"'{name}' changes samples, and this discriminator is to reconstruct the ones it was given",
                hint=f"leave out --with {name}, or take another variant",
            )
        self.parts[name] = part.to(self.device)
        for method in METHODS:
            if overrides(part, method):
                self._taking[method].append(part)

    def follow(self, name: str, schedule: Schedule, value: Tensor) -> None:
        """Let a 0-d tensor follow a schedule: it is set before every step."""
        self._scheduled[name] = (schedule, value)

    # -- what a step needs ---------------------------------------------------------------------------------------------

    @property
    def generator(self) -> nn.Module:
        """The network to sample from: the averaged generator, in eval mode."""
        return self.ema.module

    @property
    def penalised(self) -> bool:
        """Whether the loss or a part has gradient penalties."""
        own = type(self.loss).penalties is not AdversarialLoss.penalties
        return own or bool(self._taking["penalties"])

    @property
    def critic_spaces(self) -> tuple[str, ...]:
        """Names of the feature spaces that the game holds: scores in them are marked, because its critic knows them.

        A module of D, of a part or of another network that uses a fixed network names its space in an attribute
        `feature_space`: 'lite0'.
        """
        modules = (module for root in self._modules().values() for module in root.modules())
        return tuple(sorted({str(module.feature_space) for module in modules if hasattr(module, "feature_space")}))

    def penalty_gain(self, phase: str) -> int:
        """The weight of gradient penalties in a phase of the present step; 0 where they are not due."""
        every = self.config.penalty_every
        return every if self.phases[phase].penalised and self.steps % every == 0 else 0

    def due_every(self, batches: int, phase: str = "generator") -> bool:
        """Whether a phase is due that is played once in so many batches."""
        return self.steps + 1 - self.phases[phase].last >= batches

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

    def call(self, network: nn.Module, *inputs: Tensor) -> Tensor:
        """A network's output for some inputs in the precision of the run, as float32."""
        with self.precision.autocast():
            output: Tensor = network(*inputs)
        return output.float()

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
            phase, own = self.phases[name], self._batch_of(name, data)
            stats |= self.play(name, own, fakes) if self.replayed is None else self.replayed(name, own)
            phase.turns, phase.last = phase.turns + 1, self.steps + 1
        self.steps += 1
        if any(self.phases[name].player == "generator" for name in due):
            batch = len(data.real) * processes.size()
            images = {"images": batch * (self.steps - moved_before), "images_seen": batch * self.steps}
            self.ema.update(self.networks.generator, total=self.total_images, **images)
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
        phase = self.phases[name]
        player, scaler = self.players[phase.player], self.players[phase.player].scaler
        others = [other for other in self.players if other != phase.player] if phase.frozen is None else phase.frozen
        batch_size = len(data.real) * processes.size()
        step = Step(
            phase,
            name,
            player,
            number=self.steps,
            images=(self.steps + 1) * batch_size,
            images_since=(self.steps + 1 - phase.last) * batch_size,
            penalty_gain=self.penalty_gain(name),
        )
        with frozen(parameter for other in others for parameter in self.players[other].parameters.values()):
            batch = (fakes or _Fakes(self, keep=False)).into(data, phase.fakes)
            self._find_terms(step, self._critic(batch, step), batch)
            total = torch.stack([term.float().mean() for term in step.terms.values()]).sum()
            player.optimizer.zero_grad()
            scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in player.parameters.values() if p.grad is not None]
        processes.average(gradients, f"the gradients in the phase '{name}'")
        if scaler.is_enabled() and self._taking["before_update"]:
            scaler.unscale_(player.optimizer)  # parts see gradients as they are
        for part in self._taking["before_update"]:
            part.before_update(step)
        stats = self._statistics(step, gradients)
        scaler.step(player.optimizer)
        if scaler.is_enabled():
            stats[f"skipped/{phase.player}"] = _update_scale(scaler, self.device)
        for part in self._taking["after_update"]:
            stats |= part.after_update(step)
        return stats

    def _find_terms(self, step: Step, critic: Critic, batch: Batch) -> None:
        """The terms of a phase: the loss's, penalties where they are due, and those of parts."""
        self._collect(step, named(step.phase.objective(critic, batch), step.phase.objective))
        if step.penalty_gain:
            found = named(self.loss.penalties(critic, batch), self.loss.penalties)
            for part in self._taking["penalties"]:
                found |= named(part.penalties(critic, batch, step), part.penalties)
            gain = step.penalty_gain
            self._collect(step, found if gain == 1 else {key: gain * term for key, term in found.items()})
        for part in self._taking["terms"]:
            self._collect(step, named(part.terms(critic, batch, step), part.terms))
        if not step.terms:
            raise PluginError(f"there is nothing to minimise in the phase '{step.name}'", hint="return named terms")

    def _statistics(self, step: Step, gradients: list[Tensor]) -> dict[str, Tensor]:
        """Terms, scores, what the loss has logged and the norm of the gradients, as 0-d tensors."""
        prefix = step.phase.prefix or step.name
        stats = {f"{prefix}/{name}": term.detach().float().mean() for name, term in step.terms.items()}
        if step.phase.player == "discriminator" and step.critic is not None:
            stats |= step.critic.stats
            if self.logits:
                stats |= step.critic.probabilities
        stats |= {key: value.float().mean() for key, value in self.loss.logged.items()}
        self.loss.logged.clear()
        if not step.player.scaler.is_enabled():
            stats[f"grad/{step.phase.player}"] = torch.stack(torch._foreach_norm(gradients)).norm()
        return stats

    def _critic(self, batch: Batch, step: Step) -> Critic:
        """The discriminator for one phase, as the parts change it."""

        def shown(samples: Tensor) -> Tensor:
            for part in self._taking["shown"]:
                samples = part.shown(samples, step)
            return samples

        critic = Critic(
            self.networks.discriminator,
            batch,
            self.precision,
            conditional=self.loss.output.condition != "none",
            shown=shown if self._taking["shown"] else None,
            penalties_due=step.penalty_gain > 0,
        )
        for part in self._taking["critic"]:
            critic = part.critic(critic, step)
        step.critic = critic
        return critic

    @staticmethod
    def _collect(step: Step, terms: Mapping[str, Tensor]) -> None:
        """Add terms to those of the phase; PluginError for what is none."""
        for name, term in terms.items():
            if not isinstance(term, Tensor):
                raise PluginError(
                    f"the term '{name}' of the phase '{step.name}' is {type(term).__name__}",
                    hint="a term is a tensor with its graph, not what .item() gives",
                )
            if term.ndim > 1:
                raise PluginError(
                    f"the term '{name}' of the phase '{step.name}' is {list(term.shape)}",
                    hint="a term is [N] or a scalar; scores [N] and [N, 1] make [N, N] of a difference",
                )
            if name in step.terms:
                raise PluginError(
                    f"two terms of the phase '{step.name}' are called '{name}'", hint="rename one of them"
                )
        step.terms |= terms

    # -- schedules -----------------------------------------------------------------------------------------------------

    def _set_schedules(self) -> None:
        """Set every number that follows a schedule to its value for the coming step."""
        images = self.steps * self.config.batch
        for player in self.players.values():
            if player.follows:
                player.follow(images, self.total_images)
        for schedule, value in self._scheduled.values():
            value.fill_(schedule.at(images, self.total_images))

    @property
    def has_shares(self) -> bool:
        """Whether a schedule has points that are shares of the budget."""
        schedules = [schedule for schedule, _ in self._scheduled.values()] + [self.ema.halflife]
        schedules += [schedule for player in self.players.values() for schedule in (player.lr, *player.betas)]
        return any(schedule.has_shares for schedule in schedules)

    def scheduled(self) -> dict[str, float]:
        """The numbers that follow a schedule, by name, as they were in the last step; for the statistics."""
        images, total = max(0, self.steps - 1) * self.config.batch, self.total_images
        found = {
            f"{name}/{key}": value
            for key, player in self.players.items()
            for name, value in player.values(images, total).items()
        }
        if not self.ema.halflife.is_constant:
            # The average moves at the end of a step.
            found["ema_halflife"] = self.ema.halflife.at(self.steps * self.config.batch, total)
        return found | {name: schedule.at(images, total) for name, (schedule, _) in self._scheduled.items()}

    # -- state ---------------------------------------------------------------------------------------------------------

    def state_dict(self) -> State:
        """Everything a later step depends on, as flat names -> tensors or JSON scalars."""
        state: State = {"steps": self.steps}
        for name, phase in self.phases.items():
            state |= {f"phase.{name}.turns": phase.turns, f"phase.{name}.last": phase.last}
        for name, module in self._modules().items():
            state |= module_state(name, module)
        for name, player in self.players.items():
            state |= player.state_dict(name)
        return state

    def shared_state(self) -> dict[str, Tensor]:
        """The part of the state that is equal in all processes of a run: all but running statistics of batch norm."""
        own = {
            f"{prefix}.{place}.{name}".replace("..", ".")
            for prefix, module in self._modules().items()
            for place, layer in module.named_modules()
            if isinstance(layer, nn.modules.batchnorm._BatchNorm)
            for name, _ in layer.named_buffers()
        }
        state = {name: value for name, value in self.state_dict().items() if name not in own}
        return {name: torch.as_tensor(value) for name, value in state.items() if not isinstance(value, str)}

    def load_state_dict(self, state: Mapping[str, Tensor | int | float | str | bool]) -> None:
        """Continue exactly where `state_dict` was taken; raises InputError when names or shapes do not fit."""
        for name, module in self._modules().items():
            load_module(name, module, state)
        for name, player in self.players.items():
            player.load_state_dict(name, state)
        for name, phase in self.phases.items():
            phase.turns, phase.last = int(state[f"phase.{name}.turns"]), int(state[f"phase.{name}.last"])
        self.steps = int(state["steps"])
        if self.replayed is not None:
            self.replayed.forget()

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "generator": self.networks.generator,
            "discriminator": self.networks.discriminator,
            **{f"extra.{name}": network for name, network in self.networks.extra.items()},
            "ema": self.ema.module,
            "loss": self.loss,
            **{f"parts.{name}": part for name, part in self.parts.items()},
        }


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
        return Batch(data.real, fake, z, data.labels, data.condition)

    def _draw(self, data: Batch, *, graph: bool) -> tuple[Tensor, Tensor]:
        z = self.loop.sample_z(len(data.real))
        with torch.set_grad_enabled(graph):
            return z, self.loop.generate(z, data.condition)


def _update_scale(scaler: torch.amp.GradScaler, device: torch.device) -> Tensor:
    """Adapt the scale of fp16 gradients; 1 where the step was skipped, else 0."""
    one = torch.ones((), device=device)
    before = scaler.scale(one)
    scaler.update()
    return (scaler.scale(one) < before).float()
