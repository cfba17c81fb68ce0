"""gankit's training step beside the loops that people write, on the same networks, loss, batch and precision.

    python benchmarks/speed.py [--games dcgan-32,wgan-gp-32,…] [--precision fp32,bf16] [--device cpu] [--blocks 7]
    python benchmarks/speed.py --ladder          # what each piece of advice brings
    python benchmarks/speed.py --growth          # step time and memory against data, batch and critic steps

Contenders: `plain` is written as the official DCGAN tutorial and as the usual WGAN-GP scripts are (`.item()` in every
step, fakes not detached by the latter), `tuned` the same algorithm with what a careful author adds (channels_last,
fused Adam, no graph that is not needed, D frozen in G's step, no `.item()`), `gankit` the core's loop with the dcgan
variant's generator, which writes the projection of z as the matrix product that it is. The tutorial lets G learn from
the fakes that D has seen; gankit draws new ones, but with --reuse-fakes (`gankit, reuse`). Each contender has a process
of its own, and they take turns (A-B-C, C-B-A): one works while the others wait. Data lies on the device for all.
`gankit, graphs` plays its phases from CUDA graphs; it is left out on a CPU.
Reported: median ratio to `plain` over the blocks, with its range; absolute times belong to the machine that is printed.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import relativistic
import torch
from torch import Tensor, nn
from torch.nn import functional

from gankit.contracts import DataSpec
from gankit.data import Dataset, Sampler
from gankit.game.game import Networks
from gankit.game.graphs import CudaRecorder, GraphedPhases
from gankit.game.loop import TrainingLoop
from gankit.game.loss import AdversarialLoss
from gankit.look.bench import Operators, matmul_rate
from gankit.machine.precision import Precision
from gankit.modality import modality_of
from gankit.settings.config import TrainConfig
from gankit_variants import dcgan
from gankit_variants.gan import GanLoss
from gankit_variants.wgan_gp import WassersteinGpLoss

Step = Callable[[int], Any]
Maker = Callable[[str, str, torch.device], Step]
Z_DIM = 100
CRITIC_STEPS = 5
IMAGES = 20_000
BLOCK_S = 5.0


# -- the games: networks as their articles have them, the same for every contender ------------------------------------


def generator(shape: tuple[int, int, int], width: int) -> nn.Module:
    """The tutorial's generator: a transposed convolution of z as a 1x1 image, batch norm, ReLU."""
    channels, side, _ = shape
    levels = int(math.log2(side // (7 if side == 28 else 4)))
    widths = [width << level for level in range(levels)]
    layers: list[nn.Module] = [nn.ConvTranspose2d(Z_DIM, widths[-1], side >> levels, bias=False)]
    for level in reversed(range(levels)):
        layers += [nn.BatchNorm2d(widths[level]), nn.ReLU(True)]
        out = widths[level - 1] if level else channels
        layers += [nn.ConvTranspose2d(widths[level], out, 4, 2, 1, bias=False)]
    return nn.Sequential(nn.Unflatten(1, (Z_DIM, 1, 1)), *layers, nn.Tanh())


def discriminator(shape: tuple[int, int, int], width: int, norm: bool) -> nn.Module:
    """The tutorial's discriminator on logits; without batch norm it is the critic of the WGAN-GP scripts."""
    channels, side, _ = shape
    levels = int(math.log2(side // (7 if side == 28 else 4)))
    widths = [channels, *(width << level for level in range(levels))]
    layers: list[nn.Module] = []
    for level in range(levels):
        layers += [nn.Conv2d(widths[level], widths[level + 1], 4, 2, 1, bias=not norm)]
        layers += [nn.BatchNorm2d(widths[level + 1])] if norm and level else []
        layers += [nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, side >> levels, bias=False), nn.Flatten(0))


GAMES = {  # name -> (shape, batch, width)
    "dcgan-28": ((1, 28, 28), 64, 64),
    "dcgan-32": ((3, 32, 32), 64, 64),
    "dcgan-64": ((3, 64, 64), 64, 64),
    "dcgan-64-256": ((3, 64, 64), 256, 64),
    "wgan-gp-28": ((1, 28, 28), 64, 64),
    "wgan-gp-32": ((3, 32, 32), 64, 64),
    "r3gan-32": ((3, 32, 32), 64, 192),
}


# -- the contenders ----------------------------------------------------------------------------------------------------


def plain(game: str, precision: str, device: torch.device) -> Step:
    """One step as the tutorial, or as the usual WGAN-GP script, makes it."""
    shape, batch, width = GAMES[game]
    if game.startswith("r3gan"):
        return relativistic.plain(shape, batch, width, modality_of(shape).floats(images(shape)), precision, device)
    penalised = game.startswith("wgan-gp")
    netg, netd = generator(shape, width).to(device), discriminator(shape, width, not penalised).to(device)
    rate, betas = (1e-4, (0.0, 0.9)) if penalised else (2e-4, (0.5, 0.999))
    optg = torch.optim.Adam(netg.parameters(), rate, betas)
    optd = torch.optim.Adam(netd.parameters(), rate, betas)
    data = modality_of(shape).floats(images(shape)).to(device)
    cast = Precision(precision, device)
    criterion = nn.BCEWithLogitsLoss()

    def dcgan(number: int) -> tuple[float, ...]:
        real = data[torch.randint(len(data), (batch,), device=device)]
        netd.zero_grad()
        label = torch.full((batch,), 1.0, device=device)
        with cast.autocast():
            output = netd(real)
            err_real = criterion(output, label)
        err_real.backward()
        d_x = output.mean().item()
        with cast.autocast():
            fake = netg(torch.randn(batch, Z_DIM, device=device))
            label.fill_(0.0)
            output = netd(fake.detach())
            err_fake = criterion(output, label)
        err_fake.backward()
        d_g_z1 = output.mean().item()
        optd.step()
        netg.zero_grad()
        label.fill_(1.0)
        with cast.autocast():
            output = netd(fake)
            err_g = criterion(output, label)
        err_g.backward()
        d_g_z2 = output.mean().item()
        optg.step()
        return d_x, d_g_z1, d_g_z2, (err_real + err_fake).item(), err_g.item()

    def wgan_gp(number: int) -> tuple[float, ...]:
        real = data[torch.randint(len(data), (batch,), device=device)]
        optd.zero_grad()
        with cast.autocast():
            fake = netg(torch.randn(batch, Z_DIM, device=device))
            real_validity, fake_validity = netd(real), netd(fake)
        alpha = torch.rand(batch, 1, 1, 1, device=device)
        between = (alpha * real + (1 - alpha) * fake.detach().float()).requires_grad_(True)
        with cast.full():
            scores = netd(between)
        gradients = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True, retain_graph=True)[
            0
        ]
        penalty = ((gradients.view(batch, -1).norm(2, dim=1) - 1) ** 2).mean()
        d_loss = -real_validity.float().mean() + fake_validity.float().mean() + 10 * penalty
        d_loss.backward()
        optd.step()
        if (number + 1) % CRITIC_STEPS:
            return (d_loss.item(),)
        optg.zero_grad()
        with cast.autocast():
            g_loss = -netd(netg(torch.randn(batch, Z_DIM, device=device))).float().mean()
        g_loss.backward()
        optg.step()
        return d_loss.item(), g_loss.item()

    return wgan_gp if penalised else dcgan


def tuned(game: str, precision: str, device: torch.device, nhwc: bool = True, fused: bool = True) -> Step:
    """The same algorithms with the usual advice followed, or only a part of it."""
    shape, batch, width = GAMES[game]
    if game.startswith("r3gan"):
        return relativistic.tuned(shape, batch, width, modality_of(shape).floats(images(shape)), precision, device)
    penalised = game.startswith("wgan-gp")
    layout = torch.channels_last if nhwc else torch.contiguous_format
    netg = generator(shape, width).to(device, memory_format=layout)  # type: ignore[call-overload]
    netd = discriminator(shape, width, not penalised).to(device, memory_format=layout)  # type: ignore[call-overload]
    rate, betas = (1e-4, (0.0, 0.9)) if penalised else (2e-4, (0.5, 0.999))
    optg = torch.optim.Adam(netg.parameters(), rate, betas, fused=fused)
    optd = torch.optim.Adam(netd.parameters(), rate, betas, fused=fused)
    data = modality_of(shape).floats(images(shape)).to(device, memory_format=layout)
    cast = Precision(precision, device)
    loss = functional.softplus

    def g_step(fake: Tensor | None) -> None:
        netd.requires_grad_(False)
        with cast.autocast():
            score = netd(netg(torch.randn(batch, Z_DIM, device=device)) if fake is None else fake)
        (-score.float() if penalised else loss(-score.float())).mean().backward()
        netd.requires_grad_(True)
        optg.step()
        optg.zero_grad()

    def dcgan(number: int) -> None:
        real = data[torch.randint(len(data), (batch,), device=device)]
        with cast.autocast():
            fake = netg(torch.randn(batch, Z_DIM, device=device))
            real_score, fake_score = netd(real), netd(fake.detach())
        (loss(-real_score.float()).mean() + loss(fake_score.float()).mean()).backward()
        optd.step()
        optd.zero_grad()
        g_step(fake)

    def wgan_gp(number: int) -> None:
        real = data[torch.randint(len(data), (batch,), device=device)]
        with torch.no_grad(), cast.autocast():
            fake = netg(torch.randn(batch, Z_DIM, device=device)).float()
        with cast.autocast():
            real_score, fake_score = netd(real), netd(fake)
        between = torch.lerp(fake, real, torch.rand(batch, 1, 1, 1, device=device)).requires_grad_(True)
        (gradients,) = torch.autograd.grad(netd(between).sum(), between, create_graph=True)
        penalty = (gradients.flatten(1).norm(dim=1) - 1).square().mean()
        (fake_score.float().mean() - real_score.float().mean() + 10 * penalty).backward()
        optd.step()
        optd.zero_grad()
        if (number + 1) % CRITIC_STEPS == 0:
            g_step(None)

    return wgan_gp if penalised else dcgan


def toolkit(game: str, precision: str, device: torch.device, reuse: bool = False, graphs: bool = False) -> Step:
    """The core's loop, as `gankit train` calls it."""
    loop, sampler = core(game, precision, device, reuse=reuse, graphs=graphs)
    if graphs:
        loop.replayed = GraphedPhases(loop, CudaRecorder(device))
    return lambda number: loop.step(sampler.batch(number))


def core(
    game: str,
    precision: str,
    device: torch.device,
    batch: int = 0,
    d_steps: int = CRITIC_STEPS,
    count: int = IMAGES,
    reuse: bool = False,
    graphs: bool = False,
) -> tuple[TrainingLoop, Sampler]:
    """The core's loop on a game's networks, and its data."""
    shape, usual, width = GAMES[game]
    penalised = game.startswith("wgan-gp")
    if game.startswith("r3gan"):
        networks = Networks(*relativistic.networks(shape, width))
    else:
        networks = Networks(
            dcgan.Generator(shape, Z_DIM, width, 4, condition=0), discriminator(shape, width, not penalised)
        )
    for module in (networks.generator, networks.discriminator):
        module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    rate, betas = (1e-4, (0.0, 0.9)) if penalised else (2e-4, (0.5, 0.999))
    config = TrainConfig(
        batch=batch or usual,
        z_dim=relativistic.Z_DIM if game.startswith("r3gan") else Z_DIM,
        g_lr=rate,
        d_lr=rate,
        betas=betas,
        d_steps=d_steps if penalised else 1,
        reuse_fakes=reuse,
        precision=precision,  # type: ignore[arg-type]
        graphs="auto" if graphs else "off",
    )
    loss: AdversarialLoss = WassersteinGpLoss() if penalised else GanLoss()
    if game.startswith("r3gan"):
        loss = relativistic.R3ganLoss(relativistic.GAMMA)
    dataset = Dataset("noise", DataSpec(shape), images(shape, count))
    return TrainingLoop(networks, loss, config), Sampler(dataset, batch=config.batch, seed=0, device=device)


def images(shape: tuple[int, int, int], count: int = IMAGES) -> Tensor:
    """Noise as uint8 [N, C, H, W]: what the pixels are does not matter to the clock."""
    few = torch.randint(
        0, 256, (min(count, IMAGES), *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return few.repeat(-(-count // len(few)), 1, 1, 1)[:count]


CONTENDERS: dict[str, Maker] = {
    "plain": plain,
    "tuned": tuned,
    "gankit": toolkit,
    "gankit, reuse": partial(toolkit, reuse=True),
    "gankit, graphs": partial(toolkit, graphs=True),
}
LADDER: dict[str, Maker] = {
    "plain": plain,
    "no waste": partial(tuned, nhwc=False, fused=False),
    "and fused Adam": partial(tuned, nhwc=False),
    "and channels_last": tuned,
    "gankit": toolkit,
}


# -- the match ---------------------------------------------------------------------------------------------------------


def worker(name: str, game: str, precision: str, device: str, line: Connection) -> None:
    """One contender in a process of its own: it plays so many steps as it is told, and says how long they took."""
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    target = torch.device(device)
    torch.manual_seed(0)
    if name.startswith("gankit"):
        torch.set_flush_denormal(True)
    step = {**LADDER, **CONTENDERS}[name](game, precision, target)
    number = 0
    while (steps := line.recv()) is not None:
        wait(target)
        before = time.perf_counter()
        for _ in range(steps):
            step(number)
            number += 1
        wait(target)
        line.send(time.perf_counter() - before)
    line.send(peak_bytes(target))


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_bytes(device: torch.device) -> int:
    """Most memory so far: on CUDA of the allocator, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@dataclass(frozen=True)
class Row:
    """What came of one contender."""

    name: str
    step_s: float
    """Median of its blocks."""
    ratios: list[float]
    """Times as fast as `plain`, block by block."""
    images_per_s: float
    of_matmul: float
    """Share of the device's matrix rate."""
    peak_bytes: int

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)


def match(
    names: Sequence[str], game: str, precision: str, device: str, blocks: int, block_s: float = BLOCK_S
) -> tuple[list[Row], int]:
    """Contenders take turns: what came of each, and the number of steps of a block."""
    spawn = multiprocessing.get_context("spawn")
    lines: dict[str, Connection] = {}
    processes = []
    for name in names:
        lines[name], theirs = spawn.Pipe()
        process = spawn.Process(target=worker, args=(name, game, precision, device, theirs))
        process.start()
        processes.append(process)

    def play(name: str, steps: int) -> float:
        lines[name].send(steps)
        return float(lines[name].recv())

    for name in names:
        play(name, 4 * CRITIC_STEPS)  # warm-up, and the recording of graphs
    step_s = max(play(name, CRITIC_STEPS) / CRITIC_STEPS for name in names)
    steps = CRITIC_STEPS * max(1, round(block_s / step_s / CRITIC_STEPS))
    times: dict[str, list[float]] = {name: [] for name in names}
    for block in range(blocks):
        for name in names if block % 2 == 0 else reversed(names):
            times[name].append(play(name, steps) / steps)
    flop, rate = work(game, precision, device)
    rows = []
    for name in names:
        median = statistics.median(times[name])
        lines[name].send(None)
        rows.append(
            Row(
                name,
                step_s=median,
                ratios=[a / b for a, b in zip(times["plain"], times[name], strict=True)],
                images_per_s=GAMES[game][1] / median,
                of_matmul=flop / median / rate,
                peak_bytes=lines[name].recv(),
            )
        )
    for process in processes:
        process.join()
    return rows, steps


def show(rows: list[Row], title: str) -> None:
    """The table of a match."""
    print(f"\n{title}")
    print("| | ms a step | times plain | range | images/s | of the matrix rate | peak MiB |\n|---|" + "---|" * 6)
    for row in rows:
        cells = [
            f"{1e3 * row.step_s:.1f}",
            f"{row.ratio:.2f}",
            f"{min(row.ratios):.2f}–{max(row.ratios):.2f}",
            f"{row.images_per_s:,.0f}",
            f"{row.of_matmul:.0%}",
            f"{row.peak_bytes / 2**20:,.0f}",
        ]
        print(f"| {row.name} | " + " | ".join(cells) + " |", flush=True)


def work(game: str, precision: str, device: str) -> tuple[float, float]:
    """FLOP of a step of the core's loop, which is the numerator for everybody; the device's matrix rate in FLOP/s."""
    step = toolkit(game, precision, torch.device(device))
    with Operators() as operators:
        for number in range(CRITIC_STEPS):
            step(number)
    return operators.flop / CRITIC_STEPS, matmul_rate(precision, torch.device(device))


def growth(precision: str, device: str) -> None:
    """Step time and memory of the core's loop against what may grow."""
    cases: list[tuple[str, dict[str, Any]]] = [
        *((f"{count:,} images", {"game": "dcgan-28", "count": count}) for count in (60_000, 600_000, 2_000_000)),
        *((f"batch {batch}", {"game": "dcgan-28", "batch": batch}) for batch in (16, 64, 256)),
        *((f"{n} critic steps", {"game": "wgan-gp-28", "d_steps": n}) for n in (1, 5, 10)),
    ]
    print(f"\ngrowth, {precision}, {device}\n| case | ms a D step | images/s | peak MiB |\n|---|---|---|---|")
    for name, case in cases:
        spawn = multiprocessing.get_context("spawn")
        line, theirs = spawn.Pipe()
        process = spawn.Process(target=growing, args=(case, precision, device, theirs))
        process.start()
        seconds, batch, peak = line.recv()
        process.join()
        print(f"| {name} | {1e3 * seconds:.1f} | {batch / seconds:,.0f} | {peak / 2**20:,.0f} |", flush=True)


def growing(case: dict[str, Any], precision: str, device: str, line: Connection) -> None:
    """One case of `growth`, in a process of its own so that its peak memory is its own."""
    torch.set_flush_denormal(True)
    target = torch.device(device)
    loop, sampler = core(precision=precision, device=target, **case)
    times = []
    for block in range(6):
        wait(target)
        before = time.perf_counter()
        for step in range(20 * block, 20 * (block + 1)):
            loop.step(sampler.batch(step))
        wait(target)
        times.append((time.perf_counter() - before) / 20)
    line.send((statistics.median(times[1:]), loop.config.batch, peak_bytes(target)))


def main() -> None:
    """All games in all precisions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", default="dcgan-28,dcgan-32,wgan-gp-32")
    parser.add_argument("--precision", default="fp32,bf16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--ladder", action="store_true", help="from plain to gankit, one piece of advice at a time")
    parser.add_argument("--growth", action="store_true")
    arguments = parser.parse_args()
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{platform.machine()} CPU"
    print(f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}")
    for precision in arguments.precision.split(","):
        if arguments.growth:
            growth(precision, arguments.device)
            continue
        for game in arguments.games.split(","):
            names = list(LADDER if arguments.ladder else CONTENDERS)
            names = [name for name in names if name != "gankit, graphs" or arguments.device.startswith("cuda")]
            rows, steps = match(names, game, precision, arguments.device, arguments.blocks)
            blocks = f"{arguments.blocks} blocks of {steps} steps"
            show(rows, f"{game}, batch {GAMES[game][1]}, {precision}, {arguments.device}: {blocks}")


if __name__ == "__main__":
    main()
