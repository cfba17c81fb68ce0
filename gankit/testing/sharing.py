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

from gankit.contracts import Batch
from gankit.errors import ResourceError
from gankit.machine import processes
from gankit.run.build import own_streams
from gankit.testing.subject import BATCH, CheckFailed, Subject, require

CPU = torch.device("cpu")
TIMEOUT_S = 120


def two_processes(subject: Subject) -> None:
    """Two processes that share each batch (on the CPU) come to the same parameters and the same state."""
    if not dist.is_available():  # in some builds of PyTorch, which cannot have several processes
        return
    with TemporaryDirectory() as folder, ExitStack() as stack:
        store = Path(folder) / "store"
        command = [sys.executable, "-m", "gankit.testing.sharing", str(store), subject.variant, *subject.extensions]
        second = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        )
        stack.callback(second.kill)  # nothing to do when it has ended
        try:
            different = _differences(replace(subject, device=CPU), 0, store)
        except ResourceError as error:  # the other one is gone
            _, said = second.communicate(timeout=TIMEOUT_S)
            last = said.strip().splitlines()[-1:] or [error.message]
            raise CheckFailed(f"the second process: {last[0]}", "it plays with half of the batch") from error
        second.communicate(timeout=TIMEOUT_S)
    require(
        not different,
        f"{len(different)} values differ between two processes, the first is '{''.join(different[:1])}'",
        "state of the game follows numbers of the whole batch: batch_mean, batch_std and gather of gankit.plugin",
    )


def _differences(subject: Subject, rank: int, store: Path) -> list[str]:
    """Play as one of two processes; the names in the state that are not equal in both."""
    wait = timedelta(seconds=TIMEOUT_S)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=wait)
    try:
        loop = subject.loop()
        for step in subject.enough(loop):
            torch.manual_seed(2 * step + rank)
            share = processes.share(BATCH)
            whole = subject.batch(loop, step)
            assert whole.labels is not None
            y = None if whole.condition is None else whole.condition[share]
            loop.step(Batch(whole.real[share], labels=whole.labels[share], condition=y))
        return processes.compare("the state", loop.shared_state())
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    place, variant, *extensions = sys.argv[1:]
    with own_streams(CPU):
        _differences(Subject.of(variant, extensions=tuple(extensions)), 1, Path(place))
