"""What does not fit: no memory left, data larger than the memory, millions of images, two processes on one GPU."""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap

import gankit
from gankit.data.prefetch import Prefetch
from gankit.errors import ResourceError
from gankit.game.loop import TrainingLoop
from on_gpu.exactness import start
from on_gpu.play import gap, playing
from on_gpu.record import Figure
from on_gpu.scale import Scale, synchronise

GIB = 2**30


def memory(scale: Scale) -> Iterator[Figure]:
    """Out of memory: one line with a suggestion, which is followed until it works."""
    batch, tries, message = 1 << scale.of(17, 8), 0, ""
    with little_memory(scale):
        while tries < 12:
            try:
                out = scale.folder / f"batch-{batch}"
                gankit.train("dcgan", data="digits", device=str(scale.device), batch=batch, steps=2, out=out)
                break
            except ResourceError as error:
                message, hint = error.message, error.hint or ""
                found = re.search(r"--batch (\d+)", hint)
                if found is None or "\n" in message:
                    yield Figure("out of memory", message, target="one line, a suggestion", ok=False, note=hint)
                    return
                batch, tries = int(found[1]), tries + 1
    ok = 0 < tries < 12
    yield Figure("out of memory", tries, "suggestions until it trains", target="1 to 11", ok=ok, note=message)


@contextmanager
def little_memory(scale: Scale) -> Iterator[None]:
    """Within the block the process has 2 GiB of the device's memory. On a CPU, steps on more than 64 images fail."""
    if scale.device.type == "cuda":
        _, total = torch.cuda.mem_get_info(scale.device)
        torch.cuda.set_per_process_memory_fraction(min(1.0, 2 * GIB / total), scale.device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, scale.device)
        return
    step = TrainingLoop.step

    def limited(loop: TrainingLoop, data: Any) -> Any:
        if len(data.real) > 64:
            raise torch.OutOfMemoryError("a stand-in for a full GPU")
        return step(loop, data)

    TrainingLoop.step = limited  # type: ignore[method-assign]
    try:
        yield
    finally:
        TrainingLoop.step = step  # type: ignore[method-assign]


def data(scale: Scale) -> Iterator[Figure]:
    """Data that do not fit the device: the same steps, and what they cost; then 2 million images."""
    case = {"variant": "gan", "data": "digits", "precision": "fp32"}
    with playing(scale, resident=True, **case) as near, playing(scale, resident=False, **case) as far:
        yield _same_steps("data on the host", near, far, scale)
    many = scale.folder / "many.npy"
    count = scale.of(2_000_000, 2_000)
    samples = open_memmap(many, mode="w+", dtype=np.uint8, shape=(count, 28, 28, 1))
    few = np.random.default_rng(0).integers(0, 256, (1_000, 28, 28, 1), dtype=np.uint8)
    for first in range(0, count, len(few)):
        samples[first : first + len(few)] = few
    samples.flush()
    case["data"] = str(many)
    before = time.perf_counter()
    with little_free(scale, samples.nbytes), playing(scale, **case) as far:
        seconds = time.perf_counter() - before
        yield Figure(f"{count:,} images", seconds, "s until the first step")
        ahead = far.sampler._streams[0]._prefetch
        ok = isinstance(ahead, Prefetch) if scale.device.type == "cuda" else None
        far.steps(10)
        speed = _images_per_s(far, scale)
        yield Figure("images/s where they do not fit", speed, "images/s", target="read one batch ahead", ok=ok)


def _same_steps(name: str, near: Any, far: Any, scale: Scale) -> Figure:
    steps = scale.of(50, 5)
    near.steps(steps)
    far.steps(steps)
    apart = gap(near.state(), far.state())
    ratios = [_images_per_s(far, scale) / _images_per_s(near, scale) for _ in range(scale.of(5, 1))]
    note = f"{statistics.median(ratios):.2f} of the speed with data on the device"
    # Without deterministic kernels two runs may differ in the last bits.
    return Figure(name, apart, "relative difference", target="< 1e-3", ok=apart < 1e-3, note=note)


def _images_per_s(play: Any, scale: Scale) -> float:
    steps = scale.of(200, 3)
    synchronise(scale.device)
    before = time.perf_counter()
    play.steps(steps)
    synchronise(scale.device)
    return float(steps * play.loop.config.batch / (time.perf_counter() - before))


@contextmanager
def little_free(scale: Scale, data_bytes: int) -> Iterator[None]:
    """Within the block the device has less free memory than twice the data, but room for the networks."""
    filler = None
    if scale.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(scale.device)
        filler = torch.empty(max(0, free - max(GIB, data_bytes)), dtype=torch.uint8, device=scale.device)
    try:
        yield
    finally:
        del filler


def processes(scale: Scale) -> Iterator[Figure]:
    """Two processes: of two GPUs where there are two, else of one, which NCCL may refuse."""
    gpus = torch.cuda.device_count() if scale.device.type == "cuda" else 0
    device = "cuda" if gpus > 1 else "cuda:0" if gpus else "cpu"
    words = [
        "--nproc-per-node",
        "2",
        "--standalone",
        "-m",
        "gankit",
        "train",
        "--variant",
        "wgan-gp",
        "--data",
        "digits",
    ]
    words += ["--device", device, "--images", str(scale.of(20_000, 64)), "-o", str(scale.folder / "two")]
    process = start(words, ("-m", "torch.distributed.run"), stderr=subprocess.PIPE)
    try:
        _, said = process.communicate(timeout=max(10.0, scale.left - 5))
    except subprocess.TimeoutExpired:
        process.kill()
        said = "no end in time"
    finally:
        process.wait()
    name = f"two processes on {device}"
    if process.returncode == 0:
        yield Figure(name, "ends", target="networks equal at each checkpoint", ok=True)
        return
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reasons = [line for line in lines if "Error" in line or "uplicate GPU" in line]
    refused = gpus == 1 and any("uplicate GPU" in line or "nvalid usage" in line for line in lines)
    note = (reasons or lines or [""])[-1][:200]
    value = "refused by NCCL" if refused else f"exit code {process.returncode}"
    yield Figure(name, value, target="two GPUs" if refused else "exit code 0", ok=None if refused else False, note=note)
