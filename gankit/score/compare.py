"""Scores side by side: collected from runs, refused if their protocols differ, and averaged over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.base.text import printable
from gankit.errors import InputError
from gankit.measure.record import BEST_BY, FILE, Evaluation, protocol_differences, read_lines
from gankit.store.find import run_of


@dataclass(frozen=True)
class Row:
    """One run and the evaluation that represents it."""

    name: str
    evaluation: Evaluation


def collect(paths: Sequence[Path], *, best: bool = False) -> tuple[list[Row], int]:
    """One row for each run, or for each checkpoint in a metrics.jsonl, and the number of evaluations left out.

    A row is the last evaluation, or with `best` the one with the lowest FID. All rows have one protocol: the newest one
    of the first run that all others have as well. Evaluations with other protocols are left out. InputError names the
    fields in which protocols differ if there is no common one. Scores in the space on which the critic of their
    generator was built are never compared.
    """
    stored = [(path, _evaluations(path)) for path in dict.fromkeys(map(_run_or_file, paths))]
    sources = [(path, _comparable(path, lines)) for path, lines in stored]
    candidates = reversed(sources[0][1])
    common = next((e.protocol for e in candidates if all(_has_protocol(lines, e) for _, lines in sources)), None)
    if common is None:
        _refuse(sources)
    assert common is not None
    rows: list[Row] = []
    left_out = sum(len(lines) for _, lines in stored) - sum(len(lines) for _, lines in sources)
    for path, lines in sources:
        comparable = [e for e in lines if not protocol_differences(e.protocol, common)]
        left_out += len(lines) - len(comparable)
        if path.is_dir():
            rows.append(Row(str(path), _representative(comparable, best)))
        else:
            by_checkpoint = {str(e.what.get("tensors_sha256") or e.what.get("file")): e for e in comparable}
            rows += [Row(str(e.what.get("file")), e) for e in by_checkpoint.values()]
    return rows, left_out


def repetitions(rows: Sequence[Row], *, best: bool = False) -> list[dict[str, Any]]:
    """Mean and standard deviation of each score over two or more runs that differ only by their seed.

    The runs are compared after the same number of images, or with `best` each at its best evaluation.
    """
    groups: dict[tuple[Any, ...], dict[str, Row]] = {}  # by settings, then by training seed
    for row in rows:
        what = row.evaluation.what
        if "settings" in what:
            key = (str(what["settings"]), None if best else row.evaluation.images_seen)
            groups.setdefault(key, {})[str(what.get("training_seed"))] = row
    summaries = []
    for group in (list(rows.values()) for rows in groups.values()):
        if len(group) < 2:
            continue
        scores = {
            name: (statistics.mean(values), statistics.stdev(values))
            for name in group[0].evaluation.scores
            if len(values := [r.evaluation.scores[name].value for r in group if name in r.evaluation.scores]) > 1
        }
        first = group[0].evaluation
        name, images_seen = str(first.what.get("variant", "")), None if best else first.images_seen
        summaries.append({"name": name, "images_seen": images_seen, "runs": len(group), "scores": scores})
    return summaries


def _run_or_file(path: Path) -> Path:
    """The run, for the metrics.jsonl in its folder; else the path itself."""
    run = run_of(path) if path.name == FILE else None
    return path if run is None else run.path


def _evaluations(path: Path) -> list[Evaluation]:
    file = path / FILE if path.is_dir() else path
    if not file.exists():
        raise InputError(f"{printable(path)} has no scores", hint=f"gankit eval {printable(path)}")
    lines = read_lines(file)
    if not lines:
        raise InputError(f"{printable(path)} has no scores", hint=f"gankit eval {printable(path)}")
    return lines


def _comparable(path: Path, lines: list[Evaluation]) -> list[Evaluation]:
    """The evaluations outside of the space on which the critic was built; InputError if there are none."""
    found = [evaluation for evaluation in lines if not evaluation.protocol.critic_space]
    if not found:
        raise InputError(
            f"{printable(path)} has scores in '{printable(lines[-1].protocol.features)}' alone, on which its critic "
            "was built: they rank nothing",
            hint=f"gankit eval {printable(path) if path.is_dir() else 'CKPT'}, which takes another space by default",
        )
    return found


def _has_protocol(lines: Sequence[Evaluation], evaluation: Evaluation) -> bool:
    return any(not protocol_differences(e.protocol, evaluation.protocol) for e in lines)


def _representative(lines: Sequence[Evaluation], best: bool) -> Evaluation:
    scored = [e for e in lines if BEST_BY in e.scores]
    if best and scored:
        return min(scored, key=lambda e: e.scores[BEST_BY].value)
    return max(enumerate(lines), key=lambda pair: (pair[1].images_seen or 0, pair[0]))[1]


def _refuse(sources: Sequence[tuple[Path, list[Evaluation]]]) -> None:
    """Raise InputError with the fields in which the most similar protocols differ."""
    first_path, first = sources[0]
    for path, lines in sources[1:]:
        gaps = [protocol_differences(a.protocol, b.protocol) for a in reversed(first) for b in reversed(lines)]
        fewest = min(gaps, key=len)
        if fewest:
            differences = "; ".join(f"{name} {_short(a)} and {_short(b)}" for name, (a, b) in fewest.items())
            hint = "evaluate both again in the same way, with `gankit eval`"
            if "features_sha256" in fewest:
                hint += "; one classifier for both: --features classifier@FILE"
            raise InputError(
                f"{printable(first_path)} and {printable(path)} were scored in incompatible ways: {differences}",
                hint=hint,
            )
    raise InputError("these runs have no protocol in common", hint="evaluate all of them in the same way")


def _short(value: Any) -> str:
    text = value[:12] if isinstance(value, str) and len(value) == 64 else value
    return printable(str(text))
