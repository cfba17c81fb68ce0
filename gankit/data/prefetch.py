"""Batches of samples that do not fit the device: a thread gathers them one batch ahead, a side stream copies them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor


class _Ahead(NamedTuple):
    """A batch that is being gathered: its number, its indices [n], and its rows with the event of their copy."""

    step: int
    indices: Tensor
    rows: Future[tuple[Tensor, torch.cuda.Event | None]]


class Prefetch:
    """Batches of rows, of which the one of step k + 1 is gathered while step k is computed.

    The rows use two buffers in turn. On CUDA these are pinned, and a side stream copies them to the device; elsewhere
    the buffer itself is the batch. The CUDA branch has not been run on a GPU yet; CPU tests check the order of work.
    """

    def __init__(self, samples: Tensor, device: torch.device, rows: int, indices: Callable[[int], Tensor]) -> None:
        """`samples` [N, *shape] on the CPU; `indices(step)` are the `rows` indices of batch number `step`."""
        self._samples, self._device, self._indices = samples, device, indices
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        pinned = self._stream is not None
        shape = (rows, *samples.shape[1:])
        self._buffers = [torch.empty(shape, dtype=samples.dtype, pin_memory=pinned) for _ in range(2)]
        self._copied: list[torch.cuda.Event | None] = [None, None]
        self._turn = 0
        self._ahead: _Ahead | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gankit-prefetch")

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Indices [n] on the CPU and rows [n, *shape] on the device; the rows are valid until the next call.

        An error in the thread is raised here, for the batch in which it occurred.
        """
        ahead = self._ahead if self._ahead is not None and self._ahead.step == step else self._begin(step)
        self._ahead = None
        rows, copied = ahead.rows.result()
        if copied is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(copied)
            rows.record_stream(stream)  # the memory was allocated by the side stream
        self._ahead = self._begin(step + 1)
        return ahead.indices, rows

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _begin(self, step: int) -> _Ahead:
        indices, slot = self._indices(step), self._turn
        self._turn = 1 - slot
        return _Ahead(step, indices, self._thread.submit(self._gather, indices, slot))

    def _gather(self, indices: Tensor, slot: int) -> tuple[Tensor, torch.cuda.Event | None]:
        buffer, before = self._buffers[slot], self._copied[slot]
        if before is not None:
            before.synchronize()  # waits for the last copy from this buffer
        torch.index_select(self._samples, 0, indices, out=buffer)
        if self._stream is None:
            return buffer, None
        with torch.cuda.stream(self._stream):
            rows = buffer.to(self._device, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record(self._stream)
        self._copied[slot] = copied
        return rows, copied
