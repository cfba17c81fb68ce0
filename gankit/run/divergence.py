"""Where a run broke: its last steps are made once more from the last checkpoint, and every module is watched.

Steps are functions of their number and the seed, so on a CPU the same thing happens again; on a GPU it usually does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from gankit.game.loop import TrainingLoop
from gankit.run.run import Run

SEARCH_S = 120.0  # seconds after which the search is given up


def first_not_finite(run: Run, play_step: Callable[[], object]) -> str | None:
    """'discriminator.layers.2 (Conv2d) in step 1,234', found between the last checkpoint and the step of `run`.

    `play_step` makes the next step of the run once more. None: there is no checkpoint, or it did not happen again
    within two minutes. The networks of the run are changed, its counters are not.
    """
    until, counters = run.step, (run.step, run.train_s, run.resumed_at, run.attempt_s)
    try:
        if not run.restore():
            return None
        deadline = time.monotonic() + SEARCH_S
        with _Watch(run.loop) as watch:
            while run.step < until and not watch.found and time.monotonic() <= deadline:
                play_step()
        return f"{watch.found} in step {run.step:,}" if watch.found else None
    finally:
        run.step, run.train_s, run.resumed_at, run.attempt_s = counters


class _Watch(ExitStack):
    """While it is open, the first value that is not finite is remembered: of a module's output, else of a gradient."""

    def __init__(self, loop: TrainingLoop) -> None:
        super().__init__()
        self.found: str | None = None
        networks = {"generator": loop.networks.generator, "discriminator": loop.networks.discriminator}
        for prefix, network in (networks | loop.networks.extra).items():
            for name, module in network.named_modules(prefix=prefix):
                if not list(module.children()):
                    self._hook(module.register_forward_hook, self._look_at(f"{name} ({type(module).__name__})"))
        for name, player in loop.players.items():
            self._hook(player.optimizer.register_step_pre_hook, self._look_at_gradients(player.parameters, name))

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
