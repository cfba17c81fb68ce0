"""Benchmark of a configuration: its speed here, the time of each phase of a step, and the share of the machine it uses.

Nothing is written. Comparisons with other toolkits are in benchmarks/speed.py.
"""

from __future__ import annotations

import logging
import math
import resource
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gankit.base import progress
from gankit.base.seeds import derive_seed
from gankit.contracts import Batch
from gankit.data import Sampler
from gankit.game import graphs
from gankit.game.critic import Critic
from gankit.game.loop import TrainingLoop
from gankit.game.parts import Part, Step
from gankit.machine import streams
from gankit.machine.device import choose_device
from gankit.run.build import build_loop, data_spec, latent_space, make_sampler, own_streams
from gankit.run.plan import load_data, plan_run
from gankit.settings.layers import Layer

log = logging.getLogger("gankit")

BLOCKS = 5  # number of blocks of steps, each timed as a whole
MATMUL_SIDES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192), "mps": (1024, 2048)}


@dataclass(frozen=True)
class Benchmark:
    """The measurements. A step shows one batch to D; the cost of a generator step is spread over its d_steps steps."""

    variant: str
    device: str
    precision: str
    threads: int
    torch: str
    batch: int
    steps: int  # number of timed steps
    images_per_s: float  # median of the blocks
    images_per_s_range: tuple[float, float]
    step_ms: float
    phases_ms: dict[str, float]  # times of the phases of a step, measured separately, waiting for the device after each
    outside: float  # share of a step in which no operator computes: Python, dispatch, waiting
    flop_per_image: float  # multiplications and additions of convolutions and matrices
    flop_per_s: float
    matmul_flop_per_s: float  # highest rate of a square matrix product here, in the same precision
    peak_bytes: int  # memory allocated on a CUDA device, or of the whole process on a CPU

    @property
    def of_matmul(self) -> float:
        """Share of the measured matrix rate that training reaches."""
        return self.flop_per_s / self.matmul_flop_per_s


def bench(layers: list[Layer], steps: int = 20) -> Benchmark:
    """Train BLOCKS blocks of `steps` steps, then some more with the stopwatch, the profiler and the FLOP counter."""
    plan = plan_run(layers)
    device = choose_device(plan.config.device)
    dataset = load_data(plan)
    with own_streams(device), ExitStack() as stack:
        loop = build_loop(plan, data_spec(dataset, latent_space(plan, dataset)), device)
        if plan.config.graphs == "auto":
            reason = graphs.record(loop, plan.composition.host_bound, processes=1)
            if reason is not None:
                log.info("no CUDA graphs: %s", reason)
        sampler = stack.enter_context(closing(make_sampler(plan, dataset, device, fresh_reals=loop.takes_fresh_reals)))
        game = _Game(loop, sampler, plan.config.seed)
        # Whole cycles of generator steps and lazy penalties give every block the same work.
        cycle = math.lcm(loop.d_steps(), loop.config.penalty_every)
        steps = -(-steps // cycle) * cycle
        game.play(max(cycle, 3))  # pays for lazy initialisation
        seconds = []
        for block in range(BLOCKS):
            seconds.append(game.play(steps) / steps)
            progress.tell("training", block + 1, BLOCKS)
        step_s = statistics.median(seconds)
        batch = plan.config.batch
        profiled = -(-5 // cycle) * cycle
        kernels_s = _kernels_s(game, profiled) if device.type == "cuda" else None
        loop.replayed = None  # operators and phases are seen in eager steps only
        with Operators() as operators:
            game.play(profiled)
        busy_s = operators.seconds if kernels_s is None else kernels_s
        flop = operators.flop / profiled
        return Benchmark(
            variant=plan.composition.variant.name,
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            precision=loop.precision.name,
            threads=torch.get_num_threads(),
            torch=torch.__version__,
            batch=batch,
            steps=BLOCKS * steps,
            images_per_s=batch / step_s,
            images_per_s_range=(batch / max(seconds), batch / min(seconds)),
            step_ms=1e3 * step_s,
            phases_ms={name: 1e3 * s / profiled for name, s in _phases(game, profiled).items()},
            outside=max(0.0, 1 - busy_s / profiled / step_s),
            flop_per_image=flop / batch,
            flop_per_s=flop / step_s,
            matmul_flop_per_s=matmul_rate(loop.precision.name, device),
            peak_bytes=_peak_bytes(device),
        )


class _Game:
    """A training loop and its batches, without a run."""

    def __init__(self, loop: TrainingLoop, sampler: Sampler, seed: int) -> None:
        self.loop, self.sampler, self.seed = loop, sampler, seed
        self.step = 0

    def play(self, steps: int) -> float:
        """Play some steps as in a run; returns the seconds until the device has finished them."""
        _wait(self.loop.device)
        before = time.perf_counter()
        for _ in range(steps):
            self.loop.step(self.fetch())
        _wait(self.loop.device)
        return time.perf_counter() - before

    def fetch(self) -> Batch:
        """The next batch; also seeds the random numbers of its step."""
        streams.seed_all(derive_seed(self.seed, "step", self.step))
        self.step += 1
        return self.sampler.batch(self.step - 1)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Stopwatch(Part):
    """A part that measures the seconds between the places of a step at which parts are called."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.seconds: dict[str, float] = {}
        self.since = 0.0

    def start(self) -> None:
        """Start the measurement."""
        _wait(self.device)
        self.since = time.perf_counter()

    def lap(self, what: str) -> None:
        """Add the time since the last call to `what`."""
        _wait(self.device)
        now = time.perf_counter()
        self.seconds[what] = self.seconds.get(what, 0.0) + now - self.since
        self.since = now

    def critic(self, critic: Critic, step: Step) -> Critic:
        self.lap("forward of G")
        return critic

    def terms(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        self.lap("forward of D")
        return {}

    def before_update(self, step: Step) -> None:
        self.lap(f"backward of {'D' if step.phase.player == 'discriminator' else 'G'}")

    def after_update(self, step: Step) -> Mapping[str, Tensor]:
        self.lap("optimisers")
        return {}


def _phases(game: _Game, steps: int) -> dict[str, float]:
    """Seconds of each kind of work over some steps. The stopwatch stays in the loop and slows down later steps."""
    watch = Stopwatch(game.loop.device)
    game.loop.add_part("stopwatch", watch)
    watch.start()
    for _ in range(steps):
        data = game.fetch()
        watch.lap("batch of data")
        game.loop.step(data)
        watch.lap("average of G, and the rest")
    return dict(sorted(watch.seconds.items(), key=lambda item: -item[1]))


class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the FLOP of convolutions and matrix products, and the seconds in which operators work on a CPU.

    PyTorch's counter fails on gradients of leaves, and its profiler writes to the terminal.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flop = 0
        self.seconds = 0.0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count it."""
        before = time.perf_counter()
        out = function(*args, **(kwargs or {}))
        self.seconds += time.perf_counter() - before
        packet = function._overloadpacket
        if packet is torch.ops.aten.convolution_backward:
            self.flop += _backward_flop(*args)
        elif packet in flop_registry:
            self.flop += flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        return out


def _kernels_s(game: _Game, steps: int) -> float:
    """Seconds of kernels and copies on a CUDA device over some steps. It has not been run on a GPU yet."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        game.play(steps)
    on_device = (event for event in profiler.events() if event.device_type == DeviceType.CUDA)
    kernels = (event for event in on_device if not event.is_user_annotation)  # these span several kernels
    return float(sum(event.time_range.elapsed_us() for event in kernels)) / 1e6


def _backward_flop(grad: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> int:
    """FLOP of the gradients of a convolution, each as many as in its forward pass; PyTorch overcounts groups."""
    transposed, mask = rest[4], rest[7]
    spatial = x.shape[2:] if transposed else grad.shape[2:]
    gradients: int = mask[0] + mask[1]
    return 2 * gradients * len(x) * weight.numel() * math.prod(spatial)


def matmul_rate(precision: str, device: torch.device) -> float:
    """FLOP/s of the fastest of some square matrix products in this precision (tf32 as switched by the run)."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    best = 0.0
    for side in MATMUL_SIDES[device.type]:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        out = torch.mm(a, b)
        for _ in range(5):
            _wait(device)
            before = time.perf_counter()
            torch.mm(a, b, out=out)
            _wait(device)
            best = max(best, 2 * side**3 / (time.perf_counter() - before))
    return best


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # Linux counts in KiB
