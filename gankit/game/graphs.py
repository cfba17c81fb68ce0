"""The two phases of a step as CUDA graphs: kernels are recorded once and launched as a whole, without Python between.

For small networks the launches of an eager step cost more than its arithmetic. Each phase is recorded after a few eager
rounds, once for each kind of it (with and without a lazy penalty, each shape of a batch), and then replayed on copies
of its inputs. Counters, averages and learning-rate rules stay outside, in `TrainingLoop.step`. Random numbers
are those of the eager step: the run seeds the generators before every step, and a replay reads their seed.

What a phase does on the host is done at its recording only: a plugin says with `capturable` that nothing in it depends
on the host. THIS HAS NEVER RUN ON A GPU; on a CPU the bookkeeping is tested with a stand-in for the recorder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from gankit.game.loop import TrainingLoop

log = logging.getLogger("gankit")

Inputs = tuple[Tensor | None, ...]
Phase = Callable[..., dict[str, Tensor]]
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


class CudaRecorder:
    """CUDA graphs in one pool of memory: they never run at the same time, and none reads what another left there."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def warm(self, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """On a side stream, as the documentation of CUDA graphs asks for."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            found = work()
        current.wait_stream(self.stream)
        return found

    def record(self, work: Callable[[], dict[str, Tensor]]) -> tuple[Replay, dict[str, Tensor]]:
        """One graph."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            found = work()
        return graph, found


class GraphedPhase:
    """A phase of the loop that is recorded when it has been played a few times, and replayed from then on."""

    def __init__(self, phase: Phase, kind: Callable[[], Hashable], recorder: Recorder) -> None:
        self.phase, self.kind, self.recorder = phase, kind, recorder
        self.rounds: dict[Hashable, int] = {}
        self.graphs: dict[Hashable, tuple[Replay, Inputs, dict[str, Tensor]]] = {}
        self.eager = False

    def __call__(self, *inputs: Tensor | None) -> dict[str, Tensor]:
        """Play the phase; what it returns is good until the next call."""
        if self.eager:
            return self.phase(*inputs)
        key = (self.kind(), *(None if tensor is None else (tensor.shape, tensor.dtype) for tensor in inputs))
        if key not in self.graphs:
            self.rounds[key] = self.rounds.get(key, 0) + 1
            if self.rounds[key] <= WARM_UP:
                return self.recorder.warm(lambda: self.phase(*inputs))
            static = tuple(None if tensor is None else tensor.clone() for tensor in inputs)
            try:
                self.graphs[key] = self._record(static)
            except RuntimeError as error:
                self.eager = True
                log.warning("no CUDA graphs, the steps go on without them: %s", str(error).partition("\n")[0])
                return self.phase(*inputs)
        graph, static, outputs = self.graphs[key]
        for own, given in zip(static, inputs, strict=True):
            if own is not None and given is not None:
                own.copy_(given)
        graph.replay()
        return dict(outputs)

    def _record(self, static: Inputs) -> tuple[Replay, Inputs, dict[str, Tensor]]:
        graph, outputs = self.recorder.record(lambda: self.phase(*static))
        return graph, static, outputs

    def forget(self) -> None:
        """Drop what was recorded: the tensors of the optimisers are others now."""
        self.graphs.clear()
        self.rounds.clear()


def graph_phases(loop: TrainingLoop, recorder: Recorder) -> None:
    """Let a loop play its two phases from graphs; a restored state makes it record them anew."""
    d_phase = GraphedPhase(loop.d_step, lambda: loop.loss.penalty_gain, recorder)
    phases = [d_phase, GraphedPhase(loop.g_step, lambda: None, recorder)]
    loop.d_step, loop.g_step = phases  # type: ignore[method-assign, assignment]
    load = loop.load_state_dict

    def load_state_dict(state: Mapping[str, Tensor | int | float | str | bool]) -> None:
        load(state)
        for phase in phases:
            phase.forget()

    loop.load_state_dict = load_state_dict  # type: ignore[method-assign]


def why_not(loop: TrainingLoop, host_bound: list[str], processes: int) -> str | None:
    """The reason why a run cannot have graphs, for people; None when it can. `host_bound` names plugins that cannot."""
    if loop.device.type != "cuda":
        return f"the device is {loop.device.type}"
    if host_bound:
        return f"{', '.join(host_bound)} may work on the host in a step"
    if loop.config.reuse_fakes:
        return "--reuse-fakes ties the two phases together"
    if loop.scalers["discriminator"].is_enabled():
        return "fp16 decides on skipped steps between them"
    if processes > 1:
        return "several processes wait for each other in a step"
    return None
