"""How fast a configuration trains here, where the time of a step goes, and how much of the machine it uses.

Nothing is written, and nothing is compared: benchmarks/speed.py does that.
"""

from __future__ import annotations

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
from torch.autograd.profiler import profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gankit.base import progress
from gankit.base.seeds import derive_seed
from gankit.contracts import Batch
from gankit.data import Sampler
from gankit.game.critic import Critic
from gankit.game.loop import TrainingLoop
from gankit.game.parts import Part, Step
from gankit.machine import streams
from gankit.machine.device import choose_device
from gankit.run.build import build_loop, data_spec, latent_space, make_sampler, own_streams
from gankit.run.plan import load_data, plan_run
from gankit.settings.layers import Layer

BLOCKS = 5  # of steps, each timed as a whole
MATMUL_SIDES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192), "mps": (1024, 2048)}


@dataclass(frozen=True)
class Benchmark:
    """What was measured. A step shows one batch to D; what G does at every d_steps-th one is shared out among them."""

    variant: str
    device: str
    precision: str
    threads: int
    torch: str
    batch: int
    steps: int  # that were timed
    images_per_s: float  # median of the blocks
    images_per_s_range: tuple[float, float]
    step_ms: float
    phases_ms: dict[str, float]  # of a step, measured apart: with waiting for the device after each of them
    outside: float  # share of a step in which no operator computes: Python, dispatch, waiting
    flop_per_image: float  # multiplications and additions of convolutions and matrices
    flop_per_s: float
    matmul_flop_per_s: float  # the most that a square matrix product reaches here, in the same precision
    peak_bytes: int  # CUDA: allocated on the device; CPU: of the whole process

    @property
    def of_matmul(self) -> float:
        """Share of the machine's measured matrix rate that training reaches."""
        return self.flop_per_s / self.matmul_flop_per_s


def bench(layers: list[Layer], steps: int = 20) -> Benchmark:
    """Train `steps` steps in each of some blocks, then a few more under the stopwatch, the profiler and the counter."""
    plan = plan_run(layers)
    device = choose_device(plan.config.device)
    dataset = load_data(plan)
    with own_streams(device), ExitStack() as stack:
        loop = build_loop(plan, data_spec(dataset, latent_space(plan, dataset)), device)
        sampler = stack.enter_context(closing(make_sampler(plan, dataset, device)))
        game = _Game(loop, sampler, plan.config.seed)
        # Whole cycles of generator steps and lazy penalties, so that every block does the same work.
        cycle = math.lcm(loop.d_steps(), loop.config.penalty_every)
        steps = -(-steps // cycle) * cycle
        game.play(max(cycle, 3))  # pays for lazy initialisation
        seconds = []
        for block in range(BLOCKS):
            seconds.append(game.play(steps) / steps)
            progress.tell("training", block + 1, BLOCKS)
        step_s = statistics.median(seconds)
        batch = plan.config.batch
        few = -(-5 // cycle) * cycle
        with Operators() as operators:
            game.play(few)
        busy_s = _kernels_s(game, few) if device.type == "cuda" else operators.seconds
        flop = operators.flop / few
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
            phases_ms={name: 1e3 * s / few for name, s in _phases(game, few).items()},
            outside=max(0.0, 1 - busy_s / few / step_s),
            flop_per_image=flop / batch,
            flop_per_s=flop / step_s,
            matmul_flop_per_s=matmul_rate(loop.precision.name, device),
            peak_bytes=_peak_bytes(device),
        )


class _Game:
    """A training loop and its batches, outside of a run."""

    def __init__(self, loop: TrainingLoop, sampler: Sampler, seed: int) -> None:
        self.loop, self.sampler, self.seed = loop, sampler, seed
        self.step = 0

    def play(self, steps: int) -> float:
        """Some steps as a run makes them; their seconds, on the device too."""
        _wait(self.loop.device)
        before = time.perf_counter()
        for _ in range(steps):
            self.loop.step(self.fetch())
        _wait(self.loop.device)
        return time.perf_counter() - before

    def fetch(self) -> Batch:
        """The next batch; the random numbers of its step are seeded."""
        streams.seed_all(derive_seed(self.seed, "step", self.step))
        self.step += 1
        return self.sampler.batch(self.step - 1)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Stopwatch(Part):
    """Seconds by what is done, read at every place of a step where a part may take part."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.seconds: dict[str, float] = {}
        self.since = 0.0

    def start(self) -> None:
        """Begin to count."""
        _wait(self.device)
        self.since = time.perf_counter()

    def lap(self, what: str) -> None:
        """The time since the last call was spent on `what`."""
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
    """Seconds of each kind of work over some steps. It ends the game: its parts have a stopwatch among them."""
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

    PyTorch's own counter fails on gradients of leaves, and its profiler writes lines of its own to the terminal.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flop = 0
        self.seconds = 0.0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, and count it."""
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
    """Seconds in which kernels ran on a CUDA device, over some steps. Has not been run on a GPU yet."""
    with profile(use_device="cuda") as found:
        game.play(steps)
    return float(sum(row.self_device_time_total for row in found.key_averages())) / 1e6


def _backward_flop(grad: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> int:
    """Each gradient of a convolution costs what its forward pass does; PyTorch's own count is too high for groups."""
    transposed, mask = rest[4], rest[7]
    spatial = x.shape[2:] if transposed else grad.shape[2:]
    gradients: int = mask[0] + mask[1]
    return 2 * gradients * len(x) * weight.numel() * math.prod(spatial)


def matmul_rate(precision: str, device: torch.device) -> float:
    """FLOP/s of the best of some square matrix products in this precision (tf32 as the switches of the run have it)."""
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
