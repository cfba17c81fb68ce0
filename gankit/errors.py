"""Errors that a user can fix: one line (what, where), a hint (what to do) and a documented exit code."""

from __future__ import annotations

MAX_MESSAGE = 1_000  # characters; a message may quote text of any length from a file


class GankitError(Exception):
    """Base of all expected failures. Every other exception is a bug and keeps its traceback (exit code 1)."""

    exit_code = 1
    """Exit code of the command that fails with this error."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        if len(message) > MAX_MESSAGE:  # the quotation in the middle is cut
            message = f"{message[: MAX_MESSAGE // 2]}…{message[-MAX_MESSAGE // 2 + 1 :]}"
        super().__init__(message)
        self.message = message
        """What is wrong and where: one line."""
        self.hint = hint
        """What to do, if anything."""


class InputError(GankitError):
    """A flag, an option, a data set or a checkpoint is not usable. Exit code 2."""

    exit_code = 2


class PluginError(GankitError):
    """A plugin is broken, missing, clashes with another one or speaks another API. Exit code 3."""

    exit_code = 3


class ResourceError(GankitError):
    """The machine lacks a resource: a lock, disk space, memory, an optional package, the network. Exit code 4."""

    exit_code = 4


class DivergedError(GankitError):
    """The numbers of a run are no longer finite. Exit code 5."""

    exit_code = 5


class Stopped(GankitError):  # noqa: N818 - nothing went wrong
    """A signal ended the work; the exit code is 128 + the signal. Unless `at_once`, the run saved its state first."""

    def __init__(self, message: str, *, signal_number: int, at_once: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signal_number
        self.signal_number = signal_number
        self.at_once = at_once
