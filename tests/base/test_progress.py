"""Progress: shown by whoever asked for it, within the block and no further."""

from __future__ import annotations

import threading

import pytest

from gankit.base import progress


def test_the_innermost_display_shows_what_is_told() -> None:
    outer: list[tuple[str, int, int]] = []
    inner: list[tuple[str, int, int]] = []
    progress.tell("nobody listens", 0, 1)
    with progress.to(lambda *call: outer.append(call)):
        progress.tell("a", 1, 2)
        with progress.to(lambda *call: inner.append(call)):
            progress.tell("b", 1, 2)
        with progress.to(None):
            progress.tell("hidden", 1, 2)
        progress.tell("a", 2, 2)
    progress.tell("nobody listens", 1, 1)
    assert (outer, inner) == ([("a", 1, 2), ("a", 2, 2)], [("b", 1, 2)])


def test_a_block_that_fails_takes_its_display_with_it() -> None:
    calls: list[str] = []
    with pytest.raises(KeyboardInterrupt), progress.to(lambda what, done, total: calls.append(what)):
        raise KeyboardInterrupt
    progress.tell("later", 0, 1)
    assert calls == []


def test_another_thread_shows_nothing() -> None:
    calls: list[str] = []
    with progress.to(lambda what, done, total: calls.append(what)):
        thread = threading.Thread(target=progress.tell, args=("elsewhere", 0, 1))
        thread.start()
        thread.join()
    assert calls == []
