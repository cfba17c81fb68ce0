"""Core's own plugins on the run's events: stats.jsonl, sample grids, scores and the checkpoint schedule."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gankit.contracts import SampleGrid
from gankit.errors import DivergedError, Stopped
from gankit.evaluator import Evaluator
from gankit.health import findings, read_stats
from gankit.hookspecs import hookimpl
from gankit.pictures import picture, png
from gankit.scores import BEST_BY, FILE, Evaluation, read_lines
from gankit.scoring import describe_samples, latent_source, versions
from gankit.storage import cannot_write, write_durably
from gankit.streams import derive_seed

if TYPE_CHECKING:
    from gankit.run import Run

log = logging.getLogger("gankit")

STATS_EVERY_IMAGES = 2_000
CHECKPOINT_EVERY_S = 120.0
OFFERED = 256  # latent vectors from which gankit_sample_grid chooses
POINTS = 2_000  # samples in a plot of points
KEPT_LINES = 1_000  # of the first and of the last statistics, in memory


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
        """Drop lines written after the checkpoint that is resumed: their steps will be made again.

        A line of the same step came after it too if the checkpoint still holds the statistics of that line.
        """
        path = run.folder.path / "stats.jsonl"
        drop_later_lines(path, run.step - 1 if run.meter.counts else run.step)
        self.lines = read_stats(path)
        self.warned = {finding.kind for finding in findings(self.lines, self._scores(run))}
        self.diversity = Diversity(run)

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
        health = self.diversity.measure(run)
        record = {"step": run.step, "images_seen": run.images_seen, **timing, **means, **health}
        run.folder.append_line("stats.jsonl", record)
        self.lines.append(record)
        del self.lines[KEPT_LINES:-KEPT_LINES]
        for finding in findings(self.lines, self._scores(run)):
            if finding.kind not in self.warned:
                self.warned.add(finding.kind)
                log.warning("%s: %s; try %s", finding.kind, finding.figure, finding.advice)

    @staticmethod
    def _scores(run: Run) -> str:
        info = run.plan.composition.info
        return info.scores if info is not None else "raw"


class Diversity:
    """How much fakes of different z differ, as a share of how much real samples do: about 1, and 0 after a collapse.

    The root of the mean variance over 64 samples; in a conditional run all of them are of one condition.
    """

    def __init__(self, run: Run) -> None:
        z, condition = run.space.draw(64, derive_seed(run.config.seed, "diversity"))
        self.z = z
        self.condition = None if condition is None else condition[:1].expand(len(z), -1)
        dataset = run.dataset
        pool = torch.arange(len(dataset))
        if condition is not None and dataset.conditions is None and dataset.labels is not None:
            pool = pool[dataset.labels == int(condition[0].argmax())]
        real = dataset.real(pool[torch.linspace(0, len(pool) - 1, min(len(pool), 1024)).long()])
        self.of_real = self._spread(real)

    def measure(self, run: Run) -> dict[str, float]:
        """`diversity` of the averaged generator, as it is now; nothing where real samples do not differ."""
        if not self.of_real:
            return {}
        return {"diversity": self._spread(run.sample(self.z, self.condition)) / self.of_real}

    @staticmethod
    def _spread(samples: Tensor) -> float:
        return float(samples.double().var(0).mean().sqrt()) if len(samples) > 1 else 0.0


def drop_later_lines(path: Path, step: int) -> None:
    """Keep the lines up to a step; a last line cut by a crash goes in silence, other unreadable ones do not."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []
    except OSError as error:
        raise cannot_write(path, error) from error
    kept = [line for line in lines if _step_of(line) <= step]
    if any(_step_of(line) == math.inf for line in lines[:-1]):
        log.warning("%s: unreadable lines are dropped", path)
    write_durably(path, "".join(line + "\n" for line in kept).encode())


def _step_of(line: str) -> float:
    """The step of a line, 0 when it has none; a line cut by a crash counts as later than everything."""
    try:
        return int(json.loads(line)["step"] or 0)
    except (ValueError, KeyError, TypeError):
        return math.inf


class SampleGrids:
    """The same z every time, so that the pictures in samples/ can be compared; the name is images seen."""

    @hookimpl
    def gankit_run_start(self, run: Run) -> None:
        z, condition = run.space.draw(OFFERED if run.data.is_image else POINTS, derive_seed(run.config.seed, "grid"))
        self.grid = SampleGrid(z, condition)
        if run.data.is_image:
            plan = run.plan
            self.grid = plan.composition.hook.gankit_sample_grid(
                data=run.data, z=z, condition=condition, options=plan.resolved.options
            )
        n = len(self.grid.z)
        spread = torch.linspace(0, len(run.dataset) - 1, min(n, len(run.dataset))).long()  # all classes of a sorted set
        self.real = run.dataset.real(spread)
        run.folder.make_samples()
        write_durably(run.folder.samples / "real.png", png(picture(self.real, columns=self.grid.columns)))
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
        samples = run.sample(self.grid.z, self.grid.condition)
        write_durably(path, png(picture(samples, self.real, self.grid.columns)))


class Evaluations:
    """Scores every `eval_every` images and at the end, a line each in metrics.jsonl; best.safetensors has the best FID.

    Latent vectors and reference are the same every time and those of `gankit eval`, which gives the same numbers for a
    checkpoint at the same n. The training streams do not notice.
    """

    def __init__(self, evaluator: Evaluator | None) -> None:
        self.evaluator = evaluator  # None: no scores were asked for
        self.best = math.inf
        self.evaluated_at = -1

    @hookimpl
    def gankit_run_start(self, run: Run) -> None:
        path = run.folder.path / FILE
        if path.exists():
            drop_later_lines(path, run.step)
        if self.evaluator is None:
            return
        self._announce(run, self.evaluator)
        lines = read_lines(path) if path.exists() else []
        earlier = [e for e in lines if e.protocol == self.evaluator.protocol and e.what.get("during") == "training"]
        self.best = min((e.scores[BEST_BY].value for e in earlier if BEST_BY in e.scores), default=math.inf)
        self.evaluated_at = max((e.step for e in earlier if e.step is not None), default=-1)

    @hookimpl
    def gankit_step_end(self, run: Run) -> None:
        if run.config.eval_every is not None and due(run, run.config.eval_every):
            self.evaluate(run)

    @hookimpl
    def gankit_run_end(self, run: Run, error: BaseException | None) -> None:
        if error is None and self.evaluated_at != run.step:
            self.evaluate(run)

    def evaluate(self, run: Run) -> None:
        """One line, the scores in `run.scores`, and best.safetensors when the FID is the lowest so far."""
        if self.evaluator is None:
            return
        started = time.monotonic()
        source = latent_source(run.loop.generator, run.space, self.evaluator.seed, run.device)
        try:
            scores = self.evaluator.score(source)
        except DivergedError as error:  # samples without a score do not end a run; broken numbers do, elsewhere
            log.warning("no scores at %s images: %s", f"{run.images_seen:,}", error.message)
            return
        self.evaluated_at, run.scores = run.step, scores
        packed = run.pack_generator()
        line = Evaluation(
            what={"during": "training", "file": run.folder.generator.name, **describe_samples(packed.header)},
            protocol=self.evaluator.protocol,
            scores=scores,
            data=run.dataset.name,
            step=run.step,
            images_seen=run.images_seen,
            seconds=round(time.monotonic() - started, 3),
            made_by=versions(),
        )
        run.folder.append_line(FILE, line.record())
        if BEST_BY in scores and scores[BEST_BY].value < self.best:
            self.best = scores[BEST_BY].value
            write_durably(run.folder.best, packed.data)

    def _announce(self, run: Run, evaluator: Evaluator) -> None:
        """What the scores will cost, said beforehand."""
        every, total = run.config.eval_every, run.config.total_images
        assert every is not None
        seconds = evaluator.estimate(latent_source(run.loop.generator, run.space, 0, run.device))
        times = -(-(total - run.images_seen) // max(every, run.config.batch)) if total else None
        whole = f", {times} times: about {max(1, round(seconds * times)):,} s in all" if times else ""
        log.info(
            "scores every %s images: %s samples in the space '%s' against %s real ones, about %.1f s each%s",
            f"{every:,}", f"{evaluator.n:,}", evaluator.space.name, f"{evaluator.n_real:,}", seconds, whole,
        )  # fmt: skip


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
