"""Numbers of the whole batch where several processes share it: state must not depend on one process's part."""

from __future__ import annotations

from torch import Tensor

from gankit.machine import processes


def mean(values: Tensor) -> Tensor:
    """The mean of values [N] over the batch of all processes, without gradient."""
    found = values.detach().mean()
    processes.average([found], "a number of the whole batch")
    return found


def std(values: Tensor) -> Tensor:
    """The standard deviation (divisor: the number of values) over the batch of all processes, without gradient."""
    centred = values.detach() - mean(values)
    return mean(centred.square()).sqrt()


def gather(values: Tensor) -> tuple[Tensor, slice]:
    """Values [N] of every process as [P · N], without gradient, and the slice of them that is this process's own."""
    n, rank = len(values), processes.rank()
    return processes.gather(values.detach(), "numbers of the whole batch"), slice(rank * n, (rank + 1) * n)
