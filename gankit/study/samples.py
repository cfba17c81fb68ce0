"""Samples of the median and the worst run of each cell, side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from gankit.errors import GankitError
from gankit.study.journal import Result
from gankit.study.table import Row, Table

COUNT = 25  # samples in a picture
POINTS = 1_000  # samples in a plot of points
LARGEST = 512  # pixels of a side of a picture


@dataclass(frozen=True)
class Picture:
    """A run as a picture; None where there is nothing to draw, and why."""

    run: Result
    what: str  # 'median' or 'worst'
    image: Image.Image | None
    problem: str = ""


def pictures_of(table: Table, row: Row) -> list[Picture]:
    """The run with the median score and the worst run: a failed one if there is any."""
    scored = sorted((cost, index) for index, cost in enumerate(row.costs.values()) if math.isfinite(cost))
    runs = row.runs
    failed = [run for run in runs if run.status != "ok"]
    chosen = [("median", runs[scored[(len(scored) - 1) // 2][1]])] if scored else []
    if failed:
        chosen.append(("worst", failed[0]))
    elif len(scored) > 1:
        chosen.append(("worst", runs[scored[-1][1]]))
    return [_picture(table, run, what) for what, run in chosen]


def _picture(table: Table, run: Result, what: str) -> Picture:
    folder = table.folder / "trials" / run.trial.id
    if Path(run.trial.id).name != run.trial.id or not folder.is_dir():
        return Picture(run, what, None, "its run folder is gone")
    try:
        image = _drawn(folder)
    except GankitError as error:
        return Picture(run, what, None, error.message)
    image.thumbnail((LARGEST, LARGEST))
    return Picture(run, what, image.convert("RGB"))


def _drawn(folder: Path) -> Image.Image:
    """Samples of seeds 0, 1, … as every run of the study gets them."""
    import torch  # seconds: only a report draws samples

    from gankit.sample.generator import load

    generator = load(folder)
    count = POINTS if generator.data.kind == "points" else COUNT
    return generator.modality.picture(torch.cat(list(generator.stream(range(count)))))
