"""`--gpus N`: runs the same command again as N processes under torchrun."""

from __future__ import annotations

import os
import sys

from gankit.errors import InputError


def relaunch(count: int, device: str, batch: int) -> None:
    """Replace this process by torchrun with `count` processes; return for a single one, and inside torchrun."""
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
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *torchrun, "-m", "gankit", *sys.argv[1:]])
