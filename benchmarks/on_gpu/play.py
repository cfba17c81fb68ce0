"""A game as a run plays it, without a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gankit.base.seeds import derive_seed
from gankit.data import Sampler
from gankit.game.graphs import CudaRecorder, GraphedPhases, Recorder, why_not
from gankit.game.loop import TrainingLoop
from gankit.machine import streams
from gankit.run.build import build_loop, data_spec, latent_space, make_sampler, own_streams
from gankit.run.plan import Plan, load_data, plan_run
from gankit.settings.layers import Layer
from gankit.testing.recorder import HostRecorder
from on_gpu.scale import Scale


class Play:
    """A loop, its batches, and the number of the next step."""

    def __init__(self, plan: Plan, loop: TrainingLoop, sampler: Sampler) -> None:
        self.plan, self.loop, self.sampler = plan, loop, sampler
        self.number = 0

    def step(self) -> dict[str, Tensor]:
        """One step, seeded as in a run; its statistics."""
        streams.seed_all(derive_seed(self.loop.config.seed, "step", self.number))
        data = self.sampler.batch(self.number)
        self.number += 1
        return self.loop.step(data)

    def steps(self, count: int) -> None:
        """Some steps."""
        for _ in range(count):
            self.step()

    def record(self, *, refuses: bool = False) -> str | None:
        """Play from graphs from now on; the reason why not, else None. Without CUDA a stand-in keeps their rules."""
        cuda = self.loop.device.type == "cuda"
        reason = why_not(self.loop, self.plan.composition.host_bound, 1)
        if reason is not None and cuda:
            return reason
        recorder: Recorder = CudaRecorder(self.loop.device) if cuda else HostRecorder(self.loop, refuses=refuses)
        self.loop.replayed = GraphedPhases(self.loop, recorder)
        return None

    def state(self) -> dict[str, Any]:
        """The state of the loop, which later steps do not change."""
        return {k: v.clone() if isinstance(v, Tensor) else v for k, v in self.loop.state_dict().items()}


@contextmanager
def playing(scale: Scale, *, resident: bool | None = None, **settings: Any) -> Iterator[Play]:
    """A game by its settings, on small batches in miniature; GankitError where it cannot be.

    `resident` is as in `Sampler`.
    """
    device = scale.device
    plan = plan_run([Layer("gpu", {"device": str(device), **({} if scale.full else {"batch": 8}), **settings})])
    data = load_data(plan)
    with own_streams(device):
        loop = build_loop(plan, data_spec(data, latent_space(plan, data)), device)
        if resident is None:
            sampler = make_sampler(plan, data, device, fresh_reals=loop.takes_fresh_reals)
        else:
            sampler = Sampler(
                data,
                batch=plan.config.batch,
                seed=plan.config.seed,
                device=device,
                conditional=bool(plan.config.conditional),
                resident=resident,
                fresh_reals=loop.takes_fresh_reals,
            )
        try:
            yield Play(plan, loop, sampler)
        finally:
            sampler.close()


def gap(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of two states, relative to the largest number of its tensor; 0.0 for equal bits."""
    largest = 0.0
    for name, a in one.items():
        b = other[name]
        if isinstance(a, Tensor):
            if not torch.equal(a, b):
                difference = (a.double() - b.double()).abs().max() / a.double().abs().max().clamp_min(1e-12)
                largest = max(largest, float(difference))
        elif a != b:
            largest = max(largest, abs(float(a) - float(b)) / max(abs(float(a)), 1e-12))
    return largest
