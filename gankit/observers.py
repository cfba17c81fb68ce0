"""Core's own plugins on the run's events: stats.jsonl, sample grids and the checkpoint schedule."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gankit.errors import Stopped
from gankit.hookspecs import hookimpl
from gankit.pictures import picture, png
from gankit.storage import write_durably
from gankit.streams import derive_seed

if TYPE_CHECKING:
    from gankit.run import Run

log = logging.getLogger("gankit")

STATS_EVERY_IMAGES = 2_000
CHECKPOINT_EVERY_S = 120.0
GRID = 64  # samples in a grid
POINTS = 2_000  # samples in a plot of points


def due(run: Run, every_images: int) -> bool:
    """Whether the step just made crossed a multiple of `every_images`."""
    return run.images_seen // every_images > (run.images_seen - run.config.batch) // every_images


def ends_well(error: BaseException | None) -> bool:
    """Whether a run that ends this way is worth saving: at its budget, or stopped politely."""
    return error is None or (isinstance(error, Stopped) and not error.at_once)


class StatsWriter:
    """Means of the statistics over about 2,000 images, a line each in stats.jsonl. Only here are they waited for."""

    @hookimpl
    def gankit_run_start(self, run: Run) -> None:
        """Drop lines written after the checkpoint that is resumed: their steps will be made again."""
        path = run.folder.path / "stats.jsonl"
        lines = path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []
        kept = [line for line in lines if _step_of(line) <= run.step]
        if any(_step_of(line) == math.inf for line in lines[:-1]):  # the last one may be cut by a crash
            log.warning("%s: unreadable lines are dropped", path)
        write_durably(path, "".join(line + "\n" for line in kept).encode())

    @hookimpl
    def gankit_step_end(self, run: Run, stats: Mapping[str, Tensor]) -> None:
        run.meter.add(stats)
        if run.step % max(1, STATS_EVERY_IMAGES // run.config.batch) == 0:
            self.write(run)

    @hookimpl
    def gankit_run_end(self, run: Run, error: BaseException | None) -> None:
        if error is None and run.meter.counts:
            self.write(run)

    def write(self, run: Run) -> None:
        """One line, and the same numbers in `run.stats`; raises DivergedError when one is not finite."""
        means = run.meter.read()
        run.meter.reset()
        broken = [name for name, value in means.items() if not math.isfinite(value)]
        if broken:
            raise run.diverged(", ".join(broken))
        run.stats = means
        timing = {"wall_s": round(run.train_s, 3), "images_per_s": round(run.images_per_s, 1)}
        record = {"step": run.step, "images_seen": run.images_seen, **timing, **means}
        run.folder.append_line("stats.jsonl", record)


def _step_of(line: str) -> float:
    """The step of a line; a line cut by a crash counts as later than everything."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


class SampleGrids:
    """The same z every time, so that the pictures in samples/ can be compared; the name is images seen."""

    @hookimpl
    def gankit_run_start(self, run: Run) -> None:
        n = GRID if run.data.is_image else POINTS
        generator = torch.Generator().manual_seed(derive_seed(run.config.seed, "grid"))
        self.z = torch.randn(n, run.config.z_dim, generator=generator)
        spread = torch.linspace(0, len(run.dataset) - 1, min(n, len(run.dataset))).long()  # all classes of a sorted set
        self.real = run.dataset.real(spread)
        run.folder.samples.mkdir(exist_ok=True)
        write_durably(run.folder.samples / "real.png", png(picture(self.real)))
        if run.step == 0:
            self.write(run)

    @hookimpl
    def gankit_step_end(self, run: Run) -> None:
        if due(run, run.sample_every):
            self.write(run)

    @hookimpl
    def gankit_run_end(self, run: Run, error: BaseException | None) -> None:
        if ends_well(error):
            self.write(run)

    def write(self, run: Run) -> None:
        """samples/<images seen>.png"""
        path = run.folder.samples / f"{run.images_seen:09d}.png"
        write_durably(path, png(picture(run.sample(self.z), self.real)))


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
