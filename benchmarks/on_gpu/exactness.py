"""Is a resume exact on this device, do graphs equal eager steps, is the fast double backward fast?"""

from __future__ import annotations

import logging
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import gankit
from gankit.errors import GankitError
from gankit.look.resume_check import verify_resume
from gankit.machine.double_backward import FastDoubleBackward
from gankit.store import checkpoint
from gankit.store.run_folder import RunFolder
from on_gpu.play import Play, gap, playing
from on_gpu.record import Figure
from on_gpu.scale import Scale, synchronise, why


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Within the block kernels are deterministic, or raise RuntimeError. CUBLAS_WORKSPACE_CONFIG is for the caller."""
    torch.use_deterministic_algorithms(device.type == "cuda")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def resume(scale: Scale) -> Iterator[Figure]:
    """Twelve steps without and with a stop, compared bit for bit; then without deterministic kernels."""
    for variant in scale.of(scale.variants, scale.variants[:1]):
        try:
            with deterministic(scale.device):
                run = gankit.train(
                    variant, data="digits", device=str(scale.device), steps=1, out=scale.folder / variant
                )
                found = verify_resume(run.folder)
        except GankitError as error:
            yield Figure(variant, "not here", note=error.message)
            continue
        except RuntimeError as error:  # no deterministic kernel, says PyTorch
            yield Figure(f"{variant}, deterministic", "broken", target="exact", ok=False, note=why(error))
            continue
        different, of = len(found.differences), f"of {found.compared} tensors and numbers differ"
        yield Figure(f"{variant}, deterministic", different, of, target="0", ok=not different, note=_worst(found))
        if scale.full:
            loose = verify_resume(run.folder)
            yield Figure(f"{variant}, as it comes", len(loose.differences), of, note=_worst(loose))


def _worst(found: Any) -> str:
    sizes = [difference.largest or 0.0 for difference in found.differences]
    return f"by up to {max(sizes):.2g}" if sizes else ""


# -- CUDA graphs -------------------------------------------------------------------------------------------------------


def graphs(scale: Scale) -> Iterator[Figure]:
    """Graphs against eager steps for every variant; after a restore; and for work that cannot be recorded."""
    for variant in scale.variants:
        case = {"variant": variant, "data": "digits", "precision": scale.of("bf16", "fp32"), "graphs": "auto"}
        try:
            with (
                deterministic(scale.device),
                playing(scale, **case) as eager,
                playing(scale, **case) as own,
            ):
                reason = own.record()
                if reason is not None:
                    yield Figure(variant, "eager", note=f"no graphs: {reason}")
                    continue
                with said() as words:
                    yield from _equal(variant, eager, own, words, scale.of(40, 8))
        except GankitError as error:
            yield Figure(variant, "not here", note=error.message)
        except RuntimeError as error:
            yield Figure(variant, "broken", target="equal to eager steps", ok=False, note=why(error))
    yield _fall_back(scale)


def _equal(variant: str, eager: Play, own: Play, words: list[str], steps: int) -> Iterator[Figure]:
    """The same steps, a restore and the same steps again."""
    eager.steps(steps)
    own.steps(steps)
    half = own.state()
    first = gap(eager.state(), half)
    eager.steps(steps)
    own.steps(3)
    own.loop.load_state_dict(half)
    own.number = steps
    own.steps(steps)
    second = gap(eager.state(), own.state())
    ok = first == second == 0 and not words
    note = "; ".join(words) or (f"{second:.2g} after a restore" if second != first else "the same after a restore")
    yield Figure(f"{variant}, graphs", first, "relative difference to eager steps", target="0", ok=ok, note=note)
    times = {name: [] for name in ("eager", "graphs")}
    for pair in (("eager", "graphs"), ("graphs", "eager")) * 2:
        for name in pair:
            play = own if name == "graphs" else eager
            synchronise(play.loop.device)
            before = time.perf_counter()
            play.steps(steps)
            synchronise(play.loop.device)
            times[name].append(time.perf_counter() - before)
    ratios = [a / b for a, b in zip(times["eager"], times["graphs"], strict=True)]
    fast = statistics.median(ratios)
    cuda = own.loop.device.type == "cuda"
    yield Figure(
        f"{variant}, speed of graphs", fast, "times eager", (min(ratios), max(ratios)), "> 1",
        fast > 1 if cuda else None,
    )  # fmt: skip


def _fall_back(scale: Scale) -> Figure:
    """A phase that reads a number on the host cannot be recorded: one line, and the steps go on."""
    name, target = "work on the host", "one line, then eager steps with the same result"
    case = {"variant": "gan", "data": "digits", "precision": "fp32", "graphs": "auto"}
    with deterministic(scale.device), playing(scale, **case) as eager, playing(scale, **case) as own:
        own.record(refuses=True)
        for play in (eager, own):
            moved = play.loop.networks.discriminator.register_forward_hook(
                lambda *found: found[2].sum().item() and None
            )
            assert moved is not None
        with said() as words:
            eager.steps(6)
            own.steps(6)
        apart = gap(eager.state(), own.state())
    return Figure(name, len(words), "lines", target=target, ok=len(words) == 1 and apart == 0, note="; ".join(words))


@contextmanager
def said() -> Iterator[list[str]]:
    """Within the block the warnings of gankit are collected."""
    words: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: words.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("gankit")
    logger.addHandler(handler)
    try:
        yield words
    finally:
        logger.removeHandler(handler)


# -- double backward ---------------------------------------------------------------------------------------------------

LAYERS = (  # inputs, outputs, kernel, stride, groups, side, batch
    (1, 64, 4, 2, 1, 28, 64),
    (3, 64, 4, 2, 1, 64, 64),
    (64, 128, 4, 2, 1, 32, 64),
    (128, 256, 4, 2, 1, 16, 64),
    (256, 512, 4, 2, 1, 8, 256),
    (64, 64, 3, 1, 1, 64, 64),
    (256, 256, 3, 1, 1, 16, 256),
    (512, 512, 3, 1, 1, 8, 256),
    (768, 768, 3, 1, 48, 16, 256),
    (1536, 1536, 3, 1, 96, 8, 256),
    (768, 1536, 1, 1, 1, 8, 256),
)


def double_backward(scale: Scale) -> Iterator[Figure]:
    """A gradient penalty through one convolution: ours against PyTorch's own, in float32 as penalties are."""
    ratios = []
    for layer in scale.of(LAYERS, LAYERS[:1]):
        inputs, outputs, kernel, stride, groups, side, batch = layer
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, device=scale.device)
        conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        shape = (scale.of(batch, 4), inputs, side, side)
        x = torch.randn(shape, device=scale.device).to(memory_format=torch.channels_last).requires_grad_()
        times: dict[bool, list[float]] = {False: [], True: []}
        found = {}
        for fast in (False, True) * 2:  # warm
            found[fast] = _penalty(conv, x, fast)
        for fast in (False, True, True, False) * scale.of(5, 1):
            synchronise(scale.device)
            before = time.perf_counter()
            for _ in range(scale.of(10, 1)):
                _penalty(conv, x, fast)
            synchronise(scale.device)
            times[fast].append(time.perf_counter() - before)
        apart = float((found[True] - found[False]).norm() / found[False].norm())
        paired = [a / b for a, b in zip(times[False], times[True], strict=True)]
        ratios.append(statistics.median(paired))
        name = (
            f"{inputs} to {outputs}, {kernel}x{kernel}, stride {stride}, {groups} groups, {side}x{side}, batch {batch}"
        )
        note = f"results {apart:.1g} apart"
        yield Figure(name, ratios[-1], "times as fast", (min(paired), max(paired)), "equal to 1e-3", apart < 1e-3, note)
    note = "delete ours if this is below 1" if scale.full else ""
    yield Figure("geometric mean", statistics.geometric_mean(ratios), "times as fast", note=note)


def _penalty(conv: nn.Conv2d, x: Tensor, fast: bool) -> Tensor:
    """The gradient for the weights of the squared norm of the gradient of a function of a convolution."""
    if fast:
        with FastDoubleBackward():
            y = conv(x)
    else:
        y = conv(x)
    (gradient,) = torch.autograd.grad(y.square().sum() / 2, x, create_graph=True)
    return torch.autograd.grad(gradient.square().sum(), conv.weight)[0]


# -- kill -9 -----------------------------------------------------------------------------------------------------------


def kill(scale: Scale) -> Iterator[Figure]:
    """kill -9 at random moments of a training; the same command ends it."""
    out, chance = scale.folder / "killed", random.Random(0)
    images = scale.of(200_000, 640)
    words = ["train", "--variant", "gan", "--data", "digits", "--device", str(scale.device), "--images", str(images)]
    words += ["--checkpoint-every", str(images // 20), "--sample-every", str(images), "-o", str(out)]
    kills = 0
    while kills < scale.of(4, 1):
        process = start(words)
        saved = newest(out)
        while process.poll() is None and newest(out) <= saved:
            time.sleep(0.02)
        time.sleep(chance.random() * scale.of(0.3, 0.05))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    code = start(words).wait()
    status = RunFolder(out).status()
    ok = code == 0 and status["state"] == "finished" and kills > 0
    yield Figure(
        "kill -9 and the same command", kills, "kills", target="the run ends", ok=ok, note=str(status["state"])
    )


def start(words: list[str], module: tuple[str, ...] = ("-m", "gankit"), **more: Any) -> subprocess.Popen[str]:
    """gankit in a process of its own."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, *module, *words], text=True, **(quiet | more))


def newest(run: Path) -> int:
    """The step of the newest checkpoint of a run; 0 before the first one."""
    return max((step for step, _ in checkpoint.steps(run / "checkpoints")), default=0)
