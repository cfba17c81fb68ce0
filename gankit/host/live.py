"""Options that follow a schedule reach plugins as 0-d tensors, which the training loop sets before every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gankit.settings.option import schedules_in
from gankit.settings.schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Live:
    """Options as a plugin receives them, and the tensors among them with their schedules."""

    options: Any
    """The options; a number that follows a schedule is a float32 tensor without dimensions."""
    following: Mapping[str, tuple[Schedule, Tensor]]
    """Name of an option -> its schedule and its tensor."""


def live(options: Any) -> Live:
    """The options for a plugin; unchanged if none follows a schedule."""
    schedules = schedules_in(options)
    if not schedules:
        return Live(options, {})
    import torch

    following = {name: (schedule, torch.tensor(schedule.values[0])) for name, schedule in schedules.items()}
    return Live(dataclasses.replace(options, **{name: tensor for name, (_, tensor) in following.items()}), following)
