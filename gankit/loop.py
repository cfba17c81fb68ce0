"""One optimisation step of the game: the discriminator's phase, then (at every d_steps-th batch) the generator's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gankit.contracts import Batch, TrainConfig
from gankit.ema import Ema
from gankit.errors import PluginError
from gankit.loss import AdversarialLoss
from gankit.precision import Precision
from gankit.state import State, load_module, load_optimizer, module_state, optimizer_state


@dataclass
class Networks:
    """The two players, on their device."""

    generator: nn.Module
    discriminator: nn.Module


class BoundCritic:
    """The discriminator as a loss sees it in one phase. It keeps the mean scores of `batch.real` and `batch.fake`."""

    def __init__(self, discriminator: nn.Module, batch: Batch, precision: Precision) -> None:
        self.discriminator = discriminator
        self.batch = batch
        self.precision = precision
        self.stats: dict[str, Tensor] = {}

    def __call__(self, samples: Tensor) -> Tensor:
        """Samples [N, …] -> the discriminator's output in float32."""
        with self.precision.autocast():
            output: Tensor = self.discriminator(samples)
        output = output.float()
        for name, shown in (("score/real", self.batch.real), ("score/fake", self.batch.fake)):
            if samples is shown and output.ndim <= 2:
                self.stats[name] = output.detach().mean()
        return output


class TrainingLoop:
    """Alternating gradient steps with Adam. Subclass it and override `d_step` or `g_step` to play another game.

    One `step` shows one batch to the discriminator; the generator moves at every `config.d_steps`-th step. Randomness
    comes from torch's global generators, which the run seeds anew before every step.
    """

    def __init__(self, networks: Networks, loss: AdversarialLoss, config: TrainConfig) -> None:
        self.networks = networks
        self.loss = loss
        self.config = config
        self.device = next(networks.generator.parameters()).device
        self.precision = Precision(config.precision, self.device)
        self.ema = Ema(networks.generator, config.ema_halflife_images)
        self.steps = 0
        # Parameters of the loss (an auxiliary head, say) learn together with the generator.
        self.players: dict[str, dict[str, nn.Parameter]] = {
            "generator": {
                **dict(networks.generator.named_parameters()),
                **{f"loss.{name}": parameter for name, parameter in loss.named_parameters()},
            },
            "discriminator": dict(networks.discriminator.named_parameters()),
        }
        self.optimizers: dict[str, Optimizer] = {
            "generator": self._adam("generator", config.g_lr),
            "discriminator": self._adam("discriminator", config.d_lr),
        }

    def _adam(self, player: str, lr: float) -> Optimizer:
        fused = self.device.type in ("cpu", "cuda")
        return torch.optim.Adam(self.players[player].values(), lr=lr, betas=self.config.betas, fused=fused)

    @property
    def generator(self) -> nn.Module:
        """The network to sample from: the averaged generator, in eval mode."""
        return self.ema.module

    def step(self, real: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Show real samples [N, *shape] to the discriminator; returns named 0-d tensors on the device."""
        self.networks.generator.train()
        self.networks.discriminator.train()
        stats = self.d_step(real, labels)
        self.steps += 1
        if self.steps % self.config.d_steps == 0:
            stats.update(self.g_step(real, labels))
            images = len(real) * self.config.d_steps
            self.ema.update(self.networks.generator, images=images, images_seen=len(real) * self.steps)
        return stats

    def d_step(self, real: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """One step of the discriminator on a real and a freshly generated batch."""
        z = self.sample_z(len(real))
        with torch.no_grad():
            fake = self.generate(z)
        batch = Batch(real, fake, z, labels)
        critic = self.critic(batch)
        terms = self.loss.discriminator(critic, batch)
        self.minimise("discriminator", terms)
        return {**self.named("d", terms), **critic.stats}

    def g_step(self, real: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """One step of the generator against the frozen discriminator."""
        z = self.sample_z(len(real))
        with frozen(self.networks.discriminator):
            batch = Batch(real, self.generate(z), z, labels)
            terms = self.loss.generator(self.critic(batch), batch)
            self.minimise("generator", terms)
        return self.named("g", terms)

    def sample_z(self, n: int) -> Tensor:
        """z [n, z_dim] ~ N(0, I)."""
        return torch.randn(n, self.config.z_dim, device=self.device)

    def generate(self, z: Tensor) -> Tensor:
        """z [N, z_dim] -> fake samples [N, *shape], float32."""
        with self.precision.autocast():
            fake: Tensor = self.networks.generator(z)
        return fake.float()

    def critic(self, batch: Batch) -> BoundCritic:
        """The discriminator for one phase; augmentation wraps what this returns."""
        return BoundCritic(self.networks.discriminator, batch, self.precision)

    def minimise(self, player: str, terms: Mapping[str, Tensor]) -> None:
        """One optimiser step on the sum of the terms' means."""
        if not isinstance(terms, Mapping) or not terms:
            raise PluginError(
                f"the loss gave {type(terms).__name__} for the {player}", hint="return a dict of named terms, not empty"
            )
        total = torch.stack([term.float().mean() for term in terms.values()]).sum()
        optimizer = self.optimizers[player]
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    @staticmethod
    def named(prefix: str, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Terms as statistics: `<prefix>/<name>` -> 0-d tensor."""
        return {f"{prefix}/{name}": term.detach().float().mean() for name, term in terms.items()}

    def state_dict(self) -> State:
        """Everything a later step depends on, as flat names -> tensors or JSON scalars."""
        state: State = {"steps": self.steps}
        for name, module in self._modules().items():
            state.update(module_state(name, module))
        for player, optimizer in self.optimizers.items():
            state.update(optimizer_state(f"optimizer.{player}", optimizer, list(self.players[player])))
        return state

    def load_state_dict(self, state: Mapping[str, Tensor | int | float | str | bool]) -> None:
        """Continue exactly where `state_dict` was taken; raises InputError when names or shapes do not fit."""
        for name, module in self._modules().items():
            load_module(name, module, state)
        for player, optimizer in self.optimizers.items():
            load_optimizer(f"optimizer.{player}", optimizer, list(self.players[player]), state)
        self.steps = int(state["steps"])

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "generator": self.networks.generator,
            "discriminator": self.networks.discriminator,
            "ema": self.ema.module,
            "loss": self.loss,
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
