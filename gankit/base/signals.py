"""Ctrl-C, SIGTERM, a hang-up: a polite request in a training loop, an immediate one-line exit anywhere else."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from gankit.errors import Stopped

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no hang-up


class StopRequest:
    """A request to end the work, and the signal that made it.

    While `polite` is false a signal raises Stopped at once. While it is true the first signal is only recorded, so that
    the step can be finished and the state saved, and the second one raises.
    """

    def __init__(self) -> None:
        self.polite = False
        self.signal_number: int | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if not self.polite or self.signal_number is not None:
            raise Stopped("stopped at once", signal_number=number, at_once=True)
        self.signal_number = number


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within the block signals reach the request. Outside the main thread nothing is installed: Python forbids it."""
    request = StopRequest()
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup … &` keeps ignoring its signals
                previous[number] = signal.signal(number, request.handle)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
