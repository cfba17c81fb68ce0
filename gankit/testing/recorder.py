"""A stand-in for CUDA graphs on a machine without CUDA: it keeps their rules, and calls the work again to replay it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gankit.game.graphs import Replay
from gankit.game.loop import TrainingLoop


class Tape:
    """A recorded piece of work: it is done again on the same inputs, and writes to the same outputs."""

    def __init__(self, work: Callable[[], dict[str, Tensor]], outputs: dict[str, Tensor]) -> None:
        self.work, self.outputs = work, outputs
        self.replays = 0
        """How often it was replayed."""

    def replay(self) -> None:
        """Do the work."""
        self.replays += 1
        for name, value in self.work().items():
            self.outputs[name].copy_(value)


class HostRecorder:
    """Records without doing the work, as CUDA does: the shapes of the outputs come from a dry run that is undone."""

    def __init__(self, loop: TrainingLoop, *, refuses: bool = False) -> None:
        self.loop, self.refuses = loop, refuses
        self.tapes: list[Tape] = []
        """What was recorded, also what is forgotten."""
        self.warmed = 0
        """How many rounds were played before they were recorded."""
        self.forgotten = 0
        """How often all that was recorded was dropped."""

    def warm(self, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Do the work."""
        self.warmed += 1
        return work()

    def record(self, work: Callable[[], dict[str, Tensor]]) -> tuple[Replay, dict[str, Tensor]]:
        """Keep the work; RuntimeError if the recorder `refuses`."""
        if self.refuses:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        before = {k: v.clone() if isinstance(v, Tensor) else v for k, v in self.loop.state_dict().items()}
        with torch.random.fork_rng(devices=[]):
            outputs = {name: torch.full_like(value, float("nan")) for name, value in work().items()}
        graphed, self.loop.replayed = self.loop.replayed, None  # what was recorded is kept
        self.loop.load_state_dict(before)
        self.loop.replayed = graphed
        self.tapes.append(Tape(work, outputs))
        return self.tapes[-1], outputs

    def forget(self) -> None:
        """Count it; the tapes stay, to be looked at."""
        self.forgotten += 1
