"""The life of one process of a run: build, open the folder, restore, play, end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from torch import Tensor

from gankit import __version__
from gankit.base import progress
from gankit.base.files import cannot_write
from gankit.base.signals import StopRequest, stop_requests
from gankit.data import Dataset, Sampler
from gankit.errors import InputError, Stopped
from gankit.game.graphs import CudaRecorder, graph_phases, why_not
from gankit.game.loop import TrainingLoop
from gankit.machine import processes
from gankit.machine.device import choose_device
from gankit.machine.precision import Precision
from gankit.run.build import (
    build_loop,
    built_by,
    count_parameters,
    data_spec,
    latent_space,
    make_sampler,
    out_of_memory,
    own_streams,
)
from gankit.run.observers.checkpoints import Checkpoints
from gankit.run.observers.grids import SampleGrids
from gankit.run.observers.scores import Evaluations, training_evaluator
from gankit.run.observers.statistics import StatsWriter
from gankit.run.plan import Plan, load_data
from gankit.run.run import Run, RunResult
from gankit.run.steps import _not_here, _play, _play_to_the_end, _Start
from gankit.run.transfer import start_from
from gankit.store.run_folder import RunFolder

log = logging.getLogger("gankit")

OpenFolder = Callable[[Dataset], RunFolder]


def _run(plan: Plan, open_folder: OpenFolder, observers: Sequence[object]) -> RunResult:
    """Build, restore, train, end: the life of one process of a run. The folder is opened once all else has worked."""
    with ExitStack() as stack:
        request = stack.enter_context(stop_requests())
        device = stack.enter_context(processes.joined(choose_device(plan.config.device)))
        first = processes.rank() == 0
        if not first:
            stack.enter_context(progress.to(None))
        dataset = load_data(plan)
        space = latent_space(plan, dataset)
        stack.enter_context(own_streams(device))
        try:
            loop = build_loop(plan, data_spec(dataset, space), device)
        except RuntimeError as error:
            explained = out_of_memory(error, plan.config, dataset.spec.shape)
            if explained is None:
                raise
            raise explained from error

        sampler = make_sampler(plan, dataset, device)
        stack.callback(sampler.close)
        if plan.config.graphs == "auto":
            _use_graphs(plan, loop)
        if not first:
            return _follow(plan, loop, sampler, request)
        with processes.alone():
            evaluator = training_evaluator(plan, dataset, device) if plan.config.eval_every else None
        folder = open_folder(dataset)
        stack.enter_context(folder.locked())
        stack.callback(_log_to(folder))
        if dataset.fingerprint != folder.identity()["data"]["fingerprint"]:
            raise InputError(
                f"{folder.path} was trained on other data: '{plan.config.data}' has changed since",
                hint="bring the old data back, or start another run",
            )
        if plan.configuration != folder.configuration():  # a new budget, say, which a later resume must know
            folder.write_configuration(plan.configuration)
        run = Run(plan, folder, dataset, space, device, loop, processes=processes.size())
        watchers = (*observers, Checkpoints(), Evaluations(evaluator), SampleGrids(), StatsWriter())
        # pluggy calls the last one registered first: statistics, pictures, scores, the checkpoint, everybody else.
        for index, observer in enumerate(watchers):
            plan.composition.register_observer(observer, f"{type(observer).__name__}-{index}")
        _announce(run, resumed=run.restore())
        if run.step == 0 and plan.config.init_from is not None:
            log.info("starts with %s; the rest is new", start_from(Path(plan.config.init_from), loop))
        # A run that was killed between its last checkpoint and its end still has its last files to write.
        finished = run.share_done >= 1 and folder.finished
        processes.from_first(lambda: _Start(run.step, run.rollbacks, finished, loop.precision.name, loop.state_dict()))

        if finished:
            log.info("nothing to do: %s has seen its %s images", folder.path, f"{run.images_seen:,}")
            run.write_status("finished")
        else:
            with progress.to(None):  # the training has a display of its own
                _play_to_the_end(run, sampler, request)
        return processes.from_first(run.result)


def _use_graphs(plan: Plan, loop: TrainingLoop) -> None:
    reason = why_not(loop, plan.composition.host_bound, processes.size())
    if reason is None:
        graph_phases(loop, CudaRecorder())
    else:
        log.info("no CUDA graphs: %s", reason)


def _follow(plan: Plan, loop: TrainingLoop, sampler: Sampler, request: StopRequest) -> RunResult:
    """A run in another process than the first: the same steps on another share of each batch, and nothing written."""
    request.polite = True  # one that goes at once would leave the first process waiting
    start: _Start = processes.from_first(_not_here)
    loop.precision = Precision(start.precision, loop.device)
    loop.load_state_dict({k: v.to(loop.device) if isinstance(v, Tensor) else v for k, v in start.state.items()})
    agreement = processes.Agreement(request)
    if not start.finished:
        for _ in _play(plan, loop, sampler, start.step, agreement, start.rollbacks):
            pass
    if agreement.signal_number:
        raise Stopped("stopped with the others", signal_number=agreement.signal_number)
    result: RunResult = processes.from_first(_not_here)
    return result


def _announce(run: Run, resumed: bool) -> None:
    """The head of a run: what, on what, by whom, how far."""
    plan, config, data = run.plan, run.config, run.dataset
    variant = plan.composition.variant
    sizes = " ".join(
        f"{letter} {count_parameters(module):,}"
        for letter, module in (("G", run.loop.networks.generator), ("D", run.loop.networks.discriminator))
    )
    log.info("gankit %s · %s from %s · seed %d", __version__, variant.name, variant.origin, config.seed)
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


def _log_to(folder: RunFolder) -> Callable[[], None]:
    """Send gankit's log lines to log.txt as well; returns what takes that back."""
    path = folder.path / "log.txt"
    try:
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.setLevel(min(level or logging.INFO, logging.INFO))
    log.addHandler(handler)

    def undo() -> None:
        log.removeHandler(handler)
        log.setLevel(level)
        with suppress(OSError):
            handler.close()

    return undo


class _LogFile(logging.FileHandler):
    """log.txt: a copy of what was said. A full disk cuts it, and is reported by whatever else is written."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)
