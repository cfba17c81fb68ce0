"""Checks that a configuration resumes exactly here: a run without a stop is compared bit for bit with a resumed one."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gankit.errors import Stopped
from gankit.game.state import State
from gankit.run.plan import stored_settings
from gankit.run.run import Run
from gankit.run.train import resume, train_layers
from gankit.settings.config import BUDGETS
from gankit.settings.layers import RUN, Layer
from gankit.store import checkpoint
from gankit.store.run_folder import RunFolder

STEPS, STOP = 12, 5  # length of the run and step of the stop, which is within a cycle of critic steps


@dataclass(frozen=True)
class Difference:
    """A tensor or number that differs between the two states."""

    name: str
    largest: float | None  # largest absolute difference; None if the types or shapes differ


@dataclass(frozen=True)
class ResumeCheck:
    """The result of the comparison."""

    steps: int
    compared: int  # number of tensors and numbers
    differences: tuple[Difference, ...]


def verify_resume(run: Path, **changes: Any) -> ResumeCheck:
    """Repeat the beginning of a run in a temporary folder, without and with a stop, and compare the final states.

    `changes` replace settings of the run. They must include a variant or extension that was a file.
    """
    settings = {**stored_settings(RunFolder(run), changes), **changes}
    settings = {key: value for key, value in settings.items() if key not in BUDGETS}
    with tempfile.TemporaryDirectory(prefix="gankit-verify-") as parent:
        states = []
        layers = [Layer(RUN, {**settings, "steps": STEPS})]
        for stops in (False, True):
            folder = Path(parent) / ("resumed" if stops else "straight")
            with suppress(Stopped):
                train_layers(layers, out=folder, new=True, on_step=_stop if stops else None)
            if stops:
                resume(folder, variant=settings["variant"], extensions=settings["extensions"])
            saved = checkpoint.read_latest(RunFolder(folder).checkpoints)
            assert saved is not None
            states.append(saved.state)
    straight, resumed = states
    names = sorted(straight.keys() | resumed.keys())
    differences = [_difference(name, straight, resumed) for name in names]
    return ResumeCheck(STEPS, len(names), tuple(found for found in differences if found is not None))


def _stop(run: Run) -> None:
    if run.step == STOP:
        raise Stopped("stopped, to be resumed", signal_number=2)


def _difference(name: str, straight: State, resumed: State) -> Difference | None:
    a, b = straight.get(name), resumed.get(name)
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape:
        if torch.equal(a, b):
            return None
        return Difference(name.removeprefix("loop."), float((a.double() - b.double()).abs().max()))
    return None if type(a) is type(b) and a == b else Difference(name.removeprefix("loop."), None)
