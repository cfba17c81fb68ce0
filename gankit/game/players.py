"""Players: parameters that move together, their optimiser, and the numbers of it that follow a schedule."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gankit.game.state import State, below, load_optimizer, optimizer_state
from gankit.settings.config import TrainConfig
from gankit.settings.schedule import Number, Schedule


class Player:
    """One side of the game; the state of its optimiser is part of every checkpoint.

    Learning rate and betas are set before every step where they follow a schedule, and otherwise once.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        config: TrainConfig,
        *,
        lr: Number,
        optimizer: str | None = None,
        betas: tuple[Number, Number] | None = None,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self.parameters = dict(parameters)
        """Name -> parameter: what moves."""
        self.lr = Schedule.parse(lr)
        """The learning rate as a function of the images shown."""
        self.betas = tuple(Schedule.parse(beta) for beta in betas or config.betas)
        """Adam's two decay rates as functions of the images shown."""
        device = next(iter(self.parameters.values())).device
        kind = optimizer or config.optimizer
        self.optimizer = make_optimizer(kind, self.parameters, config, self.lr, self.betas, device)
        """Moves the parameters."""
        self.scaler = scaler
        """The gradient scaler of fp16; idle in any other precision."""

    def add(self, parameters: Mapping[str, nn.Parameter], lr_scale: float = 1.0) -> None:
        """Before the first step: train more parameters with this player, at `lr_scale` times its learning rate."""
        self.parameters.update(parameters)
        value, first = self.lr.values[0] * lr_scale, self.optimizer.param_groups[0]["lr"]
        # Graphs may replay it, and would keep a number.
        rate = torch.full_like(first, value) if isinstance(first, Tensor) else value
        self.optimizer.add_param_group({"params": list(parameters.values()), "lr": rate, "lr_scale": lr_scale})

    def scale_lr(self, factor: float) -> None:
        """Multiply the learning rate from now on, a scheduled one too."""
        for group in self.optimizer.param_groups:
            group["lr_scale"] *= factor
            group["lr"] *= factor  # in place where it is a tensor of a CUDA graph

    @property
    def follows(self) -> bool:
        """Whether a number of it follows a schedule."""
        return not (self.lr.is_constant and all(beta.is_constant for beta in self.betas))

    def follow(self, images: int, total: int | None) -> None:
        """Set what follows a schedule to its value after so many images of a budget of `total`."""
        for group in self.optimizer.param_groups:
            if not self.lr.is_constant:
                rate = self.lr.at(images, total) * group["lr_scale"]
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
            if "betas" in group and not all(beta.is_constant for beta in self.betas):
                group["betas"] = tuple(beta.at(images, total) for beta in self.betas)

    def values(self, images: int, total: int | None) -> dict[str, float]:
        """The numbers that follow a schedule, by name."""
        found = {} if self.lr.is_constant else {"lr": self.lr.at(images, total)}
        betas = {f"beta{i}": beta.at(images, total) for i, beta in enumerate(self.betas, 1) if not beta.is_constant}
        return found | (betas if "betas" in self.optimizer.defaults else {})

    def state_dict(self, prefix: str) -> State:
        """Flat names -> tensors and numbers, all below `prefix`."""
        scaler = {f"scaler.{prefix}.{name}": value for name, value in self.scaler.state_dict().items()}
        return optimizer_state(f"optimizer.{prefix}", self.optimizer, list(self.parameters)) | scaler

    def load_state_dict(self, prefix: str, state: Mapping[str, object]) -> None:
        """Restore what `state_dict` gave."""
        load_optimizer(f"optimizer.{prefix}", self.optimizer, list(self.parameters), state)
        scaler = below(f"scaler.{prefix}", state)
        if scaler and self.scaler.is_enabled():
            self.scaler.load_state_dict(scaler)


def make_optimizer(
    kind: str,
    parameters: Mapping[str, nn.Parameter],
    config: TrainConfig,
    lr: Schedule,
    betas: tuple[Schedule, ...],
    device: torch.device,
) -> Optimizer:
    """The optimiser of a player, fused where PyTorch has it; its rates are tensors where CUDA graphs may replay it."""
    graphed = config.graphs == "auto" and device.type == "cuda"
    rate: float | Tensor = torch.tensor(lr.values[0], device=device) if graphed else lr.values[0]
    beta1, beta2 = (beta.values[0] for beta in betas)
    group = {"params": list(parameters.values()), "lr_scale": 1.0}
    fused = device.type in ("cpu", "cuda")
    if kind == "rmsprop":
        return torch.optim.RMSprop([group], lr=rate, momentum=config.momentum, foreach=True, capturable=graphed)
    if kind == "sgd":
        return torch.optim.SGD([group], lr=rate, momentum=config.momentum, fused=fused)
    if kind == "adamw":
        decay = config.weight_decay
        return torch.optim.AdamW(
            [group], lr=rate, betas=(beta1, beta2), weight_decay=decay, fused=fused, capturable=graphed
        )
    return torch.optim.Adam([group], lr=rate, betas=(beta1, beta2), fused=fused, capturable=graphed)
