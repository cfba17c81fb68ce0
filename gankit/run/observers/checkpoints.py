"""When a run is saved."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gankit.hookspecs import hookimpl
from gankit.run.observers.common import due, ends_well

if TYPE_CHECKING:
    from gankit.run.run import Run


CHECKPOINT_EVERY_S = 120.0


class Checkpoints:
    """A checkpoint every two minutes of training (or every `checkpoint_every` images), and one at the end."""

    @hookimpl
    def gankit_run_start(self) -> None:
        self.saved_at = time.monotonic()

    @hookimpl
    def gankit_step_end(self, run: Run) -> None:
        every = run.config.checkpoint_every
        if due(run, every) if every else time.monotonic() - self.saved_at >= CHECKPOINT_EVERY_S:
            run.save_checkpoint()
            self.saved_at = time.monotonic()

    @hookimpl
    def gankit_run_end(self, run: Run, error: BaseException | None) -> None:
        if ends_well(error):
            run.save_checkpoint()
