"""A score and its protocol, which keeps incompatible scores from being compared."""

from __future__ import annotations

import importlib.metadata
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gankit import __version__
from gankit.base.text import printable
from gankit.errors import InputError
from gankit.settings.option import to_json

log = logging.getLogger("gankit")

SCHEMA = 1
FILE = "metrics.jsonl"
YOUNG = 20_000  # images up to which a generator is not judged
BEST_BY = "fid"  # score by which the best checkpoint is chosen; lower is better


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything that determines a score besides the samples. Scores are comparable if all fields are equal."""

    data_fingerprint: str  # sha256 of the real set
    train_fingerprint: str  # sha256 of the training set, in which near-duplicates are searched
    split: str  # split of the real data: 'train', 'test'
    shape: tuple[int, ...]  # common shape of samples and real data
    features: str  # name of the feature space
    features_sha256: str  # sha256 of its weights
    preparation: Mapping[str, Any]  # preparation of samples by the space: resize, …
    quantisation: str  # type of the samples: 'uint8', or 'float32' for points
    n: int  # number of samples
    n_real: int  # number of real images in the reference
    n_floor: int  # number of other real images, whose score is the floor
    n_train: int  # number of training images among which near-duplicates are searched
    seed: int  # seed of the samples (latent seeds from seed * n on) and of the choice of the reference
    metrics: Mapping[str, Mapping[str, Any]]  # parameters of each metric
    critic_space: bool = False  # whether the critic of the scored generator was built on the feature space


@dataclass(frozen=True)
class Score:
    """One number. `floor` is the same metric between two sets of real data, which no generator should surpass."""

    value: float
    floor: float | None = None
    floor_spread: float | None = None
    spread: float | None = None  # standard deviation over subsets or splits, if the metric has one
    metric: str = ""  # name of the metric that computes it: 'pr' computes precision and recall
    higher_is_better: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of one set of samples with their protocol: a line of metrics.jsonl."""

    what: Mapping[str, Any]  # the scored samples: file, variant, digest; or the path of a set of images
    protocol: Protocol
    scores: Mapping[str, Score]
    data: str  # name of the real set
    step: int | None = None
    images_seen: int | None = None
    seconds: float = 0.0
    made_by: Mapping[str, str] = field(default_factory=dict)  # versions of the software

    def record(self) -> dict[str, Any]:
        """JSON values, as stored and as printed by --json."""
        return {"schema": SCHEMA, **to_json(self)}

    def findings(self) -> list[str]:
        """Conclusions in words from scores that are far from their floor."""
        copies, *far = (judge(self.scores) for judge in (_copies, _unrealistic, _uncovered))
        copies = copies or _memorised(self.scores)
        if any(far) and self.images_seen is not None and self.images_seen < YOUNG:
            far = [f"not yet trained: {self.images_seen:,} images say nothing of how it will end"]
        return [text for text in (copies, *far) if text]


def versions() -> dict[str, str]:
    """Versions of the software that computes a score; they are recorded, not compared."""
    import torch

    return {
        "gankit": __version__,
        "torch": torch.__version__,
        "torchmetrics": importlib.metadata.version("torchmetrics"),
    }


def from_record(record: object, where: str) -> Evaluation:
    """An evaluation from its JSON values; InputError for anything else."""
    import pydantic  # 0.1 s: not for `gankit --help`

    schema = record.get("schema") if isinstance(record, dict) else None
    if not isinstance(record, dict) or not isinstance(schema, int):
        raise InputError(f"{where}: not a score", hint="remove that line")
    if schema > SCHEMA:
        raise InputError(f"{where} was written by a newer gankit", hint="pip install --upgrade gankit")
    values = {key: value for key, value in record.items() if key != "schema"}
    try:
        return pydantic.TypeAdapter(Evaluation).validate_python(values)
    except (pydantic.ValidationError, OverflowError) as error:
        problem = str(error)
        if isinstance(error, pydantic.ValidationError):
            first = error.errors()[0]
            problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise InputError(f"{where} is damaged: {printable(problem)}", hint="remove that line") from None


def read_lines(path: Path) -> list[Evaluation]:
    """All evaluations in a metrics.jsonl, oldest first; a line cut short by a crash is skipped with a warning."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint="`gankit eval` writes it") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a file of scores", hint="give a run, or a metrics.jsonl") from error
    return list(_parsed(lines, path))


def _parsed(lines: list[str], path: Path) -> Iterator[Evaluation]:
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError):
            log.warning("%s, line %d: not a whole line of JSON, left out", path, number)
            continue
        yield from_record(record, f"{path}, line {number}")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def protocol_differences(first: Protocol, second: Protocol) -> dict[str, tuple[Any, Any]]:
    """The fields in which two protocols differ: name -> (first, second).

    Parameters are compared only for metrics that both have: other scores cannot be compared anyway.
    """
    a, b = to_json(first), to_json(second)
    shared = a["metrics"].keys() & b["metrics"].keys()
    if shared:
        a["metrics"], b["metrics"] = ({name: p["metrics"][name] for name in sorted(shared)} for p in (a, b))
    return {name: (a[name], b[name]) for name in a if a[name] != b[name]}


def _copies(scores: Mapping[str, Score]) -> str | None:
    score = scores.get("duplicates")
    if score is None or score.floor is None or score.value <= score.floor + 0.05:
        return None
    return f"copies the training set: {score.value:.0%} of the samples are near-duplicates of training images"


def _memorised(scores: Mapping[str, Score]) -> str | None:
    chance, gap = scores.get("recovery_p"), scores.get("recovery_gap")
    if chance is None or gap is None or chance.value >= 0.01 or gap.value <= 0:
        return None
    return f"memorises: training images are found {gap.value:.0%} nearer than others (p {chance.value:.2g})"


def _unrealistic(scores: Mapping[str, Score]) -> str | None:
    score = scores.get("precision") or scores.get("density")
    if score is None or score.floor is None or score.value >= score.floor / 2:
        return None
    return "looks different from the data: few samples lie where real images do (precision below half of its floor)"


def _uncovered(scores: Mapping[str, Score]) -> str | None:
    name = "recall" if "recall" in scores else "coverage"
    score = scores.get(name)
    if score is None or score.floor is None or score.value >= score.floor / 2:
        return None
    collapsed = " while samples look real: mode collapse" if _unrealistic(scores) is None else ""
    return f"misses much of the data: {name} below half of its floor{collapsed}"
