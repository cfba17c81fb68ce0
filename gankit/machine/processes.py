"""The processes of one run, as torchrun starts them: their ranks, their sums and means, and their agreement to stop.

Without torchrun there is one process, and nothing here has a cost. NCCL has not been run on GPUs yet.
All processes must call a function that communicates, in the same order, and not inside a file lock or the cache, for
which another process may be waiting.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from gankit.base.signals import StopRequest
from gankit.errors import InputError, ResourceError
from gankit.machine.digest import digests

T = TypeVar("T")

TIMEOUT = timedelta(minutes=30)  # limit of each wait; the first process may compute scores for this long
CHECK_S = 0.25  # seconds between two agreements on whether to stop

_control: dist.ProcessGroup | None = None  # the group for messages, over TCP; gradients may use NCCL
_local = False


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Within the block the processes of torchrun are connected; yields the device of this one."""
    global _control
    if dist.is_initialized() or not _started_by_torchrun():
        yield device
        return
    from torch.distributed.distributed_c10d import PrefixStore  # some builds of PyTorch lack it
    from torch.distributed.rendezvous import rendezvous

    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    with _waiting("the start of all processes"):
        store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            # torchrun keeps this store for all its restarts, and it still holds the addresses of processes that died.
            # Each machine counts its own restarts: TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 makes a new store instead.
            store = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
        _control = dist.new_group(backend="gloo", timeout=TIMEOUT)
    try:
        yield device
    finally:
        _control = None
        dist.destroy_process_group()


def _started_by_torchrun() -> bool:
    """Whether there are several processes; InputError for invalid variables of torchrun, before any process waits."""
    numbers = {name: os.environ.get(name, "0") for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT")}
    wrong = [name for name, value in numbers.items() if not value.isdecimal() or int(value) > 65_535]
    size = 1 if wrong else int(numbers["WORLD_SIZE"])
    if size > 1:
        wrong += [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
        wrong += ["RANK"] if int(numbers["RANK"]) >= size else []
    if wrong:
        values = ", ".join(f"{name}={os.environ.get(name, '')!r}" for name in dict.fromkeys(wrong))
        raise InputError(f"torchrun's variables are invalid: {values}", hint="start with torchrun, or unset them")
    return size > 1


@contextmanager
def local() -> Iterator[None]:
    """Within the block no function here communicates: `size` is 1 and `rank` is 0."""
    global _local
    before, _local = _local, True
    try:
        yield
    finally:
        _local = before


def size() -> int:
    """The number of processes that work together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() and not _local else 1


def rank() -> int:
    """The number of this process; the one with number 0 writes."""
    return dist.get_rank() if size() > 1 else 0


def share(batch: int) -> slice:
    """The part of a batch that this process works on; InputError when it cannot be divided."""
    if batch % size():
        low = batch - batch % size()
        hint = f"--batch {low or size()} or --batch {low + size()}"
        raise InputError(f"a batch of {batch} cannot be divided among {size()} processes", hint=hint)
    part = batch // size()
    return slice(rank() * part, (rank() + 1) * part)


def average(tensors: Sequence[Tensor], what: str) -> None:
    """Replace each tensor by its mean over the processes, in one transfer and without waiting for a GPU.

    `what` names the tensors in the error of a process that loses the others: "the gradients of the generator".
    """
    if size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _waiting(f"the average of {what}"):
        dist.all_reduce(flat)
    flat /= size()
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    torch._foreach_copy_(list(tensors), [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)])


def total(values: Tensor, what: str) -> Tensor:
    """The sum over the processes of values on the CPU, on the CPU; `what` names it in an error."""
    if size() == 1:
        return values
    moved = values.to("cuda" if dist.get_backend() == "nccl" else "cpu")
    with _waiting(what):
        dist.all_reduce(moved)
    return moved.cpu()


def gather(values: Tensor, what: str) -> Tensor:
    """Values [N, …] of every process, in the order of ranks, as [P · N, …]; `what` names them in an error."""
    if size() == 1:
        return values
    values = values.contiguous()
    parts = [torch.empty_like(values) for _ in range(size())]
    with _waiting(what):
        dist.all_gather(parts, values)
    return torch.cat(parts)


def from_first(make: Callable[[], T], what: str) -> T:
    """The result of `make` in the first process, sent to all processes by pickle; the others do not call `make`.

    `make` runs in `local` and cannot communicate with the other processes, which wait for its result. `what` names the
    result in an error.
    """
    if size() == 1:
        return make()
    message: list[Any] = [None]
    if rank() == 0:
        with local():
            message = [make()]
    with _waiting(what):
        dist.broadcast_object_list(message, src=0, group=_control)
    return message[0]  # type: ignore[no-any-return]


def compare(what: str, tensors: Mapping[str, Tensor]) -> list[str]:
    """The sorted names whose dtype, shape or bits differ between processes; every process gets the same list.

    Each process sends a fingerprint of every tensor. A name that a process lacks counts as different.
    """
    if size() == 1:
        return []
    of_processes: list[Any] = [None] * size()
    with _waiting(f"the comparison of {what}"):
        dist.all_gather_object(of_processes, digests(tensors), group=_control)
    names = {name for fingerprints in of_processes for name in fingerprints}
    return sorted(name for name in names if len({fingerprints.get(name) for fingerprints in of_processes}) > 1)


def require_same(facts: Mapping[str, Any]) -> None:
    """InputError, in every process, unless all of them have the same facts: name -> a value that JSON could hold."""
    if size() == 1:
        return
    of_processes: list[Any] = [None] * size()
    with _waiting("the data of all processes"):
        dist.all_gather_object(of_processes, dict(facts), group=_control)
    first = of_processes[0]
    for number, others in enumerate(of_processes):
        for name in dict.fromkeys([*first, *others]):
            if first.get(name) != others.get(name):
                raise InputError(
                    f"the processes of this run differ in {name}: {first.get(name)} in the first one, "
                    f"{others.get(name)} in process {number}",
                    hint="give every machine the same command, the same data and the same packages",
                )


@dataclass(frozen=True)
class Agreed:
    """The decision of all processes after a step."""

    stop: bool
    save: bool


class Agreement:
    """The agreement of all processes after a step, so that one that got a signal does not leave the others waiting."""

    def __init__(self, request: StopRequest) -> None:
        self.request = request
        self.signal_number = 0
        """The signal that ended the run by agreement, or 0."""
        self.next_check = 0
        self.since: tuple[int, float] | None = None

    def reached(self, step: int, *, done: bool, save: bool = False) -> Agreed:
        """Whether to stop before this step, and whether to save; the same in every process.

        `done` and `save` count only in the first process, because they may depend on its clock.
        """
        if size() == 1:
            self.signal_number = self.request.signal_number or 0
            return Agreed(done or self.signal_number > 0, save)
        if step < self.next_check:
            return Agreed(stop=False, save=False)
        mine = (int(done), int(save), self._pause(step)) if rank() == 0 else (0, 0, 0)
        votes = torch.tensor([self.request.signal_number or 0, *mine])
        with _waiting(f"the agreement on what to do before step {step + 1:,}"):
            dist.all_reduce(votes, op=dist.ReduceOp.MAX, group=_control)
        self.signal_number, finished, saving, pause = votes.tolist()
        self.next_check = step + pause
        return Agreed(bool(finished) or self.signal_number > 0, bool(saving))

    def _pause(self, step: int) -> int:
        """Steps until the next agreement, which is due every CHECK_S seconds."""
        before, self.since = self.since, (step, time.monotonic())
        if before is None or step == before[0]:
            return 1
        step_s = (self.since[1] - before[1]) / (step - before[0])
        return max(1, min(1000, round(CHECK_S / max(step_s, 1e-6))))


@contextmanager
def _waiting(what: str) -> Iterator[None]:
    """Turn the failure of a communication into a ResourceError: a process is gone, or late by TIMEOUT."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ResourceError(
            f"process {os.environ.get('RANK', '?')} lost the others while it waited for {what}: {reason}",
            hint="look above for the first error; the same command continues from the last checkpoint",
        ) from error
