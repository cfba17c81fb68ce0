"""The game: players, the phases in which they move, the parts beside the loss, and how one phase is played."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gankit.contracts import Batch
from gankit.errors import InputError, PluginError
from gankit.game.critic import Critic, frozen
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


class Game:
    """What a training loop of gankit and an adversary in somebody else's loop have in common: all but the generator."""

    def __init__(
        self,
        networks: Networks,
        loss: AdversarialLoss,
        config: TrainConfig,
        device: torch.device,
        precision: Precision | None = None,
    ) -> None:
        self.networks = networks
        """All networks, on `device`."""
        self.loss = loss
        """Its buffers are part of every checkpoint, its parameters learn together with the generator."""
        self.config = config
        """The settings of the game, as resolved."""
        self.device = device
        """Where networks and batches lie."""
        self.precision = Precision(config.precision, device) if precision is None else precision
        """The arithmetic of the networks: `with loop.precision.autocast():`."""
        self.total_images: int | None = None
        """The budget of the run in images, for schedules in shares of it; None where time alone ends the run."""
        self.steps = 0
        """The number of batches shown to the discriminator so far."""
        self.players: dict[str, Player] = {}
        """Name -> player. `add_player` brings another one."""
        self.phases: dict[str, Phase] = {}
        """Name -> phase, in the order in which they are played."""
        self.parts: dict[str, Part] = {}
        """Name -> part, in their order; `add_part` adds one."""
        self.logits = False
        """Whether D's scores are logits, so that statistics have the probabilities D(x) and D(G(z))."""
        self._taking: dict[str, list[Part]] = {method: [] for method in METHODS}
        self._scheduled: dict[str, tuple[Schedule, Tensor]] = {}

    def _new_player(
        self,
        parameters: Mapping[str, nn.Parameter],
        lr: Number,
        optimizer: str | None,
        betas: tuple[Number, Number] | None = None,
    ) -> Player:
        """A player with an optimiser of the settings, which is not yet one of the game's."""
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
        self.players[name] = self._new_player(parameters, self.config.g_lr if lr is None else lr, optimizer)
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

    def call(self, network: nn.Module, *inputs: Tensor) -> Tensor:
        """A network's output for some inputs in the precision of the run, as float32; that of a float64 one stays."""
        with self.precision.autocast():
            output: Tensor = network(*inputs)
        return output if output.dtype == torch.float64 else output.float()

    # -- a phase -------------------------------------------------------------------------------------------------------

    def _begin(self, name: str, batch: Batch) -> Step:
        """The present step of a phase on a batch, before anything is computed."""
        phase = self.phases[name]
        size = len(batch.real) * processes.size()
        return Step(
            phase,
            name,
            self.players[phase.player],
            number=self.steps,
            images=(self.steps + 1) * size,
            images_since=(self.steps + 1 - phase.last) * size,
            penalty_gain=self.penalty_gain(name),
        )

    def _minimise(self, name: str, batch: Batch) -> dict[str, Tensor]:
        """One phase on a batch with the fakes that it wants: its player moves once; statistics as 0-d tensors.

        The docstring of `Part` shows the order.
        """
        step = self._begin(name, batch)
        player = step.player
        with self._others_frozen(step.phase):
            total = self._objective(step, batch)
            player.optimizer.zero_grad()
            player.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        return self._update(step)

    def _others_frozen(self, phase: Phase) -> AbstractContextManager[None]:
        """The context in which only the player of a phase gets gradients."""
        others = [other for other in self.players if other != phase.player] if phase.frozen is None else phase.frozen
        return frozen(parameter for other in others for parameter in self.players[other].parameters.values())

    def _objective(self, step: Step, batch: Batch) -> Tensor:
        """What a phase minimises, with its graph: the sum of the means of all terms, which stay in `step.terms`."""
        self._find_terms(step, self._critic(batch, step), batch)
        return torch.stack([term.float().mean() for term in step.terms.values()]).sum()

    def _update(self, step: Step) -> dict[str, Tensor]:
        """The player of a phase moves, its gradients being there; statistics as 0-d tensors."""
        player, scaler = step.player, step.player.scaler
        gradients = [p.grad for p in player.parameters.values() if p.grad is not None]
        processes.average(gradients, f"the gradients in the phase '{step.name}'")
        if scaler.is_enabled() and self._taking["before_update"]:
            scaler.unscale_(player.optimizer)  # parts see gradients as they are
        for part in self._taking["before_update"]:
            part.before_update(step)
        stats = self._statistics(step, gradients)
        scaler.step(player.optimizer)
        if scaler.is_enabled():
            stats[f"skipped/{step.phase.player}"] = _update_scale(scaler, self.device)
        for part in self._taking["after_update"]:
            stats |= part.after_update(step)
        return stats

    def _played(self, name: str) -> None:
        """Count a phase as played in the present step."""
        phase = self.phases[name]
        phase.turns, phase.last = phase.turns + 1, self.steps + 1

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
        if gradients and not step.player.scaler.is_enabled():
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
        images = self.images
        for player in self.players.values():
            if player.follows:
                player.follow(images, self.total_images)
        for schedule, value in self._scheduled.values():
            value.fill_(schedule.at(images, self.total_images))

    @property
    def images(self) -> int:
        """The number of real samples that D has seen: where schedules are."""
        return self.steps * self.config.batch

    @property
    def has_shares(self) -> bool:
        """Whether a schedule has points that are shares of the budget."""
        schedules = [schedule for schedule, _ in self._scheduled.values()]
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
        return found | {name: schedule.at(images, total) for name, (schedule, _) in self._scheduled.items()}

    # -- state ---------------------------------------------------------------------------------------------------------

    def state_dict(self) -> State:
        """Everything a later step depends on, as flat names -> tensors or JSON scalars."""
        state = self._counters()
        for name, module in self._modules().items():
            state |= module_state(name, module)
        return state

    def _counters(self) -> State:
        """The part of the state that lies in no module: counters, optimisers, scalers."""
        state: State = {"steps": self.steps}
        for name, phase in self.phases.items():
            state |= {f"phase.{name}.turns": phase.turns, f"phase.{name}.last": phase.last}
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
        self._restore_counters(state)

    def _restore_counters(self, state: Mapping[str, Tensor | int | float | str | bool]) -> None:
        """Restore what `_counters` gave."""
        for name, player in self.players.items():
            player.load_state_dict(name, state)
        for name, phase in self.phases.items():
            phase.turns, phase.last = int(state[f"phase.{name}.turns"]), int(state[f"phase.{name}.last"])
        self.steps = int(state["steps"])

    def _modules(self) -> dict[str, nn.Module]:
        """Name -> every module whose parameters and buffers are part of the state."""
        return {
            "discriminator": self.networks.discriminator,
            **{f"extra.{name}": network for name, network in self.networks.extra.items()},
            "loss": self.loss,
            **{f"parts.{name}": part for name, part in self.parts.items()},
        }


def _update_scale(scaler: torch.amp.GradScaler, device: torch.device) -> Tensor:
    """Adapt the scale of fp16 gradients; 1 where the step was skipped, else 0."""
    one = torch.ones((), device=device)
    before = scaler.scale(one)
    scaler.update()
    return (scaler.scale(one) < before).float()
