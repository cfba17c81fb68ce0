"""What core's observers have in common: when something is due, and lines that a resumed run drops."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor

from gankit.base.files import cannot_write, write_durably
from gankit.errors import Stopped
from gankit.run.run import Run

log = logging.getLogger("gankit")


class Observer(Protocol):
    """What the first process of a run does beside the steps. It may read everything and change nothing."""

    def start(self, run: Run) -> None:
        """The networks are built, and a checkpoint, if there is one, is restored."""
        ...

    def after_step(self, run: Run, stats: Mapping[str, Tensor]) -> None:
        """A step was made. `stats` are 0-d tensors on the device: reading one waits for it."""
        ...

    def end(self, run: Run, error: BaseException | None) -> None:
        """After the last step; `error` is what ended the run early, or None."""
        ...


def due(run: Run, every_images: int) -> bool:
    """Whether the step just made crossed a multiple of `every_images`."""
    return run.images_seen // every_images > (run.images_seen - run.config.batch) // every_images


def ends_well(error: BaseException | None) -> bool:
    """Whether a run that ends this way is worth saving: at its budget, or stopped politely."""
    return error is None or (isinstance(error, Stopped) and not error.at_once)


def drop_later_lines(path: Path, step: int) -> None:
    """Keep the lines up to a step; a last line cut by a crash goes in silence, other unreadable ones do not."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []
    except OSError as error:
        raise cannot_write(path, error) from error
    kept = [line for line in lines if _step_of(line) <= step]
    if any(_step_of(line) == math.inf for line in lines[:-1]):
        log.warning("%s: unreadable lines are dropped", path)
    write_durably(path, "".join(line + "\n" for line in kept).encode())


def _step_of(line: str) -> float:
    """The step of a line, 0 when it has none; a line cut by a crash counts as later than everything."""
    try:
        return int(json.loads(line)["step"] or 0)
    except (ValueError, KeyError, TypeError):
        return math.inf
