"""metrics.jsonl: scores during training, and the checkpoint with the best of them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gankit.base.files import write_durably
from gankit.data.dataset import Dataset
from gankit.errors import DivergedError
from gankit.hookspecs import Record
from gankit.measure.evaluator import Evaluator, sizes
from gankit.measure.features import choose_space
from gankit.measure.record import BEST_BY, FILE, Evaluation, read_lines, versions
from gankit.run.observers.common import drop_later_lines, due
from gankit.run.plan import Plan
from gankit.run.run import Run
from gankit.sample.generator import latent_source

log = logging.getLogger("gankit")


class Evaluations:
    """Scores every `eval_every` images and at the end, a line each in metrics.jsonl; best.safetensors has the best FID.

    Latent vectors and reference are the same every time and those of `gankit eval`, which gives the same numbers for a
    checkpoint at the same n. The training streams do not notice.
    """

    def __init__(self, evaluator: Evaluator | None) -> None:
        self.evaluator = evaluator  # None: no scores were asked for
        self.best = math.inf
        self.evaluated_at = -1

    def start(self, run: Run) -> None:
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

    def after_step(self, run: Run, stats: Mapping[str, Tensor]) -> None:
        if run.config.eval_every is not None and due(run, run.config.eval_every):
            self.evaluate(run)

    def end(self, run: Run, error: BaseException | None) -> None:
        if error is None and self.evaluated_at != run.step:
            self.evaluate(run)

    def evaluate(self, run: Run) -> None:
        """One line, the scores in `run.scores`, and best.safetensors when the FID is the lowest so far."""
        if self.evaluator is None:
            return
        started = time.monotonic()
        source = latent_source(run.generator, run.space, self.evaluator.seed, run.device, run.dataset.conditions)
        try:
            scores = self.evaluator.score(source)
        except DivergedError as error:  # samples without a score do not end a run; broken numbers do, elsewhere
            log.warning("no scores at %s images: %s", f"{run.images_seen:,}", error.message)
            return
        self.evaluated_at, run.scores = run.step, scores
        packed = run.pack()
        line = Evaluation(
            what={"during": "training", "file": run.folder.generator.name, **packed.header.describe()},
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
        values = {name: score.value for name, score in scores.items()}
        run.plan.composition.hook.gankit_record(run=run, record=Record("scores", values, run.folder.path / FILE))

    def _announce(self, run: Run, evaluator: Evaluator) -> None:
        """What the scores will cost, said beforehand."""
        every, total = run.config.eval_every, run.config.total_images
        assert every is not None
        seconds = evaluator.estimate(latent_source(run.generator, run.space, 0, run.device))
        times = -(-(total - run.images_seen) // max(every, run.config.batch)) if total else None
        whole = f", {times} times: about {max(1, round(seconds * times)):,} s in all" if times else ""
        log.info(
            "scores every %s images: %s samples in the space '%s' against %s real ones, about %.1f s each%s",
            f"{every:,}", f"{evaluator.n:,}", evaluator.space.name, f"{evaluator.n_real:,}", seconds, whole,
        )  # fmt: skip


def training_evaluator(
    plan: Plan, dataset: Dataset, device: torch.device, critic_spaces: Sequence[str] = ()
) -> Evaluator:
    """The evaluator of `eval_every`, with the real data's features and the floor computed already."""
    composition, config = plan.composition, plan.config
    n, _ = sizes(len(dataset), min(config.eval_n, len(dataset) // 2))
    space = choose_space(config.eval_features, dataset, composition.catalogue("gankit_features"), critic_spaces)
    metrics = composition.catalogue("gankit_metrics")
    evaluator = Evaluator(dataset, dataset, space, metrics, n=n, device=device, critic_spaces=critic_spaces)
    _ = evaluator.floor
    return evaluator
