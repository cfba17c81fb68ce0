"""Training from settings to the last checkpoint: plan, build, open the folder, restore, loop, end."""

from __future__ import annotations

import logging
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from gankit import __version__, host, processes, run_folder
from gankit.building import (
    build_loop,
    built_by,
    count_parameters,
    data_spec,
    latent_space,
    make_sampler,
    out_of_memory,
    own_streams,
)
from gankit.config import BUDGETS, Layer, Settings, read_toml
from gankit.data import Dataset, Progress, Sampler
from gankit.device import choose_device
from gankit.divergence import first_not_finite
from gankit.errors import DivergedError, InputError, ResourceError, Stopped
from gankit.graphs import CudaRecorder, graph_phases, why_not
from gankit.loop import TrainingLoop
from gankit.observers import Checkpoints, Evaluations, SampleGrids, StatsWriter
from gankit.plan import Plan, load_data, plan_run, stored_settings
from gankit.precision import Precision
from gankit.run import Run, RunResult
from gankit.run_folder import RunFolder
from gankit.scoring import training_evaluator
from gankit.signals import StopRequest, stop_requests
from gankit.state import State
from gankit.storage import cannot_write
from gankit.streams import derive_seed
from gankit.text import printable
from gankit.transfer import start_from

log = logging.getLogger("gankit")

OpenFolder = Callable[[Dataset], RunFolder]
MAX_ROLLBACKS = 3  # in the life of a run


def train(
    variant: str | os.PathLike[str] | None = None,
    *,
    out: str | Path | None = None,
    new: bool = False,
    config: str | Path | None = None,
    observers: Sequence[object] = (),
    progress: Progress | None = None,
    **settings: Unpack[Settings],
) -> RunResult:
    """Train a GAN; the same call again continues a run that was stopped.

    `settings` are the fields of `RunConfig` plus `options` (the variant's own); what is absent or None comes from the
    TOML file `config`, then the variant, then core. Without `out` the run gets the next number below runs/, unless an
    unfinished run of exactly these settings is there (`new=True` starts afresh all the same). Raises GankitError for
    everything a user can mend.
    """
    layers = [read_toml(Path(config))] if config else []
    return train_layers([*layers, _arguments({"variant": variant, **settings})], out, new, observers, progress)


def train_layers(
    layers: list[Layer],
    out: str | Path | None = None,
    new: bool = False,
    observers: Sequence[object] = (),
    progress: Progress | None = None,
) -> RunResult:
    """`train` for settings that come in several layers, as those of the command line do."""

    plan = plan_run(layers)
    return _run(plan, lambda dataset: _open_folder(plan, dataset, out, new), observers, progress)


def resume(
    folder: str | Path,
    *,
    variant: str | os.PathLike[str] | None = None,
    observers: Sequence[object] = (),
    progress: Progress | None = None,
    **settings: Unpack[Settings],
) -> RunResult:
    """Continue the run in `folder`, to the end of its budget or of a new one (`images=…`, `steps=…`, `time_s=…`).

    A variant or extension that was a file must be passed again: nothing is imported because a run folder says so.
    `data` may name another place of the same data.
    """
    run = RunFolder(Path(folder))
    given = _arguments({"variant": variant, **settings})
    saved = stored_settings(run, given.settings)
    if any(key in given.settings for key in BUDGETS):
        saved = {key: value for key, value in saved.items() if key not in BUDGETS}
    plan = plan_run([Layer("run", saved), given])
    run_folder.check_same(run, plan.configuration)
    return _run(plan, lambda _: run, observers, progress)


def _arguments(settings: Mapping[str, Any]) -> Layer:
    return Layer("argument", {key: value for key, value in settings.items() if value is not None})


def _refuse_within_data(data: str, out: Path) -> None:
    """InputError if the pictures of a run would be read as data by the next one."""
    source = Path(data)
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"--out {printable(str(out))} lies within the data, {printable(data)}: its pictures would become samples",
            hint="choose a folder elsewhere with --out",
        )


def _open_folder(plan: Plan, dataset: Dataset, out: str | Path | None, new: bool) -> RunFolder:
    """The folder to work in: an unfinished run of the same settings, the one named by `out`, or a new one."""
    prefix = f"{plan.composition.plugins[0].name}-{host.normalise(dataset.name)}"
    if out is not None and RunFolder(Path(out)).exists:
        if new:
            raise InputError(
                f"{out} holds a run already", hint="leave out --new to continue it, or choose another --out"
            )
        folder = RunFolder(Path(out))
        run_folder.check_same(folder, plan.configuration)
        return folder
    if out is None and not new:
        unfinished = run_folder.find_unfinished(prefix, plan.configuration)
        if unfinished is not None:
            log.info("continuing the unfinished run %s (--new starts another one)", unfinished.path)
            return unfinished
    _refuse_within_data(plan.config.data, Path(out or run_folder.RUNS))
    folder = run_folder.create(Path(out)) if out is not None else run_folder.create_numbered(prefix)
    plugins = plan.composition.plugins
    identity = {
        "run_id": str(uuid.uuid4()),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "variant": plugins[0].name,
        "plugins": [{"kind": plugin.kind, "name": plugin.name, "origin": plugin.origin} for plugin in plugins],
        "data": {
            "name": dataset.name,
            "shape": list(dataset.spec.shape),
            "classes": list(dataset.spec.classes),
            "fingerprint": dataset.fingerprint,
        },
    }
    with folder.locked():
        if folder.exists:  # another process was quicker
            run_folder.check_same(folder, plan.configuration)
        else:
            folder.write_identity(identity, plan.configuration)
    return folder


def _run(plan: Plan, open_folder: OpenFolder, observers: Sequence[object], progress: Progress | None) -> RunResult:
    """Build, restore, train, end: the life of one process of a run. The folder is opened once all else has worked."""
    with ExitStack() as stack:
        request = stack.enter_context(stop_requests())
        device = stack.enter_context(processes.joined(choose_device(plan.config.device)))
        first = processes.rank() == 0
        dataset = load_data(plan, progress if first else None)
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
            evaluator = training_evaluator(plan, dataset, device, progress) if plan.config.eval_every else None
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
            _play_to_the_end(run, sampler, request)
        return processes.from_first(run.result)


def _use_graphs(plan: Plan, loop: TrainingLoop) -> None:
    reason = why_not(loop, plan.composition.host_bound, processes.size())
    if reason is None:
        graph_phases(loop, CudaRecorder())
    else:
        log.info("no CUDA graphs: %s", reason)


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
        with processes.alone():
            hook.gankit_run_start(run=run)
        before = time.monotonic()
        done = lambda: run.share_done >= 1  # noqa: E731
        for stats in _play(run.plan, run.loop, sampler, run.step, agreement, run.rollbacks, done):
            run.step += 1
            with processes.alone():
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
        torch.manual_seed(derive_seed(config.seed, "step", step, *stream))
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


def _not_here() -> Any:
    raise AssertionError("only the first process is asked")


def _end(run: Run, error: BaseException | None) -> None:
    """Tell the observers, which write the last files, and put the final state on record even if that fails."""
    try:
        with processes.alone():
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


def _announce(run: Run, resumed: bool) -> None:
    """The head of a run: what, on what, by whom, how far."""
    plan, config, data = run.plan, run.config, run.dataset
    variant = plan.composition.plugins[0]
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
