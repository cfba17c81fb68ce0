"""stdout and stderr that never end the work: a closed pipe, a full disk, a missing character cost text, no result."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

CLOSED = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ECONNRESET)  # whoever read it has gone: a pipe, a terminal


class Stream:
    """A text stream whose failed writes are dropped, and those after them; everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        """The first failure."""
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # the replaced streams of a test have no encoding
            reconfigure(errors="replace" if stream.errors == "strict" else stream.errors)

    def write(self, text: str) -> int:
        """Write, or drop the text."""
        if self.error is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._drop(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write, or drop the lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, or drop what was not written."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._drop(error)

    def _drop(self, error: OSError) -> None:
        self.error = error
        # What is still in the buffer goes nowhere; without this the interpreter would complain when it ends.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def protect() -> None:
    """Replace sys.stdout and sys.stderr, also those that the shell has closed (`>&-`)."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process lives
        if not isinstance(stream, Stream):
            setattr(sys, name, Stream(stream))


def lost_output() -> OSError | None:
    """Why stdout lost text that somebody waits for; None for a reader that has gone, who did not want it."""
    stream = sys.stdout
    stream.flush()
    error = stream.error if isinstance(stream, Stream) else None
    return None if error is None or error.errno in CLOSED else error
