"""The training loop: fetch, step, tell, save, stop; the same code in the first process and in the others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gankit.base.seeds import derive_seed
from gankit.base.signals import StopRequest
from gankit.data import Sampler
from gankit.errors import DivergedError, InputError, ResourceError, Stopped
from gankit.game.loop import TrainingLoop
from gankit.game.state import State
from gankit.machine import processes, streams
from gankit.run.build import (
    out_of_memory,
)
from gankit.run.divergence import first_not_finite
from gankit.run.plan import Plan
from gankit.run.run import Run

log = logging.getLogger("gankit")

MAX_ROLLBACKS = 3  # in the life of a run


def _play_to_the_end(run: Run, sampler: Sampler, request: StopRequest) -> None:
    """The training loop, and once more from the last checkpoint after each of a few divergences, if that is wanted."""
    if run.config.on_diverge == "rollback":
        if processes.size() > 1:
            raise InputError("--on-diverge rollback is for one process", hint="leave it out")
        run.save_checkpoint()  # something to go back to
    while True:
        try:
            return _loop(run, sampler, request)
        except DivergedError as error:
            if run.config.on_diverge != "rollback" or run.rollbacks >= MAX_ROLLBACKS:
                raise
            run.restore()
            run.rollbacks += 1
            log.warning(
                "%s; back to %s images, with other random numbers (%d of %d)",
                error.message, f"{run.images_seen:,}", run.rollbacks, MAX_ROLLBACKS,
            )  # fmt: skip


def _loop(run: Run, sampler: Sampler, request: StopRequest) -> None:
    """The training loop: one batch, one step, everybody told; then the end, whatever it was."""
    hook = run.plan.composition.hook
    request.polite = True
    run.write_status("running")
    agreement = processes.Agreement(request)
    error: BaseException | None = None
    try:
        with processes.local():
            hook.gankit_run_start(run=run)
        before = time.monotonic()
        done = lambda: run.share_done >= 1  # noqa: E731
        for stats in _play(run.plan, run.loop, sampler, run.step, agreement, run.rollbacks, done):
            run.step += 1
            with processes.local():
                hook.gankit_step_end(run=run, stats=stats)

            now = time.monotonic()
            run.train_s += now - before
            run.attempt_s += now - before
            before = now
        if agreement.signal_number:
            raise Stopped(
                f"stopped at {run.images_seen:,} images, state saved",
                signal_number=agreement.signal_number,
                hint=f"gankit resume {run.folder.path}",
            )
    except BaseException as caught:
        error = _explain(caught, run, sampler)
        raise error from (caught if error is not caught else caught.__cause__)
    finally:
        _end(run, error)


def _play(
    plan: Plan,
    loop: TrainingLoop,
    sampler: Sampler,
    step: int,
    agreement: processes.Agreement,
    rollbacks: int = 0,
    done: Callable[[], bool] = lambda: False,
) -> Iterator[dict[str, Tensor]]:
    """Steps from number `step` on, with the statistics of each, until a budget is used up or somebody asks for the end.

    Every random number of a step is a function of (seed, step, process): a resumed run draws the same ones. A run that
    went back draws others.
    """
    config = plan.config
    stream: tuple[int | str, ...] = (processes.rank(), processes.size()) if processes.rank() else ()
    stream += ("rollback", rollbacks) if rollbacks else ()
    while not (config.total_images and step * config.batch >= config.total_images):
        if agreement.reached(step, done()):
            return
        streams.seed_all(derive_seed(config.seed, "step", step, *stream))
        yield loop.step(*sampler.batch(step))
        step += 1


@dataclass(frozen=True)
class _Start:
    """What the first process tells the others before the first step."""

    step: int
    rollbacks: int
    finished: bool
    precision: str
    state: State


def _not_here() -> Any:
    raise AssertionError("only the first process is asked")


def _end(run: Run, error: BaseException | None) -> None:
    """Tell the observers, which write the last files, and put the final state on record even if that fails."""
    try:
        with processes.local():
            run.plan.composition.hook.gankit_run_end(run=run, error=error)
    except BaseException as late:
        error = error or late
        raise
    finally:
        states: dict[type, str] = {Stopped: "stopped", DivergedError: "diverged", KeyboardInterrupt: "stopped"}
        try:
            run.write_status(states.get(type(error), "failed") if error else "finished", error)
        except ResourceError:
            if error is None:  # else it is the same disk, and the first failure says more
                raise


def _explain(error: BaseException, run: Run, sampler: Sampler) -> BaseException:
    """The same error in words for the user where it is not a bug: divergence, memory, or a second Ctrl-C."""
    if isinstance(error, DivergedError) and processes.size() == 1:
        nobody = processes.Agreement(StopRequest())
        replay = lambda step: _play(run.plan, run.loop, sampler, step, nobody, run.rollbacks)  # noqa: E731
        where = first_not_finite(run, replay)
        return DivergedError(f"{error.message}; first in {where}", hint=error.hint) if where else error
    if isinstance(error, Stopped) and error.at_once:
        message = f"stopped at once at {run.images_seen:,} images; what came after the last checkpoint is lost"
        hint = f"gankit resume {run.folder.path}"
        return Stopped(message, signal_number=error.signal_number, at_once=True, hint=hint)
    return out_of_memory(error, run.config, run.data.shape) or error
