"""Stopping a run as Ctrl-C does: one signal to the process that holds the lock of the run, and to no other."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
from contextlib import suppress
from pathlib import Path

from gankit.errors import InputError
from gankit.web.files import json_object, read_bytes
from gankit.web.watched import WatchedRun

_OWNER = re.compile(rb"process (\d{1,10}) on (.{1,300})\n?")


class Control:
    """Asks runs to stop, each process once: a second signal would end it without saving."""

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}

    def stop(self, run: WatchedRun) -> None:
        """Let a run finish its step, save and end; InputError where no process of this machine trains it.

        SIGTERM does what Ctrl-C does, also for a run in the background of a shell, which ignores Ctrl-C.
        """
        pid = _pid_of(run)
        if self._asked.get(run.id) == pid:
            raise InputError(f"{run.name} was asked to stop already", hint="it ends after its step")
        try:
            process = os.pidfd_open(pid)  # from here on the number cannot mean another process
        except OSError:
            raise _nobody(run) from None
        try:
            if not _locked(run.path / "LOCK") or _pid_of(run) != pid:
                raise _nobody(run)
            signal.pidfd_send_signal(process, signal.SIGTERM)
        except OSError as error:
            raise InputError(f"{run.name} cannot be stopped: {error.strerror}", hint=f"kill -TERM {pid}") from error
        finally:
            os.close(process)
        self._asked[run.id] = pid


def _pid_of(run: WatchedRun) -> int:
    """The process that LOCK and status.json both name."""
    owner = _OWNER.fullmatch(read_bytes(run.path / "LOCK", 1_000) or b"")
    status = json_object(read_bytes(run.path / "status.json", 1 << 20) or b"") or {}
    if owner is None or status.get("state") != "running" or status.get("pid") != int(owner[1]) or int(owner[1]) < 2:
        raise _nobody(run)
    if owner[2] != os.fsencode(socket.gethostname()):
        raise InputError(f"{run.name} is trained on another machine", hint="stop it there")
    return int(owner[1])


def _locked(path: Path) -> bool:
    """Whether a process holds the lock; asked without keeping it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def _nobody(run: WatchedRun) -> InputError:
    return InputError(f"no process of this machine trains {run.name}", hint=f"gankit resume {run.where()}")
