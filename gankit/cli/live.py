"""The display of a run: one live line on a terminal, a plain line every few seconds in a pipe."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from gankit.cli.console import PLAIN_LINE_S, talk
from gankit.cli.scores import text_of
from gankit.hookspecs import hookimpl
from gankit.measure.record import BEST_BY

if TYPE_CHECKING:
    from gankit.run.run import Run

log = logging.getLogger("gankit")

REFRESH_S = 0.25


class LiveLine:
    """Observer that shows a run on the command line. It shows statistics as the run reads them, without waiting."""

    def __init__(self) -> None:
        columns = (BarColumn(bar_width=20), TaskProgressColumn(), TextColumn("{task.description}"))
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
            self.progress.update(self.task, completed=min(1.0, run.share_done), description=status(run), refresh=True)
        else:
            log.info("%3.0f %% %s", 100 * min(1.0, run.share_done), status(run))


def status(run: Run) -> str:
    """'24,000/200,000 images · 812/s · d 0.31 g 0.88 · D(real) 0.71 D(fake) 0.28 · ETA 3:10'"""
    total = run.config.total_images
    parts = [f"{run.images_seen:,}/{total:,} images" if total else f"{run.images_seen:,} images"]
    parts.append(f"{run.images_per_s:,.0f}/s")
    if run.stats:
        parts.append(f"d {_sum(run, 'd/'):.3f} g {_sum(run, 'g/'):.3f}")
    if "score/real" in run.stats:
        parts.append(f"D(real) {run.stats['score/real']:.2f} D(fake) {run.stats.get('score/fake', float('nan')):.2f}")
    skipped = {name[8]: share for name, share in run.stats.items() if name.startswith("skipped/") and share}
    if skipped:
        parts.append("fp16 skipped " + " ".join(f"{player} {share:.1%}" for player, share in skipped.items()))
    if BEST_BY in run.scores:
        parts.append(f"{BEST_BY.upper()} {text_of(BEST_BY, run.scores[BEST_BY].value)}")
    share = run.share_done
    if 0 < share < 1 and run.attempt_s > 1:
        parts.append(f"ETA {clock(run.train_s / share - run.train_s)}")
    return " · ".join(parts)


def _sum(run: Run, prefix: str) -> float:
    return sum(value for name, value in run.stats.items() if name.startswith(prefix))


def clock(seconds: float) -> str:
    """75 -> '1:15', 4000 -> '1:06:40'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
