"""Progress of long work: `tell` reports it and `to` chooses the display. By default nothing is shown.

The display is a context variable: it holds within a `with` block, and new threads have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[str, int, int], None]
"""A display: (what is being done, units done, units in total)."""

_display: ContextVar[Progress | None] = ContextVar("gankit.progress", default=None)


@contextmanager
def to(display: Progress | None) -> Iterator[None]:
    """Within the block progress is shown by `display`; None shows nothing, even inside a block with a display."""
    token = _display.set(display)
    try:
        yield
    finally:
        _display.reset(token)


def tell(what: str, done: int, total: int) -> None:
    """Report that `done` of `total` units of `what` are done."""
    display = _display.get()
    if display is not None:
        display(what, done, total)
