"""The display of a run: one live line on a terminal, a plain line every few seconds in a pipe."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.progress import Progress, TaskProgressColumn, TextColumn

from gankit.cli.console import PLAIN_LINE_S, talk
from gankit.hookspecs import hookimpl
from gankit.measure.record import BEST_BY
from gankit.measure.text import text_of
from gankit.run.observers.statistics import statistics_every

if TYPE_CHECKING:
    from gankit.run.run import Run

log = logging.getLogger("gankit")

REFRESH_S = 0.25
PERCENT = 5  # characters of '100% '


class LiveLine:
    """Observer that shows a run on the command line. It shows statistics as the run reads them, without waiting."""

    def __init__(self) -> None:
        columns = (TaskProgressColumn(), TextColumn("{task.description}"))
        self.progress = Progress(*columns, console=talk, auto_refresh=False)
        self.task = self.progress.add_task("starting", total=1.0)
        self.shown_at = time.monotonic()

    @hookimpl
    def gankit_run_start(self, run: Run) -> None:
        if talk.is_terminal:
            self.progress.start()

    def after_step(self, run: Run) -> None:
        """Show the progress of the run, a few times per second."""
        now = time.monotonic()
        if now - self.shown_at >= (REFRESH_S if talk.is_terminal else PLAIN_LINE_S):
            self.shown_at = now
            self.show(run)

    @hookimpl
    def gankit_run_end(self, run: Run, error: BaseException | None) -> None:
        if error is None:
            self.show(run)
        if talk.is_terminal:
            self.progress.stop()

    def show(self, run: Run) -> None:
        """Update the line, or log it."""
        if talk.is_terminal:
            text = status(run, talk.width - PERCENT)
            self.progress.update(self.task, completed=min(1.0, run.share_done), description=text, refresh=True)
        else:
            log.info("%3.0f %% %s", 100 * min(1.0, run.share_done), status(run))


def status(run: Run, width: int | None = None) -> str:
    """'3:10 left · 24,000/200,000 images · 812/s · D(x) 0.71 D(G(z)) 0.28 · d 0.31 g 0.88', what matters most first.

    Parts that do not fit into `width` characters are left out, from the end.
    """
    line = ""
    for part in _parts(run):
        longer = f"{line} · {part}" if line else part
        if width is not None and len(longer) > width:
            break
        line = longer
    return line


def _parts(run: Run) -> Iterator[str]:
    total, share = run.config.total_images, run.share_done
    if 0 < share < 1 and run.attempt_s > 1:
        yield f"{clock(run.train_s / share - run.train_s)} left"
    yield f"{run.images_seen:,}/{total:,} images" if total else f"{run.images_seen:,} images"
    yield f"{run.images_per_s:,.0f}/s"
    if not run.stats:
        yield f"figures after {statistics_every(run.config.batch) * run.config.batch:,} images"
        return
    skipped = {name[8]: part for name, part in run.stats.items() if name.startswith("skipped/") and part}
    if skipped:
        yield "fp16 skipped " + " ".join(f"{player} {part:.1%}" for player, part in skipped.items())
    if BEST_BY in run.scores:
        yield f"{BEST_BY.upper()} {text_of(BEST_BY, run.scores[BEST_BY].value)}"
    if "probability/real" in run.stats:
        yield f"D(x) {run.stats['probability/real']:.2f} D(G(z)) {run.stats.get('probability/fake', math.nan):.2f}"
    elif "score/real" in run.stats:
        yield f"D(real) {run.stats['score/real']:.3g} D(fake) {run.stats.get('score/fake', math.nan):.3g}"
    yield f"d {_sum(run, 'd/')} g {_sum(run, 'g/')}"


def _sum(run: Run, prefix: str) -> str:
    """The sum of a player's terms; '–' when it has not moved since the last figures."""
    terms = [value for name, value in run.stats.items() if name.startswith(prefix)]
    return f"{sum(terms):.3g}" if terms else "–"


def clock(seconds: float) -> str:
    """75 -> '1:15', 4000 -> '1:06:40'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
