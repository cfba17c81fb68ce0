"""Where a run broke: its last steps are made once more from the last checkpoint, and every module is watched.

Steps are functions of their number and the seed, so on a CPU the same thing happens again; on a GPU it usually does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from gankit.run.run import Run

LIMIT_S = 120.0  # of looking


def first_not_finite(run: Run, steps: Callable[[int], Iterator[object]]) -> str | None:
    """'discriminator.layers.2 (Conv2d) in step 1,234', found between the last checkpoint and the step of `run`.

    `steps` plays from a step on. None: there is no checkpoint, or it did not happen again within two minutes. The
    networks of the run are changed, its counters are not.
    """
    until, counters = run.step, (run.step, run.train_s, run.resumed_at)
    try:
        if not run.restore():
            return None
        begun, deadline = run.step, time.monotonic() + LIMIT_S
        with _Watch(run) as watch:
            for number, _ in enumerate(steps(begun), begun + 1):
                if watch.found or number >= until or time.monotonic() > deadline:
                    return f"{watch.found} in step {number:,}" if watch.found else None
        return None
    finally:
        run.step, run.train_s, run.resumed_at = counters


class _Watch(ExitStack):
    """While it is open, the first value that is not finite is remembered: of a module's output, else of a gradient."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.found: str | None = None
        networks: dict[str, nn.Module] = dict(vars(run.loop.networks))
        for player, network in networks.items():
            for name, module in network.named_modules(prefix=player):
                if not list(module.children()):
                    self._hook(module.register_forward_hook, self._look_at(f"{name} ({type(module).__name__})"))
        for player, optimizer in run.loop.optimizers.items():
            self._hook(optimizer.register_step_pre_hook, self._look_at_gradients(run.loop.players[player], player))

    def _hook(self, register: Callable[[Any], Any], hook: Callable[..., None]) -> None:
        self.callback(register(hook).remove)

    def _look_at(self, what: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _arguments: Any, output: Any) -> None:
            if self.found is None and isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
                self.found = what

        return hook

    def _look_at_gradients(self, parameters: dict[str, nn.Parameter], player: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            for name, parameter in parameters.items():
                gradient = parameter.grad
                if self.found is None and gradient is not None and not bool(torch.isfinite(gradient).all()):
                    self.found = f"the gradient of {player}.{name}"

        return hook
