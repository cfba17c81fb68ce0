"""The life of one process of a run: build, open the folder, restore, play, end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gankit import __version__
from gankit.base import progress
from gankit.base.files import cannot_write
from gankit.base.signals import stop_requests
from gankit.data import Dataset
from gankit.errors import DivergedError, InputError, PluginError
from gankit.game import graphs
from gankit.game.state import State
from gankit.machine import processes
from gankit.machine.device import choose_device
from gankit.machine.precision import Precision
from gankit.run.build import build_loop, built_by, count_parameters, data_spec, latent_space, make_sampler, own_streams
from gankit.run.observers.grids import SampleGrids
from gankit.run.observers.scores import Evaluations, training_evaluator
from gankit.run.observers.statistics import StatsWriter
from gankit.run.plan import Plan, load_data
from gankit.run.run import Run, RunResult
from gankit.run.steps import Watchers, play
from gankit.run.transfer import start_from
from gankit.store.run_folder import RunFolder

log = logging.getLogger("gankit")

OpenFolder = Callable[[Dataset], RunFolder]
MAX_ROLLBACKS = 3  # in the life of a run


def live(
    plan: Plan, open_folder: OpenFolder, observers: Sequence[object], on_step: Callable[[Run], None] | None = None
) -> RunResult:
    """Build, restore, train, end. The folder is opened once all else has worked; only the first process writes in it.

    `observers` implement events of `gankit.hookspecs`; `on_step` is called after each step of the first process.
    """
    with ExitStack() as stack:
        request = stack.enter_context(stop_requests())
        device = stack.enter_context(processes.joined(choose_device(plan.config.device)))
        first = processes.rank() == 0
        if not first:
            stack.enter_context(progress.to(None))
        dataset = load_data(plan)
        processes.require_same(plan.shared_facts(dataset))
        space = latent_space(plan, dataset)
        stack.enter_context(own_streams(device))
        loop = build_loop(plan, data_spec(dataset, space), device)
        if plan.config.on_diverge == "rollback" and processes.size() > 1:
            raise InputError("--on-diverge rollback is for one process", hint="leave it out")
        sampler = make_sampler(plan, dataset, device, fresh_reals=loop.takes_fresh_reals)
        stack.callback(sampler.close)
        if plan.config.graphs == "auto":
            reason = graphs.record(loop, plan.composition.host_bound, processes.size())
            if reason is not None:
                log.info("no CUDA graphs: %s", reason)

        evaluations = Evaluations(None)
        if first and plan.config.eval_every:
            with processes.local():
                evaluations = Evaluations(training_evaluator(plan, dataset, device, loop.critic_spaces))
        folder = processes.from_first(lambda: open_folder(dataset), "the run folder")
        run = Run(plan, folder, dataset, space, device, loop, first=first, processes=processes.size())
        if first:
            stack.enter_context(folder.locked())
            stack.enter_context(_log_to(folder))
            stack.enter_context(_removed_if_refused(run))
            _prepare(run, observers)
        finished = _start_together(run)

        if finished:
            log.info("nothing to do: %s has seen its %s images", folder.path, f"{run.images_seen:,}")
            if first:
                run.write_status("finished")
        else:
            watchers = Watchers((StatsWriter(), SampleGrids(), evaluations), on_step) if first else Watchers()
            while True:
                try:
                    with progress.to(None):  # the training has a display of its own
                        play(run, sampler, request, watchers)
                    break
                except DivergedError as error:
                    _go_back(run, error)
        return processes.from_first(run.result, "the result of the run")


def _prepare(run: Run, observers: Sequence[object]) -> None:
    """In the first process: compare data and settings with those of the folder, and restore what is in it."""
    plan, folder = run.plan, run.folder
    if run.dataset.fingerprint != folder.identity()["data"]["fingerprint"]:
        raise InputError(
            f"{folder.path} was trained on other data: '{plan.config.data}' has changed since",
            hint="bring the old data back, or start another run",
        )
    stored = folder.configuration()
    if plan.configuration != stored:  # a new budget, say, which a later resume must know
        folder.write_configuration(plan.configuration)
    for index, observer in enumerate(observers):
        plan.composition.register_observer(observer, f"{type(observer).__name__}-{index}")
    _announce(run, resumed=run.restore())
    if run.step == 0 and plan.config.init_from is not None:
        taken = start_from(Path(plan.config.init_from), run.loop, run.data, run.space)
        log.info("starts with %s; the rest is new", taken)
    if run.step and run.loop.has_shares and run.loop.total_images != _total_images(stored):
        log.info("schedules in shares of the budget follow the new budget from here on")


def _total_images(stored: dict[str, Any]) -> int | None:
    config = stored["config"]
    budgets = [config["images"]] if config["images"] else []
    budgets += [config["steps"] * config["batch"]] if config["steps"] else []
    return min(budgets, default=None)


@dataclass(frozen=True)
class _Start:
    """Where the run begins, as the first process tells the others."""

    step: int
    rollbacks: int
    finished: bool
    precision: str
    state: State


def _start_together(run: Run) -> bool:
    """Let all processes begin with the state of the first one; whether there is nothing left to do."""

    def mine() -> _Start:
        # A run that was killed between its last checkpoint and its end still has its last files to write.
        finished = run.share_done >= 1 and run.folder.finished
        return _Start(run.step, run.rollbacks, finished, run.loop.precision.name, run.loop.state_dict())

    start = processes.from_first(mine, "the state at the start")
    if not run.first:
        device = run.device
        run.step, run.rollbacks = start.step, start.rollbacks
        run.loop.precision = Precision(start.precision, device)
        run.loop.load_state_dict({k: v.to(device) if isinstance(v, Tensor) else v for k, v in start.state.items()})
    return start.finished


def _go_back(run: Run, error: DivergedError) -> None:
    """After a divergence: back to the last checkpoint, if that is wanted and was not tried too often."""
    if run.config.on_diverge != "rollback" or run.rollbacks >= MAX_ROLLBACKS:
        raise error
    run.restore()
    run.rollbacks += 1
    log.warning(
        "%s; back to %s images, with other random numbers (%d of %d)",
        error.message, f"{run.images_seen:,}", run.rollbacks, MAX_ROLLBACKS,
    )  # fmt: skip


def _announce(run: Run, resumed: bool) -> None:
    """The head of a run: what, on what, by whom, how far."""
    plan, config, data = run.plan, run.config, run.dataset
    variant = plan.composition.variant
    sizes = " ".join(
        f"{letter} {count_parameters(module):,}"
        for letter, module in (("G", run.loop.networks.generator), ("D", run.loop.networks.discriminator))
    )
    log.info("gankit %s · %s from %s · seed %d", __version__, variant.name, variant.origin, config.seed)
    if plan.recipe is not None:
        log.info("recipe %s from %s", plan.recipe.name, plan.recipe.origin)
    for line in data.describe().splitlines():
        log.info("%s", line)
    log.info("parameters: %s · %s · %s", sizes, run.device, run.loop.precision.name)
    log.info("built by: %s", ", ".join(f"{what} {who}" for what, who in built_by(plan, run.data).items()))
    budget = f"{config.total_images:,} images" if config.total_images else "no limit of images"
    budget += f" = {-(-config.total_images // config.batch):,} steps x {config.batch}" if config.total_images else ""
    budget += f", at most {config.time_s:g} s" if config.time_s else ""
    log.info("run %s: %s", run.folder.path, budget)
    for line in plan.composition.deprecated:
        log.warning("%s", line)
    if resumed:
        log.info("resumed at %s images: networks, average, optimisers, loss, data position", f"{run.images_seen:,}")
        if run.changed:
            log.info("goes on, but not bit for bit: %s", "; ".join(run.changed))


@contextmanager
def _removed_if_refused(run: Run) -> Iterator[None]:
    """A new run that is refused before its first step leaves no folder, which would block the corrected command."""
    new = not run.folder.started
    try:
        yield
    except (InputError, PluginError):
        if new and run.step == 0:
            run.folder.remove()
        raise


@contextmanager
def _log_to(folder: RunFolder) -> Iterator[None]:
    """Within the block gankit's log lines go to log.txt as well."""
    path = folder.path / "log.txt"
    try:
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.setLevel(min(level or logging.INFO, logging.INFO))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        with suppress(OSError):
            handler.close()


class _LogFile(logging.FileHandler):
    """log.txt: a copy of what was said. A full disk cuts it, and is reported by whatever else is written."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)
