"""stats.jsonl: means of the statistics, a line each, and the signs of trouble in them."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from gankit.base.seeds import derive_seed
from gankit.data import spaced
from gankit.hookspecs import Record
from gankit.run.health import drop_middle, findings, read_stats
from gankit.run.observers.common import drop_later_lines
from gankit.run.run import Run

log = logging.getLogger("gankit")

STATS_EVERY_IMAGES = 2_000


def statistics_every(batch: int) -> int:
    """Steps between two lines of statistics."""
    return max(1, STATS_EVERY_IMAGES // batch)


class StatsWriter:
    """Means of the statistics over about 2,000 images, a line each in stats.jsonl. Only here are they waited for."""

    def start(self, run: Run) -> None:
        """Drop lines written after the checkpoint that is resumed: their steps will be made again.

        A line of the same step came after it too if the checkpoint still holds the statistics of that line.
        """
        path = run.folder.path / "stats.jsonl"
        drop_later_lines(path, run.step - 1 if run.meter.counts else run.step)
        self.lines = read_stats(path)
        self.warned = {finding.kind for finding in findings(self.lines, self._scores(run))}
        self.diversity = Diversity(run)

    def after_step(self, run: Run, stats: Mapping[str, Tensor]) -> None:
        run.meter.add(stats)
        if run.step % statistics_every(run.config.batch) == 0:
            self.write(run)

    def end(self, run: Run, error: BaseException | None) -> None:
        if error is None and run.meter.counts:
            self.write(run)

    def write(self, run: Run) -> None:
        """One line, and the same numbers in `run.stats`; raises DivergedError when one is not finite."""
        means = run.meter.read()
        run.meter.reset()
        health = self.diversity.measure(run)
        broken = [name for name, value in {**means, **health}.items() if not math.isfinite(value)]
        if broken:
            raise run.diverged(f"{', '.join(broken)} {'are' if len(broken) > 1 else 'is'}")
        run.stats = means
        timing = {"wall_s": round(run.train_s, 3), "images_per_s": round(run.images_per_s, 1)}
        scheduled = run.loop.scheduled()
        record = {"step": run.step, "images_seen": run.images_seen, **timing, **means, **scheduled, **health}
        run.folder.append_line("stats.jsonl", record)
        self.lines.append(record)
        drop_middle(self.lines)
        run.plan.composition.hook.gankit_record(run=run, record=Record("statistics", {**means, **scheduled, **health}))
        for finding in findings(self.lines, self._scores(run)):
            if finding.kind not in self.warned:
                self.warned.add(finding.kind)
                log.warning("%s: %s; try %s", finding.kind, finding.figure, finding.advice)

    @staticmethod
    def _scores(run: Run) -> str:
        return run.plan.composition.info.scores


class Diversity:
    """How much fakes of different z differ, as a share of how much real samples do: about 1, and 0 after a collapse.

    The root of the mean variance over 64 samples; in a run with classes all of them are of one, and condition vectors
    are as in the data.
    """

    def __init__(self, run: Run) -> None:
        z, condition = run.space.draw(64, derive_seed(run.config.seed, "diversity"))
        self.z = z
        self.condition = condition
        dataset = run.dataset
        pool = torch.arange(len(dataset))
        if condition is not None and dataset.conditions is None and dataset.labels is not None:
            self.condition = condition[:1].expand(len(z), -1)
            pool = pool[dataset.labels == int(condition[0].argmax())]
        real = dataset.real(pool[spaced(len(pool), 1024)])
        self.of_real = self._spread(real)

    def measure(self, run: Run) -> dict[str, float]:
        """`diversity` of the averaged generator, as it is now; nothing where real samples do not differ."""
        if not self.of_real:
            return {}
        return {"diversity": self._spread(run.sample(self.z, self.condition)) / self.of_real}

    @staticmethod
    def _spread(samples: Tensor) -> float:
        return float(samples.double().var(0).mean().sqrt()) if len(samples) > 1 else 0.0
