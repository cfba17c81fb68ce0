"""In which arithmetic the networks run. Scores, losses and optimiser states are float32 under every policy."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from gankit.errors import InputError


class Precision:
    """One of fp32, tf32, bf16 on one device; 'auto' is bf16 on a CUDA device that has it, and fp32 elsewhere.

    The CUDA branches (auto -> bf16, tf32) have not been run on a GPU yet.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name == "auto":
            name = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
        if name == "tf32" and device.type != "cuda":
            raise InputError(f"precision tf32 needs a CUDA device, not {device.type}", hint="use --precision fp32")
        self.name = name
        self.device_type = device.type
        if device.type == "cuda":  # process-wide switches of PyTorch
            torch.set_float32_matmul_precision("highest" if name == "fp32" else "high")
            torch.backends.cudnn.allow_tf32 = name != "fp32"

    def full(self) -> AbstractContextManager[None]:
        """The context for what must not lose digits: penalties."""
        return torch.autocast(self.device_type, enabled=False)

    def autocast(self) -> AbstractContextManager[None]:
        """The context in which a network's forward pass runs."""
        return torch.autocast(self.device_type, dtype=torch.bfloat16, enabled=self.name == "bf16")
