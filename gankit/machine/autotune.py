"""Which of several ways is fastest on this CPU: measured once and remembered, never guessed."""

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

ROUNDS = 4  # the first one pays for lazy initialisation


def fastest(what: str, ways: Mapping[str, Callable[[], object]], gain: float) -> str:
    """The name of the quickest way, but of the first one if no other is at least `gain` times as fast.

    The verdict is kept in the cache under `what` (a description of the work), this machine and PyTorch: two runs of the
    same settings must not differ because something else was running during one of the measurements. A file lock is held
    meanwhile: the ways may not wait for another process.
    """
    key = f"{_processor()}\0{torch.__version__}\0{torch.get_num_threads()}\0{sorted(ways)}\0{what}"
    name = f"autotune/{sha256(key.encode()).hexdigest()[:24]}"

    def read(path: Path) -> str:
        verdict = path.read_text(errors="replace")
        if verdict not in ways:
            raise InputError(f"{path} holds no verdict")
        return verdict

    try:
        return cached_file(name, make=lambda: _measure(ways, gain).encode(), read=read)
    except ResourceError:  # no place for a cache
        return _measure(ways, gain)


def _measure(ways: Mapping[str, Callable[[], object]], gain: float) -> str:
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):  # in turn, so that a busy moment does not hit only one of them
        for name, way in ways.items():
            before = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - before)
    first = next(iter(ways))
    winner = min(best, key=best.__getitem__)
    return winner if best[first] >= gain * best[winner] else first


@cache
def _processor() -> str:
    """Name and abilities of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
