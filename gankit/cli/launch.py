"""`--gpus N`: runs the same command again as N processes under torchrun, and ends as they do."""

from __future__ import annotations

import logging
import os
import sys

from gankit.errors import InputError


def relaunch(count: int, device: str, batch: int) -> None:
    """Run this command as `count` processes and exit as they do; return for a single one, and inside torchrun."""
    if count == 1 or "WORLD_SIZE" in os.environ:
        return
    import torch

    available = torch.cuda.device_count()
    if device != "cpu" and available < count:
        raise InputError(
            f"--gpus {count}: this machine has {available} CUDA devices",
            hint="use fewer, or --device cpu for processes on the CPU",
        )
    if batch % count:
        raise InputError(f"--gpus {count} with a batch of {batch}: it is divided among them", hint="take a multiple")
    # torchrun would give each process one thread.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    raise SystemExit(_run(["--standalone", "--nproc-per-node", str(count), "-m", "gankit", *sys.argv[1:]]))


def _run(arguments: list[str]) -> int:
    """The exit code of torchrun: that of the first process that failed, or 128 + the signal that ended all of them."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # the processes have said what was wrong
    try:
        run(parse_args(arguments))  # type: ignore[no-untyped-call]
    except ChildFailedError as failed:
        _, first = failed.get_first_failure()
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    return 0
