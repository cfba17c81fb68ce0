"""Whether a configuration resumes exactly on this machine: straight beside stopped and resumed, bit for bit."""

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

STEPS, STOP = 12, 5  # the run ends after a cycle of critic steps and is stopped within one


@dataclass(frozen=True)
class Difference:
    """A tensor or number that is not the same in both states: the largest absolute difference, or None for its kind."""

    name: str
    largest: float | None


@dataclass(frozen=True)
class ResumeCheck:
    """What was compared after how many steps, and what differs."""

    steps: int
    compared: int
    differences: tuple[Difference, ...]


def verify_resume(run: Path, **given: Any) -> ResumeCheck:
    """Repeat the beginning of a run in a temporary folder, at once and with a stop in between, and compare every state.

    `given` are settings in place of the run's own. A variant or extension that was a file must be among them.
    """
    settings = {**stored_settings(RunFolder(run), given), **given}
    settings = {key: value for key, value in settings.items() if key not in BUDGETS}
    with tempfile.TemporaryDirectory(prefix="gankit-verify-") as place:
        states = []
        layers = [Layer(RUN, {**settings, "steps": STEPS})]
        for stops in (False, True):
            folder = Path(place) / ("resumed" if stops else "straight")
            with suppress(Stopped):
                train_layers(layers, out=folder, new=True, on_step=_stop if stops else None)
            if stops:
                resume(folder, variant=settings["variant"], extensions=settings["extensions"])
            saved = checkpoint.read_latest(RunFolder(folder).checkpoints)
            assert saved is not None
            states.append(saved.state)
    straight, resumed = states
    names = sorted(straight.keys() | resumed.keys())
    differences = [found for name in names if (found := _difference(name, straight, resumed)) is not None]
    return ResumeCheck(STEPS, len(names), tuple(differences))


def _stop(run: Run) -> None:
    if run.step == STOP:
        raise Stopped("stopped, to be resumed", signal_number=2)


def _difference(name: str, straight: State, resumed: State) -> Difference | None:
    one, other = straight.get(name), resumed.get(name)
    if isinstance(one, Tensor) and isinstance(other, Tensor) and one.shape == other.shape:
        if torch.equal(one, other):
            return None
        return Difference(name.removeprefix("loop."), float((one.double() - other.double()).abs().max()))
    return None if type(one) is type(other) and one == other else Difference(name.removeprefix("loop."), None)
