"""`gankit reproduce`: train a recipe, score it by its own protocol, and compare the scores with the expectation."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gankit.base.files import append_line, read_json, write_json
from gankit.base.text import printable
from gankit.errors import InputError
from gankit.host import recipes
from gankit.host.recipes import RecipeFile
from gankit.measure.features import choose_space
from gankit.measure.record import Evaluation
from gankit.run.plan import load_data, plan_run
from gankit.run.run import Run
from gankit.run.train import train_layers
from gankit.sample.generator import LoadOptions
from gankit.score.evaluate import EvalSettings, score, store_of
from gankit.score.manifold import PAPER_N, evaluate_manifold
from gankit.score.modes import evaluate_modes
from gankit.settings.layers import Layer
from gankit.settings.option import to_json
from gankit.settings.recipes import Expectation
from gankit.store import run_folder

FILE = "reproduce.json"
SCHEMA = 1
MAX_SEEDS = 1_000

log = logging.getLogger("gankit")


@dataclass(frozen=True)
class Judged:
    """One score over all seeds, and what was expected of it."""

    values: tuple[float | None, ...]
    """The score of each seed; None where the samples of a seed gave none, such as the JSD without a good sample."""
    mean: float | None
    """None unless each seed has the score."""
    expected: Mapping[str, float | None] | None = None
    """`low`, `high` and `value`; None where the recipe expects nothing of this score."""
    within: bool | None = None
    """Whether the mean lies in the interval."""


@dataclass(frozen=True)
class Reproduction:
    """What came out of a recipe. `within` is None where the recipe expects no score."""

    recipe: Mapping[str, str]
    """Name, origin and digest."""
    folder: Path
    runs: tuple[Path, ...]
    """The run of each seed."""
    images_seen: tuple[int, ...]
    train_s: tuple[float, ...]
    scores: Mapping[str, Judged] = field(default_factory=dict)
    within: bool | None = None
    source: str = ""
    """The source of the expectation."""
    critic_space: bool = False
    """Whether the scores are in the feature space on which the critic was built."""

    def record(self) -> dict[str, Any]:
        """JSON values, as stored and as printed by --json."""
        texts = {"folder": str(self.folder), "runs": [str(path) for path in self.runs]}
        return {"schema": SCHEMA, **to_json(self), **texts}


def reproduce(
    name: str,
    *,
    out: Path | None = None,
    seeds: int = 1,
    settings: Mapping[str, Any] | None = None,
    observer: Callable[[], tuple[Sequence[object], Callable[[Run], None] | None]] = lambda: ((), None),
) -> Reproduction:
    """Train the recipe `name` with the seeds 0, 1, …; the same call continues what was stopped.

    `settings` are those of the machine and the place: `data` and `device`. Each seed has a run of its own in the folder
    `out`, with its scores in `reproduce.json`; a seed that is scored already is neither trained nor scored again. The
    file of that name in `out` has the summary. `observer` makes the observers and the display of each run.
    """
    recipe = recipes.find(name)
    if not 1 <= seeds <= MAX_SEEDS:
        raise InputError(f"--seeds {seeds}: not a number of seeds", hint=f"1 to {MAX_SEEDS:,}")
    folder = out if out is not None else run_folder.RUNS / f"reproduce-{recipe.name}"
    expected = recipe.recipe.expect or Expectation()
    reference = name if recipe.dist is None else f"{recipe.dist}:{recipe.name}"
    given = {"recipe": reference, **(settings or {})}
    _check_features(given, expected)
    runs = [folder / f"seed-{seed}" for seed in range(seeds)]
    results = [_one_seed(recipe, expected, {**given, "seed": seed}, run, observer) for seed, run in enumerate(runs)]
    scores = _judge(recipe, expected, [result["scores"] for result in results])
    verdicts = [judged.within for judged in scores.values() if judged.within is not None]
    reproduction = Reproduction(
        recipe=recipe.identity,
        folder=folder,
        runs=tuple(runs),
        images_seen=tuple(result["images_seen"] for result in results),
        train_s=tuple(result["train_s"] for result in results),
        scores=scores,
        within=all(verdicts) if verdicts else None,
        source=expected.source,
        critic_space=any(result.get("protocol", {}).get("critic_space", False) for result in results),
    )
    write_json(folder / FILE, reproduction.record())
    return reproduction


def _check_features(given: Mapping[str, Any], expected: Expectation) -> None:
    """Find out before the training whether the feature space can be had at all."""
    if expected.command == "eval" and expected.features is not None:
        plan = plan_run([Layer("argument", given)])
        choose_space(expected.features, load_data(plan), plan.composition.catalogue("gankit_features"))


def _one_seed(
    recipe: RecipeFile,
    expected: Expectation,
    settings: Mapping[str, Any],
    folder: Path,
    observer: Callable[[], tuple[Sequence[object], Callable[[Run], None] | None]],
) -> dict[str, Any]:
    """Train and score one seed -> the content of its reproduce.json."""
    path = folder / FILE
    if path.is_file():
        stored = read_json(path)
        if stored.get("recipe", {}).get("digest") == recipe.digest and isinstance(stored.get("scores"), dict):
            if stored.get("data") != settings.get("data"):
                before, now = (printable(given.get("data") or "the data of the recipe") for given in (stored, settings))
                raise InputError(f"{folder} was trained on {before}, not on {now}", hint="another folder: --out OUT")
            log.info("%s is scored already", folder)
            return stored
    observers, on_step = observer()
    result = train_layers([Layer("argument", settings)], folder, observers=observers, on_step=on_step)
    evaluation = _score(folder, expected, settings.get("device", "auto"))
    append_line(store_of(folder), evaluation.record())
    document = {
        "schema": SCHEMA,
        "recipe": recipe.identity,
        "seed": settings["seed"],
        "data": settings.get("data"),
        "images_seen": result.images_seen,
        "train_s": round(result.train_s, 1),
        "scores": {name: score.value for name, score in evaluation.scores.items()},
        "protocol": to_json(evaluation.protocol),
    }
    write_json(path, document)
    return document


def _score(run: Path, expected: Expectation, device: str) -> Evaluation:
    if expected.command == "manifold":
        return evaluate_manifold(run, LoadOptions(device=device), n=expected.n or PAPER_N)
    if expected.command == "modes":
        return evaluate_modes(run, EvalSettings(device=device), n=expected.n).evaluation
    settings = EvalSettings(
        split=expected.split,
        features=expected.features,
        metrics=expected.metrics,
        n=expected.n,
        n_real=expected.n_real,
        device=device,
    )
    return score(run, settings)


def _judge(recipe: RecipeFile, expected: Expectation, per_seed: Sequence[Mapping[str, float]]) -> dict[str, Judged]:
    """The mean of each score over the seeds, beside its interval."""
    of_good_samples = ("jsd", "kl") if expected.command == "modes" else ()
    computed = list(dict.fromkeys([*(name for scores in per_seed for name in scores), *of_good_samples]))
    missing = [name for name in expected.scores if name not in computed]
    if missing:
        raise InputError(
            f"recipe '{recipe.name}' expects {', '.join(missing)}, which its protocol does not compute",
            hint=f"computed are {', '.join(computed)}: correct [expect] in {recipe.path}",
        )
    judged = {}
    for name in computed:
        values = [scores.get(name) for scores in per_seed]
        mean = None if None in values else statistics.fmean(value for value in values if value is not None)
        interval = expected.scores.get(name)
        within = None if interval is None else mean is not None and interval.holds(mean)
        judged[name] = Judged(tuple(values), mean, None if interval is None else to_json(interval), within)
    return judged
