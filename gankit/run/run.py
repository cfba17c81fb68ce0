"""A run as observers see it: its place, its progress, and how its state is saved and restored."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gankit import __version__
from gankit.base.files import sha256, write_durably
from gankit.base.seeds import derive_seed
from gankit.contracts import DataSpec
from gankit.data import Dataset
from gankit.errors import DivergedError, GankitError, InputError
from gankit.game.latent import LatentSpace
from gankit.game.loop import TrainingLoop
from gankit.game.state import finite
from gankit.host.composition import CORE, BuiltBy
from gankit.machine.precision import Precision
from gankit.measure.record import Score
from gankit.run.build import data_spec, suppliers
from gankit.run.meter import Meter
from gankit.run.plan import Plan
from gankit.sample.pictures import generate, picture, png
from gankit.settings.config import RunConfig
from gankit.settings.option import to_json
from gankit.store import checkpoint, generator_file
from gankit.store.run_folder import RunFolder

PREVIEW = 16  # samples in the preview inside the sampleable file
MAX_PREVIEW_BYTES = 48 * 1024
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
    """A training run as observers see it."""

    plan: Plan
    """The configuration and the plugins, as resolved."""
    folder: RunFolder
    """Where it writes: `folder.path` is the place."""
    dataset: Dataset
    """The real samples."""
    space: LatentSpace
    """What the generator is given: z, and y in a conditional run."""
    device: torch.device
    """Where the networks lie."""
    loop: TrainingLoop
    """The game."""
    step: int = 0
    """Batches shown so far, over all attempts."""
    processes: int = 1
    """That share each batch."""
    changed: list[str] = field(default_factory=list)
    """What is no longer as it was at the checkpoint that was resumed, a line each."""
    rollbacks: int = 0
    """So often the run diverged and went back; each time with other random numbers."""
    train_s: float = 0.0
    """Seconds of training, over all attempts."""
    resumed_at: int = 0
    """Images seen when this attempt began."""
    attempt_s: float = 0.0
    """Seconds of training in this attempt."""
    stats: dict[str, float] = field(default_factory=dict)
    """The last means that were read from the device, by name."""
    scores: dict[str, Score] = field(default_factory=dict)
    """Of the last evaluation."""
    meter: Meter = field(default_factory=Meter)
    """Means of statistics since they were read last."""

    def __post_init__(self) -> None:
        # Read now: what is imported is this code, even if a file is edited while the run goes on.
        self._code = {
            f"the code of {plugin.name}": sha256(plugin.source.read_bytes())[:12]
            for plugin in self.plan.composition.plugins
            if plugin.source is not None and plugin.source.is_file()
        }

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self.plan.config

    @property
    def data(self) -> DataSpec:
        """What the networks are built for: shape and classes of the data, and whether they are told a condition."""
        return data_spec(self.dataset, self.space)

    @cached_property
    def suppliers(self) -> dict[str, BuiltBy]:
        """Builder -> who built it."""
        return suppliers(self.plan, self.data)

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

    def sample(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim] (and y [N, K]) -> samples [N, *shape] of the averaged generator, on the CPU.

        Training streams do not notice.
        """
        return generate(self.loop.generator, z, condition)

    def save_picture(self, name: str, samples: Tensor, columns: int | None = None) -> Path:
        """Samples [N, *shape] as a picture into the run folder: images as a sheet, points as a plot.

        `name` ends in .png; a picture of that name is replaced whole.
        """
        path = self.folder.path / name
        write_durably(path, png(picture(samples.detach().float().cpu(), columns=columns)))
        return path

    def save_checkpoint(self) -> Path:
        """Write a resumable checkpoint and the file for sharing; returns once both are durable."""
        state = {
            **{f"loop.{name}": value for name, value in self.loop.state_dict().items()},
            **{f"meter.{name}": value for name, value in self.meter.state_dict().items()},
        }
        bad = [name for name, v in state.items() if isinstance(v, Tensor) and not bool(torch.isfinite(v).all())]
        if bad:
            raise self.diverged(bad[0].removeprefix("loop."))
        self.folder.sync_lines()
        generator = self.pack_generator().data
        existing = self.folder.checkpoints / f"step-{self.step:09d}"
        if existing.is_dir():  # saved a moment ago, or resumed and stopped at once
            return existing
        progress = {
            "step": self.step,
            "rollbacks": self.rollbacks,
            "train_s": self.train_s,
            "run_id": self.folder.identity().get("run_id"),
            **self._circumstances(),
        }
        path = checkpoint.save(
            self.folder.checkpoints, step=self.step, state=state, progress=progress, generator=generator
        )
        write_durably(self.folder.generator, generator)
        checkpoint.prune(self.folder.checkpoints)
        self.write_status("running")
        self.plan.composition.hook.gankit_checkpoint(run=self, path=path)
        return path

    def pack_generator(self, module: nn.Module | None = None) -> generator_file.Packed:
        """The sampleable file of the averaged generator as it is now, or of another one of the same kind."""
        return generator_file.pack(module or self.loop.generator, self._header())

    def restore(self) -> bool:
        """Clear up after a crash and go back to the newest checkpoint that verifies; False when there is none."""
        self.folder.remove_leftovers()
        found = checkpoint.read_latest(self.folder.checkpoints)
        if found is None:
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
        self.rollbacks = max(self.rollbacks, int(finite(found.progress.get("rollbacks", 0))))
        self.train_s = finite(found.progress["train_s"])
        self.resumed_at = self.images_seen
        now = self._circumstances()
        self.changed = [
            f"{name} {found.progress[name]} is now {value}"
            for name, value in now.items()
            if found.progress.get(name, value) != value
        ]

    def _circumstances(self) -> dict[str, Any]:
        """What else than the state decides the bits of the next step."""
        return {
            "device": self.device.type,
            "precision": self.loop.precision.name,
            "processes": self.processes,
            "threads": torch.get_num_threads() if self.device.type == "cpu" else 0,
            "torch": torch.__version__,
            **self._code,
        }

    def diverged(self, what: str) -> DivergedError:
        """The error for numbers that are no longer finite."""
        kept = "the last checkpoint is intact; " if checkpoint.steps(self.folder.checkpoints) else ""
        return DivergedError(
            f"{self.folder.path}: {what} no longer finite at {self.images_seen:,} images",
            hint=f"{kept}try a lower --g-lr and --d-lr, or --precision fp32",
        )

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
            best=self.folder.best if self.folder.best.exists() else None,
        )

    def _header(self) -> dict[str, Any]:
        composition, config = self.plan.composition, self.config
        alone = self.suppliers["gankit_generator"] == BuiltBy(CORE)
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
            "z_prior": config.z_prior,
            "conditions": self.space.conditions,
            "config": self._shareable_config(),
            "options": self.plan.options,
            "images_seen": self.images_seen,
            "step": self.step,
            "seed": config.seed,
            "preview_png": self._preview(),
        }

    def _shareable_config(self) -> dict[str, Any]:
        """The configuration with names in place of paths: the file is for other people's machines."""
        names = [plugin.name for plugin in self.plan.composition.plugins]
        anonymous = {"variant": names[0], "extensions": names[1:], "data": self.dataset.name, "init_from": None}
        return {**to_json(self.config), **anonymous}

    def _preview(self) -> str | None:
        """A small contact sheet as base64, or None when it would be too large for a header."""
        data = png(picture(self.sample(*self.space.draw(PREVIEW, derive_seed(self.config.seed, "grid")))))
        return base64.b64encode(data).decode() if len(data) <= MAX_PREVIEW_BYTES else None
