"""Scores as text: their titles, their numbers and their protocol; where they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gankit.base.text import printable
from gankit.cli import console
from gankit.cli.flags import path_of
from gankit.errors import InputError

if TYPE_CHECKING:
    from gankit.measure.record import Evaluation

_ARROW = {True: " ↑", False: " ↓", None: ""}
_TITLES = {
    "fid": "FID",
    "kid": "KID ×1000",
    "is": "IS",
    "f1": "F1",
    "covered": "modes covered",
    "held": "with 10 % of their share",
    "good": "good samples",
    "jsd": "JSD",
    "kl": "KL",
}
CRITIC_SPACE = (
    "* the critic of these samples was built on this space: the scores are too good to be compared (--features NAME "
    "takes another one)"
)
_COUNTS = ("covered", "held")
_SHARES = ("duplicates", "good")
MANY = 1e6  # from which on a score is given as a power of ten: that of noise in some spaces


def title_of(name: str, higher_is_better: bool | None) -> str:
    """'fid' -> 'FID ↓'."""
    return _TITLES.get(name, name) + _ARROW[higher_is_better]


def print_protocol(evaluation: Evaluation) -> None:
    """Print on stdout the feature space, the samples and real data, and whether the critic knows the space."""
    p = evaluation.protocol
    prepared = ", ".join(f"{key} {value}" for key, value in p.preparation.items())
    weights = f" {p.features_sha256[:8]}" if p.features_sha256 != "none" else ""
    lines = [
        f"features {p.features}{weights}" + (f" ({prepared})" if prepared else ""),
        f"{p.n:,} samples as {p.quantisation} against "
        + (f"{p.n_real:,} of {p.split}; " if p.n_real else "the true distribution; ")
        + (f"floor: {p.n_floor:,} others" if p.n_floor else "no floor: no other real images")
        + f"; seed {p.seed}",
    ]
    for line in lines:
        console.paragraph(line)
    if p.critic_space:
        console.paragraph(CRITIC_SPACE)


def text_of(name: str, value: float | None, spread: float | None = None) -> str:
    """A score as text: KID in thousandths, shares of samples in per cent, numbers of modes in whole or tenth ones."""
    if value is None:
        return ""
    if name in _SHARES:
        return f"{value:.1%}"
    if name in _COUNTS:
        return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
    digits = 4 if name in ("jsd", "kl") else 3
    factor = 1000 if name == "kid" else 1
    number = factor * value
    if abs(number) >= MANY:
        return f"{number:.2e}"
    text = f"{number:.{digits}f}" if abs(number) < 10 else f"{number:.1f}" if abs(number) < 1000 else f"{number:,.0f}"
    return text if spread is None else f"{text} ± {factor * spread:,.{digits - 1 if digits == 3 else 4}f}"


def store_path(out: str | None) -> Path | None:
    """The file for the line of JSON; InputError, before any work, if its folder does not exist."""
    if out is None:
        return None
    path = path_of(out, "--out")
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(
            f"--out {printable(path)}: not a file in a folder that exists", hint="for example -o scores.jsonl"
        )
    return path


def store_and_show(target: Path, evaluation: Evaluation, path: Path, *, as_json: bool) -> None:
    """Store first, so that a closed pipe loses no line; show in any case, so that a failed write loses no numbers."""
    from gankit.base.files import append_line

    try:
        append_line(path, evaluation.record())
    finally:
        _show(target, evaluation, as_json=as_json)
    console.talk.print(f"stored in {printable(path)}", markup=False)
    if not as_json and (target / "run.json").is_file():
        run = console.quoted(target)
        console.next_steps(f"gankit compare {run} OTHER", f"gankit diagnose {run}")


def _show(target: Path, evaluation: Evaluation, *, as_json: bool) -> None:
    from rich.table import Table

    if as_json:
        console.print_json(evaluation.record())
        return

    images = f" at {evaluation.images_seen:,} images" if evaluation.images_seen is not None else ""
    console.paragraph(f"{target}{images} against {evaluation.data}")
    print_protocol(evaluation)
    table = Table("", "score", "floor", box=None, pad_edge=False)
    for name, score in evaluation.scores.items():
        value, floor = (
            text_of(name, v, s) for v, s in ((score.value, score.spread), (score.floor, score.floor_spread))
        )
        title = title_of(name, score.higher_is_better) + (" *" if evaluation.protocol.critic_space else "")
        table.add_row(console.cell(title), value, floor)
    console.print_table(table)
    for finding in evaluation.findings():
        console.paragraph(finding)
