"""Means of the step statistics over a window of steps, kept on the device until they are read."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gankit.game.state import State


class Meter:
    """Running sums by name. Adding does not wait for the device; reading does, once."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, stats: Mapping[str, Tensor]) -> None:
        """Add one step's 0-d tensors; a name may be absent from a step."""
        for name, value in stats.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """Means since the last reset. Waits for the device."""
        if not self.sums:
            return {}
        sums = torch.stack(list(self.sums.values())).tolist()
        return {name: total / self.counts[name] for name, total in zip(self.sums, sums, strict=True)}

    def reset(self) -> None:
        """Start a new window."""
        self.sums.clear()
        self.counts.clear()

    def state_dict(self) -> State:
        """The open window, so that a resumed run writes the lines it would have written."""
        return {
            **{f"sum.{name}": value for name, value in self.sums.items()},
            **{f"count.{name}": count for name, count in self.counts.items()},
        }

    def load_state_dict(self, state: Mapping[str, Tensor | int | float | str | bool]) -> None:
        """Continue the window of a `state_dict`."""
        self.sums = {
            name.removeprefix("sum."): value
            for name, value in state.items()
            if name.startswith("sum.") and isinstance(value, Tensor)
        }
        self.counts = {name: int(state[f"count.{name}"]) for name in self.sums}
