"""Checks of how a plugin behaves as one part of a run: chance, speed, output, and other plugins."""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from gankit.errors import ResourceError, Stopped
from gankit.host import discovery, importing
from gankit.testing.subject import REFUSALS, CheckFailed, Subject, copy_of, require, same_state

READING = {"item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__float__", "__int__", "__index__"}
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"}


def quiet(subject: Subject) -> None:
    """Nothing is printed while a plugin is imported, built and played: stdout is data."""
    said = " ".join(subject.said.split())
    require(not said, f"it printed '{said[:60]}'", "use self.log for numbers, and the logging module for words")


def deterministic(subject: Subject) -> None:
    """The same seed gives the same statistics and the same state, bit for bit."""
    results = []
    for _ in range(2):
        loop = subject.loop()
        stats = subject.play(loop, subject.enough(loop))
        results.append((stats, copy_of(loop.state_dict())))
    (first, state), (second, other) = results
    for step, (one, two) in enumerate(zip(first, second, strict=True)):
        different = same_state({**one}, {**two})
        require(
            different is None,
            f"'{different}' of step {step} differs between two runs of one seed",
            "draw from torch's global generator, which is seeded before every step; keep nothing outside the state",
        )
    different = same_state(state, other)
    require(different is None, f"'{different}' differs between two runs of one seed", "keep nothing outside the state")


def untouched_seeds(subject: Subject) -> None:
    """Building and playing never seed the random numbers of torch, NumPy or Python."""
    with _own_random_state():
        drawn = []
        for seed in (1, 2):
            _seed_all(seed)
            loop = subject.loop(seed=seed)
            built = _draw_all()
            _seed_all(seed)
            loop.step(subject.batch(loop, 0))
            for name in loop.phases:
                loop.play(name, subject.batch(loop, 1))
            drawn.append({**{f"{k} while it is built": v for k, v in built.items()}, **_draw_all()})
    same = [name for name, value in drawn[0].items() if value == drawn[1][name]]
    require(
        not same,
        f"it seeds {' and '.join(same)}",
        "the run seeds torch; for a stream of your own take a torch.Generator",
    )


def no_waiting(subject: Subject) -> None:
    """A step never waits for the device: no .item(), .cpu(), float(tensor) or `if tensor`."""
    loop = subject.loop()
    subject.play(loop, range(1))
    sources = [plugin.source for plugin in subject.plan().composition.plugins if plugin.source]
    watch = _Watch(sources)
    with watch, _WatchDispatch(watch):
        subject.play(loop, range(1, 3))
        for name in loop.phases:
            loop.play(name, subject.batch(loop, 3))
    require(
        not watch.seen,
        f"a step waits for the device: {', '.join(sorted(watch.seen))}",
        "keep numbers on the device as 0-d tensors (torch.where for choices); self.log what people shall see",
    )


def coexists(subject: Subject) -> None:
    """Each extension of this toolkit goes together with the plugin, or is refused in words."""
    for extension in discovery.discover(discovery.EXTENSIONS):
        if extension.dist != "gankit" or extension.name in subject.extensions:
            continue
        try:
            loop = subject.loop(extensions=(*subject.extensions, extension.name))
            stats = subject.play(loop, range(2))
        except (*REFUSALS, ResourceError):  # an extension may need a package that is not here
            continue
        except Stopped:
            raise
        except Exception as error:
            raise CheckFailed(
                f"with --with {extension.name}: {importing.one_line(error)}",
                "read what you are given, or raise gankit.plugin.InputError with a reason",
            ) from error
        bad = sorted({name for step in stats for name, value in step.items() if not bool(value.isfinite().all())})
        require(not bad, f"with --with {extension.name}: {', '.join(bad)} not finite", "look at its networks")


class _Watch(TorchFunctionMode):
    """Notes calls from Python that read a tensor, and where in the plugin they stand."""

    def __init__(self, sources: list[Path]) -> None:
        super().__init__()
        self.sources = {str(source) for source in sources}
        self.seen: set[str] = set()
        self.excused = False

    def note(self, what: str) -> None:
        """Remember a place; a call and the kernel it ends in are one."""
        places = [f for f in traceback.extract_stack() if f.filename in self.sources]
        place = f"{Path(places[-1].filename).name}, line {places[-1].lineno}" if places else what
        self.seen.add(place)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in READING:
            self.note(name)
        self.excused = name == "one_hot" and (len(args) > 1 or bool(kwargs))  # it checks its labels on a CPU only
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.excused = False


class _WatchDispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes kernels whose result the CPU has to wait for."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.watch = watch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masks = name == "index" and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
        if (name in WAITING or masks) and not self.watch.excused:
            self.watch.note(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def _own_random_state() -> Iterator[None]:
    """Within the block NumPy and Python draw for the check; their state comes back. The kit keeps torch's."""
    python, array = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(array)


def _seed_all(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _draw_all() -> dict[str, float]:
    drawn: Tensor = torch.rand(())
    return {"torch": float(drawn), "NumPy": np.random.rand(), "Python's random": random.random()}
