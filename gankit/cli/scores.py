"""Scores on the screen with their protocol; where they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gankit.base.text import printable
from gankit.cli import console
from gankit.cli.flags import path_of
from gankit.errors import InputError
from gankit.measure.text import text_of, title_of

if TYPE_CHECKING:
    from gankit.measure.record import Evaluation

CRITIC_SPACE = (
    "* the critic of these samples was built on this space: the scores are too good to be compared (--features NAME "
    "takes another one)"
)


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
