"""A score and its protocol: what was compared with what, and how, so that incompatible numbers are never compared."""

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
BEST_BY = "fid"  # the score that tells which checkpoint is the best; lower is better


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything that decides a score besides the samples. Two scores are comparable when all of it is equal."""

    data_fingerprint: str  # sha256 of the real set
    train_fingerprint: str  # of the training set, which near-duplicates are looked for in
    split: str  # of the data: 'train', 'test'
    shape: tuple[int, ...]  # to which both sets were brought
    features: str  # name of the feature space
    features_sha256: str  # of its weights
    preparation: Mapping[str, Any]  # how the space prepares samples: resize, …
    quantisation: str  # of the samples: 'uint8', or 'float32' for points
    n: int  # samples
    n_real: int  # real ones in the reference
    n_floor: int  # other real ones, from which the floor is computed
    n_train: int  # training images among which near-duplicates are looked for
    seed: int  # of the samples (latent seeds from seed * n on) and of the choice of the reference
    metrics: Mapping[str, Mapping[str, Any]]  # parameters of each metric


@dataclass(frozen=True)
class Score:
    """One number. `floor` is the same metric between two sets of real data: no generator should be better."""

    value: float
    floor: float | None = None  # None: there is none
    floor_spread: float | None = None
    spread: float | None = None  # standard deviation over subsets or splits, where the metric has one
    metric: str = ""  # the name to ask for it: 'pr' gives precision and recall
    higher_is_better: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of one set of samples with their protocol: a line of metrics.jsonl."""

    what: Mapping[str, Any]  # the samples: file, variant, images seen, digest; or the path of a set of images
    protocol: Protocol
    scores: Mapping[str, Score]
    data: str  # name of the real set
    step: int | None = None
    images_seen: int | None = None
    seconds: float = 0.0
    made_by: Mapping[str, str] = field(default_factory=dict)  # versions

    def record(self) -> dict[str, Any]:
        """JSON values, as stored and as printed by --json."""
        return {"schema": SCHEMA, **to_json(self)}

    def findings(self) -> list[str]:
        """What the numbers say in words, where they are far from the floor."""
        return [text for judge in (_copies, _unlike, _uncovered) if (text := judge(self.scores))]


def versions() -> dict[str, str]:
    """The software that computes a score; recorded, not compared."""
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
    """All evaluations in a metrics.jsonl, oldest first; a line cut by a crash is left out, and said so."""
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
    raise ValueError(f"{constant} is no number of JSON")


def protocol_differences(first: Protocol, second: Protocol) -> dict[str, tuple[Any, Any]]:
    """The fields in which two protocols differ: name -> (of the first, of the second).

    Parameters count only of metrics that both have: scores that one of them lacks cannot be compared anyway.
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


def _unlike(scores: Mapping[str, Score]) -> str | None:
    score = scores.get("precision") or scores.get("density")
    if score is None or score.floor is None or score.value >= score.floor / 2:
        return None
    return "looks different from the data: few samples lie where real images do (precision below half of its floor)"


def _uncovered(scores: Mapping[str, Score]) -> str | None:
    name = "recall" if "recall" in scores else "coverage"
    score = scores.get(name)
    if score is None or score.floor is None or score.value >= score.floor / 2:
        return None
    collapsed = " while samples look real: mode collapse" if _unlike(scores) is None else ""
    return f"misses much of the data: {name} below half of its floor{collapsed}"
