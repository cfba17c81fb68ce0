"""One trial in this process: train in its folder, score by the protocol of the study, and say what came of it."""

from __future__ import annotations

import errno
import logging
import math
import platform
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gankit.base.files import append_line, make_folder, write_durably
from gankit.data import Preparation
from gankit.errors import DivergedError, GankitError, InputError, ResourceError, Stopped
from gankit.look.cost import device_name, measure
from gankit.machine.device import choose_device
from gankit.measure.evaluator import Evaluator
from gankit.measure.record import FILE as SCORES
from gankit.measure.record import Evaluation, versions
from gankit.run.build import build_loop, data_spec, estimate, latent_space, own_streams
from gankit.run.health import findings, read_stats
from gankit.run.plan import Plan, plan_run
from gankit.run.run import Run, RunResult
from gankit.run.train import train_layers
from gankit.sample.generator import LoadOptions
from gankit.score.evaluate import EvalSettings, evaluator_of, real_data_of, score_run
from gankit.settings.layers import Layer
from gankit.settings.option import to_json
from gankit.store.checkpoint import KEEP
from gankit.store.run_folder import RunFolder, RunInUse
from gankit.study.definition import Scoring, Trial
from gankit.study.journal import Record, Status

log = logging.getLogger("gankit")

ERROR = "error.txt"
REPORTS = 10  # scores during training by which a trial may be pruned
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

Report = Callable[[int, float], bool]
"""Takes images seen and the metric during training as a cost (less is better); returns whether the trial shall end."""


class Pruned(GankitError):  # noqa: N818 - nothing went wrong
    """The trial scores worse than others did at this point."""


class Bench:
    """Trains and scores trials one after the other; what they share is made once.

    `device` is that of `gankit train`.
    """

    def __init__(self, scoring: Scoring, device: str = "auto") -> None:
        self.scoring, self.device = scoring, device
        self._evaluators: dict[tuple[str, ...], Evaluator] = {}

    def run(self, trial: Trial, folder: Path, report: Report | None = None) -> Record:
        """The record of the end of a trial. What the user could mend, and bugs, are results with a message.

        Stopped is raised, and so is what is no result: a full disk, a run that another process has.
        """
        clock = _Clock()
        record: Record = {"status": "ok", "message": "", "scores": {}, "choice": None, "protocol": {}}
        result = None
        try:
            plan, result = self._train(trial, folder, report, clock)
            sign = next(
                (f for f in findings(_stats(folder), plan.composition.info.scores) if f.kind == "collapse"), None
            )
            if sign is not None:
                record |= {"status": "collapsed", "message": sign.figure}
            evaluation = self._score(trial, plan, folder, clock)
            record |= self._scored(evaluation)
            value = evaluation.scores[self.scoring.metric].value
            if trial.phase == "search" and record["status"] == "ok" and math.isfinite(value):
                record["choice"] = value
        except Stopped:
            raise
        except GankitError as error:
            if isinstance(error, RunInUse) or _befalls_all(error):
                raise
            record |= {"status": _status(error, trained=result is not None), "message": error.message}
        except Exception as error:  # a bug of a plugin or of gankit: its traceback is kept
            _keep_traceback(folder)
            record |= {"status": "failed", "message": f"{type(error).__name__}: {error}; see {folder / ERROR}"}
        record["message"] = " ".join(str(record["message"]).split())
        return {**record, **clock.record(result, folder), "versions": versions(), "machine": self._machine()}

    def prepare(self, games: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> str:
        """Check that runs of these settings, which share their data, can be scored with these evaluation seeds.

        Real features are computed and cached, for this process and for others. Returns the fingerprint of the data.
        """
        plans = [plan_run([self._layer(settings)]) for settings in games]
        evaluators = [self._evaluator(plans[0], seed) for seed in seeds]
        for plan in plans:
            self._refuse_space_of_critic(plan, evaluators[0])
        names = list(dict.fromkeys(name for evaluator in evaluators for name in evaluator.floor))
        if names and self.scoring.metric not in names:
            raise InputError(
                f"the metrics {', '.join(self.scoring.names)} compute no score '{self.scoring.metric}'",
                hint=f"they compute {', '.join(names)}: --metric NAME, and --metrics for what computes it",
            )
        return evaluators[0].train.fingerprint[:16]

    def cost(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Measured: images per second of training, seconds of the scores; estimated: bytes on the disk."""
        self.prepare([settings], [self.scoring.report_seed])
        plan = plan_run([self._layer(settings)])
        evaluator = self._evaluator(plan, self.scoring.report_seed)
        speed = measure(plan, evaluator.train)
        sizes = estimate(plan, evaluator.train, steps=1).parameters
        weights = 4 * sum(sizes.values())
        return {
            "images_per_s": speed.images_per_s,
            "score_s": evaluator.estimate(lambda start, stop: evaluator.real.samples[start:stop]),
            # A checkpoint has both networks, two moments of each and the average; a run keeps some and two generators.
            "bytes": KEEP * (3 * weights + 4 * sizes["generator"]) + 8 * sizes["generator"],
        }

    # -- its parts -----------------------------------------------------------------------------------------------------

    def _layer(self, settings: Mapping[str, Any]) -> Layer:
        return Layer("study", {**settings, "device": self.device})

    def _train(self, trial: Trial, folder: Path, report: Report | None, clock: _Clock) -> tuple[Plan, RunResult]:
        layers = [self._layer(trial.settings)]
        plan = plan_run(layers)
        judge = _Judge(report, self.scoring.metric)
        total = plan.config.total_images
        if report is not None and total is not None:
            during: dict[str, Any] = {"eval_every": max(1, total // REPORTS), "eval_n": self.scoring.n}
            during |= {"eval_features": self.scoring.features} if self.scoring.features is not None else {}
            layers.append(Layer("study", during))

        def after_step(run: Run) -> None:
            clock.attempt_s = run.attempt_s
            judge(run)

        result = _when_free(lambda: train_layers(layers, folder, on_step=after_step))
        return plan, result

    def _score(self, trial: Trial, plan: Plan, folder: Path, clock: _Clock) -> Evaluation:
        started = time.monotonic()
        seed = self.scoring.choose_seed if trial.phase == "search" else self.scoring.report_seed
        evaluation = score_run(folder, self._evaluator(plan, seed), self._loading(plan))
        append_line(folder / SCORES, evaluation.record())
        clock.score_s = time.monotonic() - started
        return evaluation

    def _scored(self, evaluation: Evaluation) -> Record:
        scores = {
            name: {"value": s.value, "floor": s.floor, "higher_is_better": s.higher_is_better}
            for name, s in evaluation.scores.items()
        }
        if self.scoring.metric not in scores:
            raise InputError(f"no score is called '{self.scoring.metric}'", hint=f"there are {', '.join(scores)}")
        return {"scores": scores, "protocol": to_json(evaluation.protocol)}

    def _settings(self, seed: int) -> EvalSettings:
        scoring = self.scoring
        return EvalSettings(
            split=scoring.split,
            features=scoring.features,
            metrics=scoring.names,
            n=scoring.n,
            seed=seed,
            device=self.device,
        )

    def _loading(self, plan: Plan) -> LoadOptions:
        """How the generator of a run is rebuilt: plugins that are files are named, installed ones are found."""
        config = plan.config
        files = any(name.endswith(".py") for name in config.extensions)
        variant = config.variant if config.variant.endswith(".py") else None
        return LoadOptions(device=self.device, variant=variant, extensions=config.extensions if files else ())

    def _evaluator(self, plan: Plan, seed: int) -> Evaluator:
        """The evaluator for the data of a plan, which is kept: the features of the real data are computed once."""
        config = plan.config
        how = Preparation.of(vars(config))
        extensions = ",".join(config.extensions)
        key = (config.data, repr(how), extensions, plan.composition.variant.name, str(seed))
        if key not in self._evaluators:
            settings = self._settings(seed)
            real, train = real_data_of(config.data, settings.split, how, plan.composition)
            device = choose_device(self.device)
            self._evaluators[key] = evaluator_of(real, train, settings, plan.composition, device)
        return self._evaluators[key]

    def _refuse_space_of_critic(self, plan: Plan, evaluator: Evaluator) -> None:
        """InputError where the critic of a game is built on the space of the scores: it would look better than it is.

        Another space for this game alone would make its scores incomparable with those of other cells.
        """
        train, device = evaluator.train, choose_device(self.device)
        try:
            with own_streams(device):
                game = build_loop(plan, data_spec(train, latent_space(plan, train)), device, rehearsed=False)
        except Exception:  # what cannot be built is the result of its trials, and no reason to refuse the others
            return
        if evaluator.space.feature_space in game.critic_spaces:
            raise InputError(
                f"the critic of '{plan.config.variant}' is built on {evaluator.space.feature_space}, by which the runs "
                "would be scored",
                hint="another space for all of them: --features classifier where there are labels, or statistics",
            )

    def _machine(self) -> str:
        return f"{platform.node()}, {device_name(self.device)}"


class _Clock:
    """Seconds of a trial: training, scores, and what is neither."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.attempt_s = self.score_s = 0.0

    def record(self, result: RunResult | None, folder: Path) -> Record:
        """The times, and the images that were seen."""
        overhead = time.monotonic() - self.started - self.attempt_s - self.score_s
        return {
            "images_seen": result.images_seen if result is not None else _images_seen(folder),
            "train_s": round(result.train_s if result is not None else self.attempt_s, 3),
            "score_s": round(self.score_s, 3),
            "overhead_s": round(overhead, 3),
        }


class _Judge:
    """Reports each new score during training, and ends the run when it is told to."""

    def __init__(self, report: Report | None, metric: str) -> None:
        self.report, self.metric = report, metric
        self.reported: object = None

    def __call__(self, run: Run) -> None:
        if self.report is None or run.all_images_seen or self.metric not in run.scores or run.scores is self.reported:
            return
        self.reported = run.scores
        score = run.scores[self.metric]
        if self.report(run.images_seen, -score.value if score.higher_is_better else score.value):
            raise Pruned(f"{self.metric} {score.value:.4g} at {run.images_seen:,} images is worse than the median")


def _when_free(train: Callable[[], RunResult], patience_s: float = 30.0) -> RunResult:
    """Train once the run folder is free: a worker whose head was killed may still be ending."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return train()
        except RunInUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _stats(folder: Path) -> list[Mapping[str, Any]]:
    return list(read_stats(folder / "stats.jsonl"))


def _images_seen(folder: Path) -> int | None:
    """How far a run came that ended early; None where it never began."""
    run = RunFolder(folder)
    return run.status().get("images_seen") if run.exists else None


def _status(error: GankitError, *, trained: bool) -> Status:
    if isinstance(error, Pruned):
        return "pruned"
    if isinstance(error, DivergedError):
        return "collapsed" if trained and "are all the same" in error.message else "diverged"
    return "failed"


def _befalls_all(error: GankitError) -> bool:
    """Whether the error is of the machine and not of this trial."""
    cause = error.__cause__
    return isinstance(error, ResourceError) and isinstance(cause, OSError) and cause.errno in NO_SPACE


def _keep_traceback(folder: Path) -> None:
    make_folder(folder)
    write_durably(folder / ERROR, traceback.format_exc().encode("utf-8", "backslashreplace"))
