"""Ctrl-C and SIGTERM as a polite request: the run finishes its step and saves; a second Ctrl-C leaves at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether somebody asked the run to end, and by which signal."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """First signal: remember it. Second: raise where the program stands."""
        if self.signal_number is not None:
            raise KeyboardInterrupt
        self.signal_number = number


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within the block signals set the request. Outside the main thread nothing is installed: Python forbids it."""
    request = StopRequest()
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup … &` stays deaf to SIGINT
                previous[number] = signal.signal(number, request.handle)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
