"""The arithmetic of the networks. Scores, losses, penalties and optimiser states are always float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Literal

import torch

from gankit.errors import InputError
from gankit.machine import processes
from gankit.machine.autotune import fastest

MIN_GAIN = 1.2  # speed-up over fp32 at which bf16 is chosen on a CPU


class Precision:
    """One of fp32, tf32, bf16, fp16 on one device; 'auto' is bf16 on a CUDA device that has it, and fp32 elsewhere.

    On CUDA it sets PyTorch's switches of TF32, which are those of the process, because a backward pass has no context;
    `switches_kept` brings them back. The CUDA branches have not been run on a GPU yet.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name == "auto":
            name = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
        if name == "tf32" and device.type != "cuda":
            raise InputError(f"precision tf32 needs a CUDA device, not {device.type}", hint="use --precision fp32")
        self.name = name
        self.device_type = device.type
        self._in_full = False
        if device.type == "cuda":  # process-wide switches of PyTorch
            torch.set_float32_matmul_precision("highest" if name == "fp32" else "high")
            torch.backends.cudnn.allow_tf32 = name != "fp32"

    @contextmanager
    def full(self) -> Iterator[None]:
        """The context for work that needs full precision, penalties: `autocast` changes nothing within it."""
        before, self._in_full = self._in_full, True
        try:
            with torch.autocast(self.device_type, enabled=False):
                yield
        finally:
            self._in_full = before

    def autocast(self) -> AbstractContextManager[None]:
        """The context in which a network's forward pass runs."""
        dtype = torch.float16 if self.name == "fp16" else torch.bfloat16
        enabled = self.name in ("bf16", "fp16") and not self._in_full
        return torch.autocast(self.device_type, dtype=dtype, enabled=enabled)

    def scaler(self) -> torch.amp.GradScaler:
        """A gradient scaler for one optimiser.

        It keeps fp16 gradients from underflowing and skips a step whose gradients are not finite; in other precisions
        it does nothing. With a fused optimiser it never waits for the device.
        """
        return torch.amp.GradScaler(self.device_type, enabled=self.name == "fp16")


@contextmanager
def switches_kept() -> Iterator[None]:
    """After the block the switches of TF32 are what they were."""
    matmul, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolutions


def faster_on_cpu(what: str, play: Callable[[Precision], object]) -> Literal["fp32", "bf16"]:
    """'bf16' if `play`, the work of a step, is clearly faster in it on this CPU, else 'fp32'.

    All processes must call it. The first one measures while the others wait for its answer.
    """

    def choose() -> Literal["fp32", "bf16"]:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return "fp32"
        candidates = {name: partial(play, Precision(name, torch.device("cpu"))) for name in ("fp32", "bf16")}
        return "bf16" if fastest(f"precision\0{what}", candidates, MIN_GAIN) == "bf16" else "fp32"

    return processes.from_first(choose, "the precision that is faster")
