"""The check that takes two processes; run as a module, this file is the second of them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist

from gankit.errors import PluginError, ResourceError
from gankit.run.build import own_streams
from gankit.testing.state import train, write_data
from gankit.testing.subject import CheckFailed, Subject

CPU = torch.device("cpu")
TIMEOUT_S = 120
STEPS = 6  # one generator step for five of the critic


def two_processes(subject: Subject) -> None:
    """A run that two processes share (on the CPU) has the same networks and the same state in both at its end."""
    if not dist.is_available():  # in some builds of PyTorch, which cannot have several processes
        return
    with TemporaryDirectory() as folder, ExitStack() as stack:
        write_data(subject, Path(folder))
        command = [sys.executable, "-m", "gankit.testing.sharing", folder, subject.variant, *subject.extensions]
        second = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        )
        stack.callback(second.kill)  # nothing to do when it has ended
        try:
            _train(replace(subject, device=CPU), 0, Path(folder))
        except PluginError as error:  # from the comparison at the last checkpoint
            raise CheckFailed(
                error.message,
                "state of the game follows numbers of the whole batch (batch_mean, batch_std, gather); what changes it "
                "is a Part: an event runs in the first process only",
            ) from error
        except ResourceError as error:  # the other one is gone
            _, said = second.communicate(timeout=TIMEOUT_S)
            last = said.strip().splitlines()[-1:] or [error.message]
            raise CheckFailed(f"the second process: {last[0]}", "it plays with half of the batch") from error
        second.communicate(timeout=TIMEOUT_S)


def _train(subject: Subject, rank: int, folder: Path) -> None:
    """A short run as one of two processes; its last checkpoint compares them."""
    wait = timedelta(seconds=TIMEOUT_S)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=wait)
    try:
        train(subject, folder / "run", steps=STEPS)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    place, variant, *extensions = sys.argv[1:]
    with own_streams(CPU):
        _train(Subject.of(variant, extensions=tuple(extensions)), 1, Path(place))
