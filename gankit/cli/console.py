"""Two consoles: stdout is data, stderr is talk. Text for a terminal is cleaned of control characters."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from gankit.base import progress
from gankit.base.files import json_text
from gankit.base.text import printable
from gankit.errors import GankitError, Stopped

if TYPE_CHECKING:
    from rich.progress import TaskID
    from rich.table import Table

talk = Console(stderr=True, highlight=False, soft_wrap=True)
data = Console(highlight=False, soft_wrap=True)
LONGEST_NAME = 20  # characters of a cell that is not wrapped
NARROWEST = 10  # characters of a column of texts
PLAIN_LINE_S = 10.0  # seconds between two lines of progress in a pipe
_rank = os.environ.get("RANK", "0")
RANK = int(_rank) if _rank.isdecimal() else 0  # number of this process under torchrun; only the first shows progress


def fail(error: GankitError) -> None:
    """Print an error as one line on stderr: what and where, then what to do."""
    line = Text() if isinstance(error, Stopped) else Text("error: ", style="bold red")
    line.append(printable(" ".join(error.message.split())), style="default not bold")
    if error.hint:
        line.append(" — " + printable(" ".join(error.hint.split())), style="dim not bold")
    talk.print(Text(_who()) + line)


def _who() -> str:
    return f"[rank {RANK}] " if RANK else ""


def print_json(value: object) -> None:
    """Print exactly one JSON document on stdout, in ASCII where stdout has no other characters."""
    if (sys.stdout.encoding or "").lower().startswith("utf"):
        print(json_text(value, indent=2))
    else:
        print(json.dumps(value, indent=2, allow_nan=False))


def say(text: str) -> None:
    """Say something beside the result, on stderr."""
    if not RANK:
        talk.print(Text(printable(text), style="dim"))


def next_steps(*commands: str) -> None:
    """Say on stderr what to do next: commands as they are typed."""
    if not RANK:
        talk.print(Text("next: " + " · ".join(map(printable, commands)), style="dim"))


def quoted(path: str | os.PathLike[str]) -> str:
    """A path as a word of the shell; hf:// has both of its slashes, one of which is lost in a `Path`."""
    return shlex.quote(re.sub(r"^hf:/(?!/)", "hf://", os.fspath(path)))


def number(value: float) -> float | None:
    """A number for JSON: NaN and infinity become null."""
    return value if math.isfinite(value) else None


def cell(text: str) -> Text:
    """Text from a file or a plugin as the cell of a table, without markup and control characters."""
    return Text(printable(text))


def fitting_width() -> int | None:
    """The columns that a screen has to fit: those of the terminal, or of COLUMNS; None in a pipe without it."""
    return data.width if data.is_terminal or os.environ.get("COLUMNS", "").isdecimal() else None


def paragraph(text: str, *, label: str = "", indent: int = 0, style: str = "") -> None:
    """Print text on stdout behind a label, wrapped between words on a terminal; what follows is indented as it is."""
    width, start = fitting_width(), f"{label:<{indent}}"
    lines = [start + printable(text)]
    if width is not None and len(lines[0]) > width > indent + 20:
        rest = " " * len(start)
        lines = textwrap.wrap(
            printable(text), width, initial_indent=start, subsequent_indent=rest, break_on_hyphens=False
        )
    for line in lines:
        data.print(Text(line, style=style))


def print_table(table: Table) -> None:
    """Print a table on stdout at its natural width; on a narrower terminal texts are wrapped, names and numbers not.

    No cell is cut: a table whose names and numbers alone are wider than the terminal keeps its width.
    """
    natural, width = width_of(table), fitting_width()
    fixed = texts = 0
    for column in table.columns:
        cells = [str(cell) for cell in (column.header, *column.cells)]
        column.no_wrap = all(" " not in cell and len(cell) <= LONGEST_NAME for cell in cells[1:])
        column.overflow = "fold"
        fixed += 2 + max(map(len, cells)) if column.no_wrap else 0
        texts += not column.no_wrap
    fits = width is None or fixed + NARROWEST * texts <= width
    Console(highlight=False, width=min(natural, width) if fits and width else natural).print(table, crop=False)


def width_of(table: Table) -> int:
    """The natural width of a table in characters."""
    from rich.measure import Measurement

    wide = Console(width=10_000)
    return Measurement.get(wide, wide.options, table).maximum


class TalkHandler(logging.Handler):
    """Shows gankit's log lines on stderr, above a live progress line if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        style = "yellow" if record.levelno >= logging.WARNING else ""
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        talk.print(Text(printable(_who() + prefix + record.getMessage()), style=style))


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Within the block gankit's log messages are shown on stderr."""
    log = logging.getLogger("gankit")
    handler, level = TalkHandler(), log.level
    log.addHandler(handler)
    log.setLevel(logging.WARNING if RANK else logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


@contextmanager
def progress_bar() -> Iterator[None]:
    """Within the block progress is shown: by a bar on a terminal, by a line every few seconds in a pipe."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=talk, transient=True)
    tasks: dict[str, TaskID] = {}
    starts: dict[str, float] = {}
    printed_at = time.monotonic()

    def print_line(what: str, done: int, total: int) -> None:
        nonlocal printed_at
        now = time.monotonic()
        started = starts.setdefault(what, now)
        if done < total and now - printed_at >= PLAIN_LINE_S:
            printed_at = now
            left = (now - started) / done * (total - done) if done and now > started else None
            rest = f", about {left:,.0f} s left" if left is not None else ""
            talk.print(Text(printable(f"{what} {done:,}/{total:,}{rest}")))
        if done >= total:
            starts.pop(what)

    def advance(what: str, done: int, total: int) -> None:
        if RANK:
            return
        if not talk.is_terminal:
            print_line(what, done, total)
            return
        if what not in tasks:
            tasks[what] = bar.add_task(printable(what), total=total)
        bar.start()
        bar.update(tasks[what], completed=done, total=total)
        if done >= total:  # rich draws one display at a time, and the next one may not be this bar
            bar.stop()
            bar.remove_task(tasks.pop(what))

    try:
        with progress.to(advance):
            yield
    finally:
        if talk.is_terminal:
            bar.stop()
