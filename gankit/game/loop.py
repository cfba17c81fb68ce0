"""One optimisation step of the game: the discriminator's phase, then (at every d_steps-th batch) the generator's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gankit.contracts import Batch
from gankit.errors import InputError, PluginError
from gankit.game.ema import Ema
from gankit.game.latent import draw_z
from gankit.game.loss import AdversarialLoss
from gankit.game.state import State, below, load_module, load_optimizer, module_state, optimizer_state
from gankit.machine import processes
from gankit.machine.double_backward import FastDoubleBackward
from gankit.machine.precision import Precision
from gankit.settings.config import TrainConfig


@dataclass
class Networks:
    """The two players, on their device."""

    generator: nn.Module
    """z [N, z_dim] (and y [N, K]) -> samples [N, *shape]."""
    discriminator: nn.Module
    """Samples [N, *shape] (and y [N, K]) -> what the loss reads, as its `CriticOutput` says."""


class BoundCritic:
    """The discriminator as a loss sees it in one phase: called with samples, it scores them."""

    def __init__(
        self,
        discriminator: nn.Module,
        batch: Batch,
        precision: Precision,
        told: bool = True,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.discriminator = discriminator
        """The bare network: no precision, no condition, no augmentation."""
        self.batch = batch
        """The batch of this phase."""
        self.precision = precision
        """The arithmetic of the networks."""
        self.told = () if batch.condition is None or not told else (batch.condition,)
        """What the network is told beside samples: (y,), or nothing."""
        self.augment = augment
        """Whatever the discriminator is shown goes through it."""
        self.scores: dict[str, Tensor] = {}
        """'real', 'fake' -> [N], without gradient."""

    def __call__(self, samples: Tensor) -> Tensor:
        """Samples [N, …] -> the discriminator's output in float32.

        Leaves that require grad are points at which a penalty takes a gradient: they are scored in full precision
        (bf16 gives norms wrong by a half percent, fp16 loses small ones), and not by a network with batch norm.
        """
        penalised = samples.is_leaf and samples.requires_grad
        if penalised:
            refuse_coupled_samples(self.discriminator)
        shown = samples if self.augment is None else self.augment(samples)
        # Real and fake in one pass are twice the batch, each half told the same.
        told = [y if len(y) == len(samples) else y.repeat(len(samples) // len(y), 1) for y in self.told]
        with ExitStack() as contexts:
            contexts.enter_context(self.precision.full() if penalised else self.precision.autocast())
            if penalised:
                contexts.enter_context(FastDoubleBackward())
            output: Tensor = self.discriminator(shown, *told)
        output = output if output.dtype == torch.float64 else output.float()
        for name, known in (("real", self.batch.real), ("fake", self.batch.fake)):
            if samples.data_ptr() == known.data_ptr() and output.ndim <= 2:
                scores = output.detach()
                self.scores[name] = scores[:, 0] if scores.ndim == 2 else scores
        return output

    @property
    def stats(self) -> dict[str, Tensor]:
        """`score/real` and `score/fake`: the means of the scores."""
        return {f"score/{name}": scores.mean() for name, scores in self.scores.items()}


def refuse_coupled_samples(discriminator: nn.Module) -> None:
    """Batch norm makes each score depend on the whole batch: a penalty per sample would not be one."""
    for name, module in discriminator.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise InputError(
                f"gradient penalties are per sample, and the discriminator has batch norm ('{name}')",
                hint="take networks without it: drop the --with that brings them, or its batch norm",
            )


class TrainingLoop:
    """Alternating gradient steps. Subclass it and override `d_step`, `g_step` or `d_steps` to play another game.

    One `step` shows one batch to the discriminator; the generator moves when it has made `d_steps()` of them.
    Randomness comes from torch's global generators, which the run seeds anew before every step.
    """

    def __init__(self, networks: Networks, loss: AdversarialLoss, config: TrainConfig) -> None:
        self.networks = networks
        """Both players, on `device`."""
        self.loss = loss
        """Its buffers are part of every checkpoint, its parameters learn together with the generator."""
        self.config = config
        """The settings of the game, as resolved."""
        self.device = next(networks.generator.parameters()).device
        """Where networks and batches lie."""
        self.precision = Precision(config.precision, self.device)
        """The arithmetic of the networks: `with loop.precision.autocast():`."""
        self.ema = Ema(networks.generator, config.ema_halflife_images)
        """The average of the generator that is sampled."""
        self.steps = 0
        """Of the discriminator, so far: the number of batches it was shown."""
        self.g_steps = 0
        """Of the generator, so far."""
        self.last_g_step = 0
        """`steps` when the generator moved last."""
        self.augmentations = nn.ModuleDict()
        """Name -> module, in the order of `add_augmentation`."""
        self.averages: list[Ema] = []
        """More averages of the generator, besides `ema`; the loop updates them. Their state belongs in `companions`."""
        self.companions = nn.ModuleDict()
        """Modules of extensions, or of a loop of one's own: parameters and buffers are part of every checkpoint."""
        self.shown: tuple[Tensor, Tensor] | None = None
        """z and fakes with their graph, from D's step to G's (`reuse_fakes`)."""
        self.players: dict[str, dict[str, nn.Parameter]] = {
            "generator": {
                **dict(networks.generator.named_parameters()),
                **{f"loss.{name}": parameter for name, parameter in loss.named_parameters()},
            },
            "discriminator": dict(networks.discriminator.named_parameters()),
        }
        """Player -> name -> parameter: what `minimise(player, …)` trains."""
        self.optimizers: dict[str, Optimizer] = {
            "generator": self._optimizer("generator", config.g_lr),
            "discriminator": self._optimizer("discriminator", config.d_lr),
        }
        """Player -> its optimiser; the state of both is part of every checkpoint."""
        self.scalers = {player: self.precision.scaler() for player in self.players}
        """Player -> the gradient scaler of fp16; idle in any other precision."""

    def _optimizer(self, player: str, lr: float) -> Optimizer:
        parameters = self.players[player].values()
        # In a CUDA graph a number is a constant, a tensor is not.
        capturable = self.config.graphs == "auto" and self.device.type == "cuda"
        rate = torch.tensor(lr, device=self.device) if capturable else lr
        if self.config.optimizer == "rmsprop":
            return torch.optim.RMSprop(parameters, lr=rate, foreach=True, capturable=capturable)
        fused = self.device.type in ("cpu", "cuda")
        return torch.optim.Adam(parameters, lr=rate, betas=self.config.betas, fused=fused, capturable=capturable)

    @property
    def generator(self) -> nn.Module:
        """The network to sample from: the averaged generator, in eval mode."""
        return self.ema.module

    def d_steps(self) -> int:
        """Discriminator steps before the next generator step."""
        return self.config.d_steps

    def generator_is_next(self) -> bool:
        """Whether the generator moves after the present step of the discriminator."""
        return self.steps + 1 - self.last_g_step >= self.d_steps()

    def step(self, real: Tensor, labels: Tensor | None = None, condition: Tensor | None = None) -> dict[str, Tensor]:
        """Show real samples [N, *shape] to the discriminator; returns named 0-d tensors on the device.

        `condition` is y [N, K] of the samples in a conditional run. Fake samples are made for the same y.
        """
        self.networks.generator.train()
        self.networks.discriminator.train()
        every = self.config.penalty_every
        self.loss.penalty_gain = every if self.steps % every == 0 else 0
        stats = self.d_step(real, labels, condition)
        moving = self.generator_is_next()
        self.steps += 1
        if moving:
            stats.update(self.g_step(real, labels, condition))
            batch = len(real) * processes.size()
            images = batch * (self.steps - self.last_g_step)
            self.g_steps, self.last_g_step = self.g_steps + 1, self.steps
            for average in (self.ema, *self.averages):
                average.update(self.networks.generator, images=images, images_seen=batch * self.steps)
        return stats

    def d_step(self, real: Tensor, labels: Tensor | None, condition: Tensor | None) -> dict[str, Tensor]:
        """One step of the discriminator on a real and a freshly generated batch."""
        z = self.sample_z(len(real))
        with torch.set_grad_enabled(self.config.reuse_fakes and self.generator_is_next()):
            fake = self.generate(z, condition)
        self.shown = (z, fake) if fake.requires_grad else None
        batch = Batch(real, fake.detach(), z, labels, condition)
        critic = self.critic(batch)
        terms = self.loss.discriminator(critic, batch)
        self.minimise("discriminator", terms)
        return {**self.named("d", terms), **critic.stats, **self.logged()}

    def g_step(self, real: Tensor, labels: Tensor | None, condition: Tensor | None) -> dict[str, Tensor]:
        """One step of the generator against the frozen discriminator."""
        z, fake = self.shown or (self.sample_z(len(real)), None)
        self.shown = None
        with frozen(self.networks.discriminator):
            batch = Batch(real, self.generate(z, condition) if fake is None else fake, z, labels, condition)
            terms = self.loss.generator(self.critic(batch), batch)
            self.minimise("generator", terms)
        return {**self.named("g", terms), **self.logged()}

    def logged(self) -> dict[str, Tensor]:
        """What the loss has logged in this phase, as 0-d tensors."""
        values = {name: value.float().mean() for name, value in self.loss.logged.items()}
        self.loss.logged.clear()
        return values

    def sample_z(self, n: int) -> Tensor:
        """z [n, z_dim] from the prior of the run."""
        return draw_z(n, self.config.z_dim, self.config.z_prior, device=self.device)

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim] (and y [N, K]) -> fake samples [N, *shape], float32."""
        told = () if condition is None else (condition,)
        with self.precision.autocast():
            fake: Tensor = self.networks.generator(z, *told)
        return fake.float()

    def critic(self, batch: Batch) -> BoundCritic:
        """The discriminator for one phase; augmentation wraps what this returns."""
        return BoundCritic(
            self.networks.discriminator,
            batch,
            self.precision,
            told=self.loss.output.told_by != "nothing",
            augment=self.augment if len(self.augmentations) else None,
        )

    def add_network(self, player: str, name: str, module: nn.Module) -> None:
        """Before the first step: train one more network (an encoder, say) with 'generator' or 'discriminator'.

        It lies in `companions` under its name, is trained by `minimise(player, …)`, and is part of every checkpoint.
        """
        self.companions[name] = module.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        added = {f"{name}.{key}": parameter for key, parameter in module.named_parameters()}
        self.players[player].update(added)
        self.optimizers[player].add_param_group({"params": list(added.values())})

    def add_augmentation(self, name: str, module: nn.Module) -> None:
        """Let everything that the discriminator is shown, real and fake, in both phases, go through a module.

        It maps samples [N, *shape] to samples of that shape, differentiably (twice, where gradients are penalised),
        with random numbers of torch's global generators. Its buffers are part of every checkpoint.
        """
        if self.loss.output.code:
            raise InputError(
                f"'{name}' changes samples, and this discriminator is to reconstruct the ones it was given"
            )
        self.augmentations[name] = module.to(self.device)

    def augment(self, samples: Tensor) -> Tensor:
        """Samples [N, *shape] through all augmentations, in the order in which they were added."""
        for module in self.augmentations.values():
            samples = module(samples)
        return samples

    def minimise(self, player: str, terms: Mapping[str, Tensor]) -> None:
        """One optimiser step on the sum of the terms' means; logs the gradient's norm, or whether fp16 skipped it."""
        if not isinstance(terms, Mapping) or not terms:
            raise PluginError(
                f"the loss gave {type(terms).__name__} for the {player}", hint="return a dict of named terms, not empty"
            )
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.ndim > 1:
                matrix = isinstance(term, Tensor)
                what = list(term.shape) if matrix else type(term).__name__
                raise PluginError(
                    f"the loss gave '{name}' as {what} for the {player}",
                    hint="a term is [N] or a scalar; scores [N] and [N, 1] make [N, N] of a difference"
                    if matrix
                    else "a term is a tensor with its graph, not what .item() gives",
                )
        total = torch.stack([term.float().mean() for term in terms.values()]).sum()
        optimizer, scaler = self.optimizers[player], self.scalers[player]
        optimizer.zero_grad()
        scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self.players[player].values() if p.grad is not None]
        processes.average(gradients, f"the gradients of the {player}")
        if not scaler.is_enabled():
            self.loss.log(f"grad/{player}", torch.stack(torch._foreach_norm(gradients)).norm())
        scaler.step(optimizer)
        if scaler.is_enabled():
            one = torch.ones((), device=self.device)
            before = scaler.scale(one)
            scaler.update()
            self.loss.log(f"skipped/{player}", (scaler.scale(one) < before).float())

    @staticmethod
    def named(prefix: str, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms as statistics: `<prefix>/<name>` -> 0-d tensor."""
        return {f"{prefix}/{name}": term.detach().float().mean() for name, term in terms.items()}

    def state_dict(self) -> State:
        """Everything a later step depends on, as flat names -> tensors or JSON scalars."""
        state: State = {"steps": self.steps, "g_steps": self.g_steps, "last_g_step": self.last_g_step}
        for name, module in self._modules().items():
            state.update(module_state(name, module))
        for player, optimizer in self.optimizers.items():
            state.update(optimizer_state(f"optimizer.{player}", optimizer, list(self.players[player])))
            state.update({f"scaler.{player}.{k}": v for k, v in self.scalers[player].state_dict().items()})
        return state

    def load_state_dict(self, state: Mapping[str, Tensor | int | float | str | bool]) -> None:
        """Continue exactly where `state_dict` was taken; raises InputError when names or shapes do not fit."""
        for name, module in self._modules().items():
            load_module(name, module, state)
        for player, optimizer in self.optimizers.items():
            load_optimizer(f"optimizer.{player}", optimizer, list(self.players[player]), state)
            scaler = below(f"scaler.{player}", state)
            if scaler and self.scalers[player].is_enabled():
                self.scalers[player].load_state_dict(scaler)
        self.steps, self.g_steps = int(state["steps"]), int(state["g_steps"])
        self.last_g_step = int(state["last_g_step"])

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "generator": self.networks.generator,
            "discriminator": self.networks.discriminator,
            "ema": self.ema.module,
            "loss": self.loss,
            "augmentations": self.augmentations,
            "companions": self.companions,
        }


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Within the block the module's parameters get no gradient; gradients still flow through it to its input."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
