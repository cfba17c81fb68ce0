"""A training run from its settings to its last checkpoint: plan, open the folder, build, restore, loop, end."""

from __future__ import annotations

import base64
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from gankit import __version__, checkpoint, generator_file, host, run_folder
from gankit.config import BUDGETS, Layer, RunConfig, Settings, read_toml, to_json
from gankit.contracts import DataSpec
from gankit.data import Dataset, Sampler
from gankit.device import choose_device
from gankit.errors import DivergedError, GankitError, InputError, ResourceError, Stopped
from gankit.loop import TrainingLoop
from gankit.meter import Meter
from gankit.observers import Checkpoints, SampleGrids, StatsWriter
from gankit.pictures import generate, picture, png
from gankit.plan import Plan, Progress, build_loop, count_parameters, load_data, plan_run, suppliers
from gankit.run_folder import RunFolder
from gankit.signals import StopRequest, stop_requests
from gankit.storage import write_durably
from gankit.streams import derive_seed

log = logging.getLogger("gankit")

PREVIEW = 16  # samples in the preview inside the sampleable file
MAX_PREVIEW_BYTES = 48 * 1024
SAMPLE_EVERY_WITHOUT_BUDGET = 50_000


@dataclass(frozen=True)
class RunResult:
    """Where a run left its things, and how far it came."""

    folder: Path
    generator: Path
    picture: Path
    images_seen: int
    step: int
    train_s: float
    stats: dict[str, float]


@dataclass
class Run:
    """A training run as observers see it. `stats` holds the last means that were read from the device."""

    plan: Plan
    folder: RunFolder
    dataset: Dataset
    device: torch.device
    loop: TrainingLoop
    step: int = 0
    train_s: float = 0.0  # seconds of training, over all attempts
    resumed_at: int = 0  # images seen when this attempt began
    attempt_s: float = 0.0
    stats: dict[str, float] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self.plan.config

    @property
    def data(self) -> DataSpec:
        """Shape and classes of the data."""
        return self.dataset.spec

    @property
    def images_seen(self) -> int:
        """Real samples shown to the discriminator so far."""
        return self.step * self.config.batch

    @property
    def images_per_s(self) -> float:
        """Mean speed of this attempt."""
        return (self.images_seen - self.resumed_at) / self.attempt_s if self.attempt_s else 0.0

    @property
    def sample_every(self) -> int:
        """Images between two sample grids."""
        total = self.config.total_images
        return self.config.sample_every or (max(1, total // 10) if total else SAMPLE_EVERY_WITHOUT_BUDGET)

    @property
    def share_done(self) -> float:
        """0 at the start, 1 when the first of the budgets is used up."""
        shares = [self.images_seen / self.config.total_images] if self.config.total_images else []
        shares += [self.train_s / self.config.time_s] if self.config.time_s else []
        return max(shares)

    def sample(self, z: Tensor) -> Tensor:
        """z [N, z_dim] -> samples [N, *shape] of the averaged generator, on the CPU. Training streams do not notice."""
        return generate(self.loop.generator, z)

    def save_checkpoint(self) -> Path:
        """Write a resumable checkpoint and the file for sharing; returns once both are durable."""
        state = {
            **{f"loop.{name}": value for name, value in self.loop.state_dict().items()},
            **{f"meter.{name}": value for name, value in self.meter.state_dict().items()},
        }
        bad = [name for name, v in state.items() if isinstance(v, Tensor) and not bool(torch.isfinite(v).all())]
        if bad:
            raise DivergedError(
                f"{self.folder.path}: {bad[0]} is no longer finite at {self.images_seen:,} images",
                hint="the last checkpoint is intact; try a lower --g-lr and --d-lr, or --precision fp32",
            )
        generator = generator_file.pack(self.loop.generator, self._header())
        existing = self.folder.checkpoints / f"step-{self.step:09d}"
        if existing.is_dir():  # saved a moment ago, or resumed and stopped at once
            return existing
        progress = {"step": self.step, "train_s": self.train_s}
        path = checkpoint.save(
            self.folder.checkpoints, step=self.step, state=state, progress=progress, generator=generator
        )
        write_durably(self.folder.generator, generator)
        checkpoint.prune(self.folder.checkpoints)
        self.write_status("running")
        self.plan.composition.hook.gankit_checkpoint(run=self, path=path)
        return path

    def restore(self) -> bool:
        """Go back to the newest checkpoint that verifies; False when there is none."""
        found = checkpoint.load_latest(self.folder.checkpoints)
        if found is None:
            return False
        parts: dict[str, dict[str, Any]] = {"loop": {}, "meter": {}}
        for name, value in found.state.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value.to(self.device) if isinstance(value, Tensor) else value
        self.loop.load_state_dict(parts["loop"])
        self.meter.load_state_dict(parts["meter"])
        self.step = int(found.progress["step"])
        self.train_s = float(found.progress["train_s"])
        self.resumed_at = self.images_seen
        return True

    def write_status(self, state: str, error: BaseException | None = None) -> None:
        """status.json: the truth about a run, whatever became of its process."""
        code = error.exit_code if isinstance(error, GankitError) else 1 if error else 0
        reason = " ".join(str(error).split()) if error else None
        facts = {"step": self.step, "images_seen": self.images_seen, "train_s": round(self.train_s, 3)}
        self.folder.write_status(state, exit_code=None if state == "running" else code, reason=reason, **facts)

    def result(self) -> RunResult:
        """The summary handed to the caller."""
        return RunResult(
            folder=self.folder.path,
            generator=self.folder.generator,
            picture=self.folder.samples / f"{self.images_seen:09d}.png",
            images_seen=self.images_seen,
            step=self.step,
            train_s=self.train_s,
            stats=self.stats,
        )

    def _header(self) -> dict[str, Any]:
        composition, config = self.plan.composition, self.config
        alone = composition.supplier("gankit_generator") == host.CORE and not composition.wrappers("gankit_generator")
        refs = [
            generator_file.PluginRef(name=plugin.name, dist=plugin.dist, version=plugin.version)
            for plugin in composition.plugins
        ]
        return {
            "gankit": __version__,
            "torch": torch.__version__,
            "variant": refs[0],
            "extensions": tuple(refs[1:]),
            "core_generator": alone,
            "shape": self.data.shape,
            "classes": self.data.classes,
            "data": self.dataset.name,
            "data_fingerprint": self.dataset.fingerprint,
            "z_dim": config.z_dim,
            "config": to_json(config),
            "options": to_json(self.plan.resolved.options),
            "images_seen": self.images_seen,
            "step": self.step,
            "seed": config.seed,
            "preview_png": self._preview(),
        }

    def _preview(self) -> str | None:
        """A small contact sheet as base64, or None when it would be too large for a header."""
        generator = torch.Generator().manual_seed(derive_seed(self.config.seed, "grid"))
        data = png(picture(self.sample(torch.randn(PREVIEW, self.config.z_dim, generator=generator))))
        return base64.b64encode(data).decode() if len(data) <= MAX_PREVIEW_BYTES else None


def train(
    variant: str | None = None,
    *,
    out: str | Path | None = None,
    new: bool = False,
    config: str | Path | None = None,
    observers: Sequence[object] = (),
    progress: Progress | None = None,
    **settings: Unpack[Settings],
) -> RunResult:
    """Train a GAN; the same call again continues a run that was stopped.

    `settings` are the fields of `RunConfig` plus `options` (the variant's own); what is absent comes from the TOML file
    `config`, then the variant, then core. Without `out` the run gets the next number below runs/, unless an unfinished
    run of exactly these settings is there (`new=True` starts afresh all the same). Raises GankitError for everything a
    user can mend.
    """
    layers = [read_toml(Path(config))] if config else []
    named: dict[str, Any] = {"variant": variant} if variant else {}
    return train_layers([*layers, Layer("argument", {**named, **settings})], out, new, observers, progress)


def train_layers(
    layers: list[Layer],
    out: str | Path | None = None,
    new: bool = False,
    observers: Sequence[object] = (),
    progress: Progress | None = None,
) -> RunResult:
    """`train` for settings that come in several layers, as those of the command line do."""
    plan = plan_run(layers)
    device = choose_device(plan.config.device)
    dataset = load_data(plan, progress)
    folder = _open_folder(plan, dataset, out, new)
    return _run(plan, folder, dataset, device, observers)


def resume(
    folder: str | Path,
    *,
    variant: str | None = None,
    observers: Sequence[object] = (),
    progress: Progress | None = None,
    **settings: Unpack[Settings],
) -> RunResult:
    """Continue the run in `folder`, to the end of its budget or of a new one (`images=…`, `steps=…`, `time_s=…`).

    A variant or extension that was a file must be passed again: nothing is imported because a run folder says so.
    """
    run = RunFolder(Path(folder))
    if not run.exists:
        raise InputError(f"{folder} is not the folder of a run", hint="runs lie below runs/, each with a run.json")
    stored = run.configuration()
    saved = {**stored["config"], "options": stored["options"]}
    given: dict[str, Any] = {**({"variant": variant} if variant else {}), **settings}
    for key, flag in (("variant", "--variant"), ("extensions", "--with")):
        names = saved[key] if isinstance(saved[key], list) else [saved[key]]
        if key not in given and any(name.endswith(".py") for name in names):
            raise InputError(
                f"{folder} was trained with {key} {saved[key]}, a file", hint=f"pass it again: {flag} FILE.py"
            )
    if any(key in given for key in BUDGETS):
        saved = {key: value for key, value in saved.items() if key not in BUDGETS}
    plan = plan_run([Layer("run", saved), Layer("argument", given)])
    run_folder.check_same(run, plan.configuration)
    device = choose_device(plan.config.device)
    return _run(plan, run, load_data(plan, progress), device, observers)


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
    folder = run_folder.create(Path(out)) if out is not None else run_folder.create_numbered(prefix)
    info = plan.composition.info
    assert info is not None
    identity = {
        "run_id": str(uuid.uuid4()),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "plugins": [
            {"kind": plugin.kind, "name": plugin.name, "origin": plugin.origin} for plugin in plan.composition.plugins
        ],
        "api": info.api,
        "data": {
            "name": dataset.name,
            "shape": list(dataset.spec.shape),
            "classes": list(dataset.spec.classes),
            "fingerprint": dataset.fingerprint,
        },
    }
    folder.write_identity(identity, plan.configuration)
    return folder


def _run(
    plan: Plan, folder: RunFolder, dataset: Dataset, device: torch.device, observers: Sequence[object]
) -> RunResult:
    """Build, restore, train, end: the life of one process in a run folder."""
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        stack.callback(_log_to(folder))
        if dataset.fingerprint != folder.identity()["data"]["fingerprint"]:
            raise InputError(
                f"{folder.path} was trained on other data: '{plan.config.data}' has changed since",
                hint="bring the old data back, or start another run",
            )
        # The streams of the run are its own: the caller's generators come back untouched.
        stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        if device.type == "cpu":
            torch.set_flush_denormal(True)  # denormals make convolutions many times slower
        run = Run(plan, folder, dataset, device, build_loop(plan, dataset.spec, device))
        # pluggy calls the last one registered first: statistics, pictures, the checkpoint, then everybody else.
        for observer in (*observers, Checkpoints(), SampleGrids(), StatsWriter()):
            plan.composition.register_observer(observer, type(observer).__name__)
        resumed = run.restore()
        _announce(run, resumed)
        if run.share_done >= 1:
            log.info("nothing to do: %s has seen its %s images", folder.path, f"{run.images_seen:,}")
            return run.result()
        request = stack.enter_context(stop_requests())
        _loop(run, request)
        return run.result()


def _loop(run: Run, request: StopRequest) -> None:
    """The training loop: one batch, one step, everybody told; then the end, whatever it was."""
    hook, config = run.plan.composition.hook, run.config
    sampler = Sampler(run.dataset, batch=config.batch, seed=config.seed, device=run.device)
    run.write_status("running")
    error: BaseException | None = None
    try:
        hook.gankit_run_start(run=run)
        before = time.monotonic()
        while run.share_done < 1 and request.signal_number is None:
            # Every random number of a step is a function of (seed, step): a resumed run draws the same ones.
            torch.manual_seed(derive_seed(config.seed, "step", run.step))
            real, labels = sampler.batch(run.step)
            stats = run.loop.step(real, labels)
            run.step += 1
            hook.gankit_step_end(run=run, stats=stats)

            now = time.monotonic()
            run.train_s += now - before
            run.attempt_s += now - before
            before = now
        if request.signal_number is not None:
            raise Stopped(
                f"stopped at {run.images_seen:,} images, state saved",
                signal_number=request.signal_number,
                hint=f"gankit resume {run.folder.path}",
            )
    except BaseException as caught:
        error = _explain(caught, run)
        raise error from (caught if error is not caught else caught.__cause__)
    finally:
        _end(run, error)


def _end(run: Run, error: BaseException | None) -> None:
    """Tell the observers, which write the last files, and put the final state on record even if that fails."""
    try:
        run.plan.composition.hook.gankit_run_end(run=run, error=error)
    except BaseException as late:
        error = error or late
        raise
    finally:
        states: dict[type, str] = {Stopped: "stopped", DivergedError: "diverged", KeyboardInterrupt: "stopped"}
        run.write_status(states.get(type(error), "failed") if error else "finished", error)


def _explain(error: BaseException, run: Run) -> BaseException:
    """Out of memory is not a bug: say what was asked for and what to do. Everything else stays what it is."""
    cpu_memory = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    if isinstance(error, torch.OutOfMemoryError) or cpu_memory:
        return ResourceError(
            f"out of memory on {run.device} with --batch {run.config.batch} at {list(run.data.shape)}",
            hint=f"try --batch {max(1, run.config.batch // 2)}, or a smaller --size",
        )
    return error


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
    log.info("built by: %s", ", ".join(f"{what} {who}" for what, who in suppliers(plan).items()))
    budget = f"{config.total_images:,} images" if config.total_images else "no limit of images"
    budget += f" = {-(-config.total_images // config.batch):,} steps x {config.batch}" if config.total_images else ""
    budget += f", at most {config.time_s:g} s" if config.time_s else ""
    log.info("run %s: %s", run.folder.path, budget)
    if resumed:
        log.info("resumed at %s images: networks, average, optimisers, loss, data position", f"{run.images_seen:,}")


def _log_to(folder: RunFolder) -> Callable[[], None]:
    """Send gankit's log lines to log.txt as well; returns what takes that back."""
    handler = logging.FileHandler(folder.path / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.setLevel(min(level or logging.INFO, logging.INFO))
    log.addHandler(handler)

    def undo() -> None:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()

    return undo
