"""How large everything is: in full on a GPU, in miniature on a CPU, with the same code."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from gankit.host import discovery

T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    """Where a part works, and how long it may."""

    device: torch.device
    full: bool
    """False for the miniature."""
    folder: Path
    """For files of the part."""
    ends: float
    """When the part is cut off, by `time.monotonic`."""
    cifar: str | None = None
    """Where CIFAR-10 lies, for those who have it."""

    def of(self, full: T, miniature: T) -> T:
        """The first in full, the second in miniature."""
        return full if self.full else miniature

    @property
    def left(self) -> float:
        """Seconds until the part is cut off."""
        return self.ends - time.monotonic()

    @property
    def variants(self) -> list[str]:
        """The variants of gankit that are tried."""
        return self.of(_own(discovery.VARIANTS), ["wgan-gp"])

    @property
    def extensions(self) -> list[str]:
        """Its extensions that are tried."""
        return self.of(_own(discovery.EXTENSIONS), ["r1"])


def _own(group: str) -> list[str]:
    return [plugin.name for plugin in discovery.discover(group) if plugin.dist == "gankit"]


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def why(error: BaseException) -> str:
    """An exception in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
