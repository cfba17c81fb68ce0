"""The phases of a step as CUDA graphs: kernels are recorded once and launched as a whole, without Python between.

For small networks the launches of an eager step cost more than its arithmetic. Each phase is recorded after a few eager
rounds, once for each kind of it (with and without a lazy penalty, each shape of a batch), and then replayed on copies
of its inputs. Counters, schedules and averages stay outside, in `TrainingLoop.step`. Random numbers are those of the
eager step: the run seeds the generators before every step, and a replay reads their seed.

What a phase does on the host is done at its recording only: a plugin says with `capturable` that nothing in it depends
on the host. THIS HAS NEVER RUN ON A GPU; on a CPU the bookkeeping is tested with a stand-in for the recorder.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from gankit.contracts import Batch
from gankit.game.loop import TrainingLoop

log = logging.getLogger("gankit")

WARM_UP = 3  # eager rounds of each kind: libraries choose their kernels, optimisers allocate their state


class Replay(Protocol):
    """A recorded piece of work."""

    def replay(self) -> None:
        """Do it again, on the tensors that it was recorded with."""
        ...


class Recorder(Protocol):
    """How work is recorded on a device."""

    def warm(self, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Do the work as it will be recorded, without recording it."""
        ...

    def record(self, work: Callable[[], dict[str, Tensor]]) -> tuple[Replay, dict[str, Tensor]]:
        """Record the work, without doing it, and give what it will write to. RuntimeError when it cannot be."""
        ...

    def forget(self) -> None:
        """All that was recorded is gone."""
        ...


class CudaRecorder:
    """CUDA graphs in one pool of memory: they never run at the same time, and none reads what another left there."""

    def __init__(self, device: torch.device) -> None:
        self.pool = torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        """Take a new pool: one whose graphs are gone is given up by the allocator, while gradients still lie in it."""
        self.pool = torch.cuda.graph_pool_handle()

    def warm(self, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """On a side stream, as the documentation of CUDA graphs asks for."""
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            found = work()
        current.wait_stream(self.stream)
        return found

    def record(self, work: Callable[[], dict[str, Tensor]]) -> tuple[Replay, dict[str, Tensor]]:
        """One graph. The thread that gathers the next batch may allocate and wait while it is recorded."""
        graph = torch.cuda.CUDAGraph()
        generator = torch.cuda.default_generators[self.stream.device.index]
        before = generator.get_state()
        try:
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
                found = work()
        except RuntimeError:
            # PyTorch leaves the generator in the middle of the recording, and it refuses to draw: it needs a new state.
            fresh = torch.Generator(generator.device)
            fresh.set_state(before)
            generator.graphsafe_set_state(fresh.graphsafe_get_state())
            raise
        return graph, found


class GraphedPhases:
    """Plays the phases of a loop; each is recorded when it has been played a few times, and replayed from then on."""

    def __init__(self, loop: TrainingLoop, recorder: Recorder) -> None:
        self.loop, self.recorder = loop, recorder
        self.rounds: dict[Hashable, int] = {}
        self.graphs: dict[Hashable, tuple[Replay, Batch, dict[str, Tensor]]] = {}
        self.eager = False

    def __call__(self, name: str, data: Batch) -> dict[str, Tensor]:
        """Play a phase on a batch of real samples; what it returns is good until the next call."""
        if self.eager:
            return self.loop.play(name, data)
        given = _tensors(data)
        shapes = ((place, tensor.shape, tensor.dtype) for place, tensor in given.items())
        key = (name, self.loop.penalty_gain(name), *shapes)
        if key not in self.graphs:
            self.rounds[key] = self.rounds.get(key, 0) + 1
            if self.rounds[key] <= WARM_UP:
                return self.recorder.warm(lambda: self.loop.play(name, data))
            static = replace(data, fresh=None, **{place: tensor.clone() for place, tensor in given.items()})
            try:
                graph, outputs = self.recorder.record(lambda: self.loop.play(name, static))
            except RuntimeError as error:
                self.eager = True
                self.graphs.clear()
                log.warning("no CUDA graphs, the steps go on without them: %s", str(error).partition("\n")[0])
                return self.loop.play(name, data)
            self.graphs[key] = (graph, static, outputs)
        graph, static, outputs = self.graphs[key]
        for place, own in _tensors(static).items():
            own.copy_(given[place])
        graph.replay()
        return dict(outputs)

    def forget(self) -> None:
        """Drop what was recorded: the tensors of the optimisers are others now."""
        if self.graphs:
            self.graphs.clear()
            self.recorder.forget()
        self.rounds.clear()


def _tensors(data: Batch) -> dict[str, Tensor]:
    """The tensors of a batch by the names of their fields, those that a later version adds included."""
    return {name: value for name, value in vars(data).items() if isinstance(value, Tensor)}


def record(loop: TrainingLoop, host_bound: list[str], processes: int) -> str | None:
    """Let a loop play its phases from graphs, where it can; the reason why not, for people, else None."""
    reason = why_not(loop, host_bound, processes)
    if reason is None:
        # The rounds before the recording are eager on purpose.
        warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
        loop.replayed = GraphedPhases(loop, CudaRecorder(loop.device))
    return reason


def why_not(loop: TrainingLoop, host_bound: list[str], processes: int) -> str | None:
    """The reason why a run cannot have graphs, for people; None when it can. `host_bound` names plugins that cannot."""
    if loop.device.type != "cuda":
        return f"the device is {loop.device.type}"
    if host_bound:
        return f"{', '.join(host_bound)} may work on the host in a step"
    if loop.config.reuse_fakes:
        return "--reuse-fakes ties the two phases together"
    if any(player.scaler.is_enabled() for player in loop.players.values()):
        return "fp16 decides on skipped steps between them"
    if any(not beta.is_constant for player in loop.players.values() for beta in player.betas):
        return "Adam's decay rates follow a schedule"
    if processes > 1:
        return "several processes wait for each other in a step"
    return None
