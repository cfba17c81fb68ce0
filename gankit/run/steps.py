"""The training loop: fetch, step, tell, save, stop; the same code in the first process and in the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gankit.base.seeds import derive_seed
from gankit.base.signals import StopRequest
from gankit.data import Sampler
from gankit.errors import DivergedError, ResourceError, Stopped
from gankit.machine import processes, streams
from gankit.run.build import explained
from gankit.run.divergence import first_not_finite
from gankit.run.observers.common import Observer, due, ends_well
from gankit.run.run import Run

CHECKPOINT_EVERY_S = 120.0


@dataclass(frozen=True)
class Watchers:
    """What the first process calls around the steps: core's observers in their order, then a display."""

    observers: Sequence[Observer] = ()
    on_step: Callable[[Run], None] | None = None


def play(run: Run, sampler: Sampler, request: StopRequest, watchers: Watchers) -> None:
    """Train until a budget is used up or a signal asks for the end; then the last files are written.

    Every random number of a step is a function of (seed, step, process), so that a resumed run draws the same ones; a
    run that went back after a divergence draws others.
    """
    agreement = processes.Agreement(request)
    request.polite = True  # from here on the first signal waits for the end of the step
    error: BaseException | None = None
    try:
        _begin(run, watchers)
        if run.config.on_diverge == "rollback":
            run.save_checkpoint()  # something to go back to
        before = saved_at = time.monotonic()
        stop = run.all_images_seen or agreement.reached(run.step, done=run.share_done >= 1).stop
        while not stop:
            # Fetch: the batch is a function of the step's number.
            data = sampler.batch(run.step)

            # Step.
            streams.seed_all(step_seed(run))
            stats = run.loop.step(data)
            run.step += 1

            # Tell: statistics, pictures, scores.
            if run.first:
                with processes.local():
                    for observer in watchers.observers:
                        observer.after_step(run, stats)
                    if watchers.on_step is not None:
                        watchers.on_step(run)
            now = time.monotonic()
            run.train_s, run.attempt_s, before = run.train_s + now - before, run.attempt_s + now - before, now

            # Save, and stop: decided in the first process, by its clock, for all of them.
            every = run.config.checkpoint_every
            old = every is None and now - saved_at >= CHECKPOINT_EVERY_S
            agreed = agreement.reached(run.step, done=run.share_done >= 1, save=old)
            stop = agreed.stop or run.all_images_seen
            if not stop and (agreed.save or (every is not None and due(run, every))):
                run.save_checkpoint()
                saved_at = time.monotonic()
        if agreement.signal_number:
            raise Stopped(
                f"stopped at {run.images_seen:,} images, state saved",
                signal_number=agreement.signal_number,
                hint=f"gankit resume {run.folder.path}",
            )
    except BaseException as caught:
        error = _in_words(caught, run, sampler)
        if error is caught:
            raise
        raise error from caught
    finally:
        _end(run, watchers, error)


def step_seed(run: Run) -> int:
    """The seed of the coming step: another one in each process, and after each return to a checkpoint."""
    parts: tuple[int | str, ...] = (processes.rank(), processes.size()) if processes.rank() else ()
    parts += ("rollback", run.rollbacks) if run.rollbacks else ()
    return derive_seed(run.config.seed, "step", run.step, *parts)


def _begin(run: Run, watchers: Watchers) -> None:
    if not run.first:
        return
    run.write_status("running")
    with processes.local():
        run.plan.composition.hook.gankit_run_start(run=run)
        for observer in watchers.observers:
            observer.start(run)


def _end(run: Run, watchers: Watchers, error: BaseException | None) -> None:
    """The last lines, pictures, scores and checkpoint; the final state is put on record even if that fails."""
    try:
        try:
            if run.first:
                with processes.local():
                    for observer in watchers.observers:
                        observer.end(run, error)
            if ends_well(error):
                run.save_checkpoint()
        except BaseException as late:
            error = error or late
            raise
        finally:
            if run.first:
                with processes.local():
                    run.plan.composition.hook.gankit_run_end(run=run, error=error)
    except BaseException as late:
        error = error or late
        raise
    finally:
        if run.first:
            _write_final_status(run, error)


def _write_final_status(run: Run, error: BaseException | None) -> None:
    states: dict[type, str] = {Stopped: "stopped", DivergedError: "diverged", KeyboardInterrupt: "stopped"}
    try:
        run.write_status(states.get(type(error), "failed") if error else "finished", error)
    except ResourceError:
        if error is None:  # otherwise it is the same disk, and the first failure says more
            raise


def _in_words(error: BaseException, run: Run, sampler: Sampler) -> BaseException:
    """The same error in words for the user where it is not a bug: divergence, memory, or a second Ctrl-C."""
    if isinstance(error, DivergedError) and processes.size() == 1:
        where = first_not_finite(run, lambda: _step_again(run, sampler))
        return DivergedError(f"{error.message}; first in {where}", hint=error.hint) if where else error
    if isinstance(error, Stopped) and error.at_once:
        message = f"stopped at once at {run.images_seen:,} images; what came after the last checkpoint is lost"
        hint = f"gankit resume {run.folder.path}"
        return Stopped(message, signal_number=error.signal_number, at_once=True, hint=hint)
    return explained(error, run.config, run.data.shape) or error


def _step_again(run: Run, sampler: Sampler) -> None:
    data = sampler.batch(run.step)
    streams.seed_all(step_seed(run))
    run.loop.step(data)
    run.step += 1
