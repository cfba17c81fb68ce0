"""A run: its place, its progress, and how its state is saved and restored."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gankit.base.files import write_durably
from gankit.base.seeds import derive_seed
from gankit.contracts import DataSpec
from gankit.data import Dataset
from gankit.errors import DivergedError, GankitError, InputError, PluginError
from gankit.game.ema import Ema
from gankit.game.latent import LatentSpace
from gankit.game.loop import TrainingLoop
from gankit.game.power_average import PowerEma
from gankit.game.state import finite
from gankit.host.composition import BuiltBy
from gankit.machine import processes
from gankit.machine.precision import Precision
from gankit.measure.record import Score
from gankit.run.build import data_spec, suppliers
from gankit.run.header import plugin_facts, shareable_config
from gankit.run.meter import Meter
from gankit.run.plan import Plan
from gankit.sample.averages import statistics_inputs
from gankit.sample.pictures import PREVIEW_SAMPLES, generate, picture, png, preview
from gankit.settings.config import RunConfig
from gankit.store import checkpoint, generator_file
from gankit.store.run_folder import RunFolder

SAMPLE_EVERY_WITHOUT_BUDGET = 50_000


@dataclass(frozen=True)
class RunResult:
    """Where a run left its things, and how far it came."""

    folder: Path
    """The run."""
    generator: Path
    """The file to sample from, and to share."""
    picture: Path
    """The last sample grid."""
    images_seen: int
    """Real samples shown to the discriminator, over all attempts."""
    step: int
    """Batches shown, over all attempts."""
    train_s: float
    """Seconds of training, over all attempts."""
    stats: dict[str, float]
    """The last statistics by name: 'd/real', 'g/fake', …"""
    best: Path | None = None
    """The file with the best score, where scores were asked for."""


@dataclass
class Run:
    """A training run in one of its processes. The first one writes; the others play the same steps.

    Plugins see it as `gankit.hookspecs.Run`.
    """

    plan: Plan
    """The configuration and the plugins, as resolved."""
    folder: RunFolder
    """Where the first process writes."""
    dataset: Dataset
    """The real samples."""
    space: LatentSpace
    """What the generator is given: z, and y in a conditional run."""
    device: torch.device
    """Where the networks lie."""
    loop: TrainingLoop
    """The game."""
    first: bool = True
    """Whether this is the first process of the run, which writes."""
    processes: int = 1
    """The number of processes that share each batch."""
    step: int = 0
    """Batches shown so far, over all attempts."""
    changed: list[str] = field(default_factory=list)
    """What is no longer as it was at the checkpoint that was resumed, a line each."""
    rollbacks: int = 0
    """How often the run diverged and went back; each time with other random numbers."""
    train_s: float = 0.0
    """Seconds of training, over all attempts."""
    resumed_at: int = 0
    """Images seen when this attempt began."""
    attempt_s: float = 0.0
    """Seconds of training since then."""
    stats: dict[str, float] = field(default_factory=dict)
    """The last means that were read from the device, by name."""
    scores: dict[str, Score] = field(default_factory=dict)
    """The scores of the last evaluation, by name."""
    meter: Meter = field(default_factory=Meter)
    """Means of statistics since they were read last."""
    _refreshed_at: int = -1

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The identity of the run, the same after a resume."""
        return str(self.folder.identity().get("run_id"))

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self.plan.config

    @property
    def configuration(self) -> dict[str, Any]:
        """Settings and options as JSON values."""
        return self.plan.configuration

    @property
    def data(self) -> DataSpec:
        """What the networks are built for: shape and classes of the data, and the length of the condition."""
        return data_spec(self.dataset, self.space)

    @cached_property
    def suppliers(self) -> dict[str, BuiltBy]:
        """Builder -> who built it."""
        return suppliers(self.plan, self.data)

    # -- how far it is -------------------------------------------------------------------------------------------------

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
    def all_images_seen(self) -> bool:
        """Whether the budget in images is used up; equal in all processes."""
        total = self.config.total_images
        return total is not None and self.images_seen >= total

    @property
    def share_done(self) -> float:
        """0 at the start, 1 when the first of the budgets is used up; by the clock of this process."""
        shares = [self.images_seen / self.config.total_images] if self.config.total_images else []
        shares += [self.train_s / self.config.time_s] if self.config.time_s else []
        return max(shares)

    # -- its generator -------------------------------------------------------------------------------------------------

    @property
    def generator(self) -> nn.Module:
        """The averaged generator, in eval mode, with running statistics that belong to its weights."""
        if self._refreshed_at != self.step:
            self._refresh(self.loop.ema)
            self._refreshed_at = self.step
        return self.loop.ema.module

    def _refresh(self, average: Ema) -> None:
        if average.has_running_statistics:
            average.refresh(statistics_inputs(self.space, self.config.seed, self.device))

    def sample(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim] (and y [N, K]) -> samples [N, *shape] of the averaged generator, on the CPU.

        Training does not notice.
        """
        return generate(self.generator, z, condition)

    def pack_generator(self, average: Ema | None = None) -> bytes:
        """The sampleable file of the averaged generator as it is now, or of another average of it."""
        return self.pack(average).data

    def pack(self, average: Ema | None = None) -> generator_file.Packed:
        """`pack_generator`, with its header."""
        if average is None:
            module = self.generator
        else:
            self._refresh(average)
            module = average.module
        drawn = generate(module, *self.space.draw(PREVIEW_SAMPLES, derive_seed(self.config.seed, "grid")))
        header = {
            **plugin_facts(self.plan, self.suppliers["gankit_generator"]),
            "shape": self.data.shape,
            "classes": self.dataset.spec.classes,
            "units": self.data.units,
            "rate": self.data.rate,
            "data": self.dataset.name,
            "data_fingerprint": self.dataset.fingerprint,
            "z_dim": self.config.z_dim,
            "z_prior": self.config.z_prior,
            "conditions": self.space.conditions,
            "attributes": self.data.attributes,
            "critic_spaces": self.loop.critic_spaces,
            "config": shareable_config(self.plan, self.dataset.name),
            "images_seen": self.images_seen,
            "average_std": average.std if isinstance(average, PowerEma) else None,
            "step": self.step,
            "seed": self.config.seed,
            "preview_png": preview(drawn),
        }
        return generator_file.pack(module, header)

    def save_picture(self, name: str, samples: Tensor, columns: int | None = None) -> Path:
        """Samples [N, *shape] as a picture into the run folder: images as a sheet, points as a plot.

        `name` ends in .png; a picture of that name is replaced whole.
        """
        path = self.folder.path / name
        write_durably(path, png(picture(samples.detach().float().cpu(), columns=columns)))
        return path

    # -- its state -----------------------------------------------------------------------------------------------------

    def save_checkpoint(self) -> Path:
        """Write a resumable checkpoint and the file for sharing; returns once both are durable.

        Called in all processes: their networks are compared first, and the first process writes.
        """
        self._compare_processes()
        folder = self.folder.checkpoints / f"step-{self.step:09d}"
        if not self.first:
            return folder
        with processes.local():
            packed = self.pack_generator()  # first: it measures statistics that are part of the state
            state = {
                **{f"loop.{name}": value for name, value in self.loop.state_dict().items()},
                **{f"meter.{name}": value for name, value in self.meter.state_dict().items()},
            }
            bad = [name for name, v in state.items() if isinstance(v, Tensor) and not bool(torch.isfinite(v).all())]
            if bad:
                raise self.diverged(_readable(bad[0]))
            self.folder.sync_lines()
            if folder.is_dir():  # saved a moment ago, or resumed and stopped at once
                return folder
            progress = {
                "step": self.step,
                "rollbacks": self.rollbacks,
                "train_s": self.train_s,
                "run_id": self.folder.identity().get("run_id"),
                **self._circumstances(),
            }
            path = checkpoint.save(
                self.folder.checkpoints, step=self.step, state=state, progress=progress, generator=packed
            )
            write_durably(self.folder.generator, packed)
            checkpoint.prune(self.folder.checkpoints)
            self.write_status("running")
            self.plan.composition.hook.gankit_checkpoint(run=self, path=path)
        return path

    def _compare_processes(self) -> None:
        """PluginError when the processes of a run no longer have the same networks."""
        if self.processes == 1:
            return
        different = processes.compare("the networks at a checkpoint", self.loop.shared_state())
        if different:
            raise PluginError(
                f"the processes of this run differ at {self.images_seen:,} images: '{different[0]}' and "
                f"{len(different) - 1} more",
                hint="an event runs in the first process only; what changes the game belongs in a Part",
            )

    def restore(self) -> bool:
        """Clear up after a crash and go back to the newest checkpoint that verifies; False when there is none."""
        self.folder.remove_leftovers()
        found = checkpoint.read_latest(self.folder.checkpoints)
        if found is None:
            if self.folder.generator.exists():  # it was trained, and from the start it would be overwritten
                raise InputError(
                    f"{self.folder.path} was trained, and none of its checkpoints is intact",
                    hint=f"--init-from {self.folder.generator} starts another run with its weights",
                )
            return False
        try:
            self._adopt(found)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(
                f"{found.folder} does not hold the state of this run: {type(error).__name__}: {error}",
                hint="move it away to go on from the one before",
            ) from error
        generator = (found.folder / checkpoint.GENERATOR).read_bytes()
        if not self.folder.generator.exists() or self.folder.generator.read_bytes() != generator:
            write_durably(self.folder.generator, generator)  # a crash may have come between the two
        return True

    def _adopt(self, found: checkpoint.Checkpoint) -> None:
        """Take over the networks, the optimisers and the counters of a checkpoint."""
        own = self.folder.identity().get("run_id")
        if found.progress.get("run_id", own) != own:
            raise ValueError("it was written by another run")
        parts: dict[str, dict[str, Any]] = {"loop": {}, "meter": {}}
        for name, value in found.state.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value.to(self.device) if isinstance(value, Tensor) else value
        saved = found.progress.get("precision")
        if (
            self.config.precision == "auto"
            and saved in ("fp32", "bf16")
            and found.progress["device"] == self.device.type
        ):
            self.loop.precision = Precision(saved, self.device)  # whatever would be faster today
        self.loop.load_state_dict(parts["loop"])
        self.meter.load_state_dict(parts["meter"])
        self.step = found.step
        self._refreshed_at = -1
        self.rollbacks = max(self.rollbacks, int(finite(found.progress.get("rollbacks", 0))))
        self.train_s = finite(found.progress["train_s"])
        self.resumed_at, self.attempt_s = self.images_seen, 0.0
        now = self._circumstances()
        self.changed = [
            f"{name} {found.progress[name]} is now {value}"
            for name, value in now.items()
            if found.progress.get(name, value) != value
        ]

    def _circumstances(self) -> dict[str, Any]:
        """What decides the bits of the next step beside the state."""
        return {
            "device": self.device.type,
            "precision": self.loop.precision.name,
            "processes": self.processes,
            "threads": torch.get_num_threads() if self.device.type == "cpu" else 0,
            "torch": torch.__version__,
            **self.plan.code,
        }

    def diverged(self, what: str) -> DivergedError:
        """The error for numbers that are no longer finite."""
        kept = "the last checkpoint is intact; " if checkpoint.steps(self.folder.checkpoints) else ""
        return DivergedError(
            f"{self.folder.path}: {what} no longer finite at {self.images_seen:,} images",
            hint=f"{kept}try a lower --g-lr and --d-lr, or --precision fp32",
        )

    def write_status(self, state: str, error: BaseException | None = None) -> None:
        """status.json: the last state of the run, whatever becomes of its process."""
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
            best=self.folder.best if self.folder.best.exists() else None,
        )


def _readable(name: str) -> str:
    """'loop.generator.layers.0.weight' -> 'generator.layers.0.weight', 'meter.sum.d/real' -> 'the statistic d/real'."""
    if name.startswith("meter.sum."):
        return f"the statistic {name.removeprefix('meter.sum.')} is"
    return f"{name.removeprefix('loop.')} is"
