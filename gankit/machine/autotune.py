"""The fastest of several implementations on this CPU, measured once and kept in the cache."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

import torch

from gankit.base.cache import cached_file
from gankit.errors import InputError, ResourceError

ROUNDS = 4  # rounds of measurement; the first one pays for lazy initialisation


def fastest(what: str, candidates: Mapping[str, Callable[[], object]], gain: float) -> str:
    """The name of the fastest candidate, or of the first one if no other is at least `gain` times as fast.

    The result is cached under `what` (a description of the work), this machine and PyTorch's version. It is not
    measured again, because the load of the machine must not make two runs of the same settings differ. A file lock is
    held during the measurement: a candidate must not wait for another process.
    """
    key = f"{_processor()}\0{torch.__version__}\0{torch.get_num_threads()}\0{sorted(candidates)}\0{what}"
    name = f"autotune/{sha256(key.encode()).hexdigest()[:24]}"

    def read(path: Path) -> str:
        winner = path.read_text(errors="replace")
        if winner not in candidates:
            raise InputError(f"{path} names no candidate")
        return winner

    try:
        return cached_file(name, make=lambda: _measure(candidates, gain).encode(), read=read)
    except ResourceError:  # the cache cannot be written
        return _measure(candidates, gain)


def _measure(candidates: Mapping[str, Callable[[], object]], gain: float) -> str:
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(ROUNDS):  # in turn, so that a busy moment does not slow down a single candidate
        for name, candidate in candidates.items():
            before = time.perf_counter()
            candidate()
            best[name] = min(best[name], time.perf_counter() - before)
    first = next(iter(candidates))
    winner = min(best, key=best.__getitem__)
    return winner if best[first] >= gain * best[winner] else first


@cache
def _processor() -> str:
    """Name and features of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
