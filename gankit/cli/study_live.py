"""The display of a study: a table that fills in on a terminal, else one line for each trial that ended."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gankit.base.text import printable
from gankit.cli import console

if TYPE_CHECKING:
    from rich.table import Table

    from gankit.study.head import Head

REFRESH_S = 0.5


@contextmanager
def watching() -> Iterator[Any]:
    """The display of a head: a table that fills in on a terminal, else one line for each trial that ended."""
    if not console.talk.is_terminal:
        yield _Lines()
        return
    from rich.live import Live

    with Live(console=console.talk, auto_refresh=False, transient=True) as live:
        shown_at = -math.inf

        def watch(head: Head) -> None:
            nonlocal shown_at
            now = time.monotonic()
            if now - shown_at >= REFRESH_S:
                shown_at = now
                live.update(_screen(head), refresh=True)

        yield watch


class _Lines:
    """One line for each trial that ended."""

    def __init__(self) -> None:
        self.last: object = None

    def __call__(self, head: Head) -> None:
        if head.last is None or head.last is self.last:
            return
        self.last = head.last
        trial, record = head.last
        counts = head.agenda.counts().values()
        done, total = sum(done for done, _ in counts), sum(total for _, total in counts)
        scores = {name: score["value"] for name, score in record["scores"].items()}
        metric = head.agenda.definition.score.metric
        what = f"{metric} {scores[metric]:.4g}" if metric in scores else record["status"]
        seconds = sum(record.get(key) or 0 for key in ("train_s", "score_s", "overhead_s"))
        console.talk.print(
            f"{done:,}/{total:,} {printable(trial.id)}: {what} ({seconds:,.0f} s){_left(head, total - done)}",
            markup=False,
        )


def _left(head: Head, count: int) -> str:
    """', about 3:10 left'."""
    from gankit.cli.live import clock

    if not head.done or not count:
        return ""
    return f", about {clock((time.monotonic() - head.started_at) / head.done * count)} left"


def _screen(head: Head) -> Table:
    from rich.table import Table

    metric = head.agenda.definition.score.metric
    counts = head.agenda.counts()
    running: dict[str, int] = {}
    for trial in head.running.values():
        running[trial.cell] = running.get(trial.cell, 0) + 1
    done, total = sum(n for n, _ in counts.values()), sum(n for _, n in counts.values())
    doing = f", {head.doing}" if head.doing else ""
    caption = f"{done:,} of {total:,} trials{doing}{_left(head, total - done)}"
    table = Table("cell", "done", "running", f"best {metric}", box=None, pad_edge=False, caption=caption)
    room = max(3, console.talk.height - 5)
    for cell, (ended, planned) in list(counts.items())[:room]:
        best = head.agenda.best(cell)
        table.add_row(
            console.cell(cell),
            f"{ended:,}/{planned:,}",
            str(running.get(cell, "")),
            "" if best is None else f"{best:.4g}",
        )
    if len(counts) > room:
        table.add_row(f"and {len(counts) - room:,} more cells", "", "", "")
    return table
