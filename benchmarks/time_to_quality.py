"""How good the pictures are after so many seconds: gankit beside the loops that people copy.

    python benchmarks/time_to_quality.py [--data mnist] [--seconds 30,60,120,240] [--seeds 3] [--out runs/quality-time]
    python benchmarks/time_to_quality.py --only gankit,tuned --size 32 --data ../cifar10/train.zip

Contenders, each in a process of its own, one after the other on all threads of this machine:

* `gankit`           `gankit train --data DATA`, nothing else: what a newcomer types
* `gankit VARIANT`   `gankit train --variant VARIANT --data DATA` (with `--variants gan,…`)
* `tutorial`         the networks and the loop of the official DCGAN tutorial (width 64, z 100, batch 128, Adam 2e-4)
* `copied-dcgan`     the most copied collection's DCGAN: upsampling and 3x3 layers, dropout, batch norm with eps 0.8
* `copied-wgan-gp`   its WGAN-GP: perceptrons of 128 to 1024 units, five critic steps, Adam 2e-4 (0.5, 0.999)
* `tuned`            the networks of "Are GANs Created Equal?" with batch norm, Adam 1e-3, channels_last, averaged G

The clock of a contender stands still while its samples are drawn; scores are made afterwards: FID, precision, recall
and the share of samples of which the classifier of the labels is sure (probability of 0.95 or more), each with the
value that other real images have (floor). OUT/results.jsonl has a line for each contender, seed and budget, and what is
in it is not measured again; OUT/table.md is the table, OUT/<contender>-<seed>-<seconds>.png the first 64 samples.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speed import discriminator, generator
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric

from gankit import core
from gankit.data import Dataset, load_dataset, parse_size
from gankit.measure.evaluator import Evaluator, select_metrics
from gankit.measure.features import choose_space
from gankit.sample.pictures import grid

SAMPLES = 10_000
SURE = 0.95
Marks = Iterator[tuple[float, Callable[[int], Tensor]]]
"""(seconds of training, n -> samples uint8 [n, C, H, W]) at each budget."""


class SureShare(Metric):
    """Share of samples [n, K logits] whose largest probability is `SURE` or more."""

    reads = "logits"
    higher_is_better = True
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sure", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, real: bool) -> None:
        """Count the fakes."""
        if not real:
            self.sure += (logits.softmax(1).amax(1) >= SURE).sum()
            self.count += len(logits)

    def compute(self) -> Tensor:
        """The share, in [0, 1]."""
        return self.sure / self.count


# -- the loops that people copy ----------------------------------------------------------------------------------------


@dataclass
class Loop:
    """A plain loop: networks, the tensor on which they work, and one step."""

    generator: nn.Module
    step: Callable[[int], None]
    z_dim: int
    average: nn.Module | None = None


def batches(dataset: Dataset, side: int) -> Tensor:
    """All images as floats in [-1, 1], on a black border where the networks need a larger side."""
    x = dataset.samples.float() / 127.5 - 1
    border = side - x.shape[-1]
    return functional.pad(x, (border // 2, border - border // 2) * 2, value=-1.0) if border else x


def tutorial(dataset: Dataset) -> Loop:
    """The official DCGAN tutorial, its networks cut to the size of the images."""
    shape, batch = dataset.spec.shape, 128
    netg, netd = generator(shape, 64), discriminator(shape, 64, norm=True)
    for net in (netg, netd):
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.02)
    optg = torch.optim.Adam(netg.parameters(), 2e-4, (0.5, 0.999))
    optd = torch.optim.Adam(netd.parameters(), 2e-4, (0.5, 0.999))
    data, criterion = batches(dataset, shape[1]), nn.BCEWithLogitsLoss()

    def step(number: int) -> None:
        real = data[torch.randint(len(data), (batch,))]
        netd.zero_grad()
        criterion(netd(real), torch.ones(batch)).backward()
        fake = netg(torch.randn(batch, 100))
        criterion(netd(fake.detach()), torch.zeros(batch)).backward()
        optd.step()
        netg.zero_grad()
        criterion(netd(fake), torch.ones(batch)).backward()
        optg.step()

    return Loop(netg, step, 100)


def copied_dcgan(dataset: Dataset) -> Loop:
    """Upsampling and 3x3 layers in G; four strided 3x3 layers with dropout in D; G moves first; batch 64."""
    channels, height, _ = dataset.spec.shape
    side, batch = -(-height // 16) * 16, 64

    class Start(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(100, 128 * (side // 4) ** 2)

        def forward(self, z: Tensor) -> Tensor:
            x: Tensor = self.linear(z).view(-1, 128, side // 4, side // 4)
            return x

    netg = nn.Sequential(
        Start(), nn.BatchNorm2d(128), nn.Upsample(scale_factor=2), nn.Conv2d(128, 128, 3, 1, 1),
        nn.BatchNorm2d(128, 0.8), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.Conv2d(128, 64, 3, 1, 1),
        nn.BatchNorm2d(64, 0.8), nn.LeakyReLU(0.2), nn.Conv2d(64, channels, 3, 1, 1), nn.Tanh(),
    )  # fmt: skip
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, 16), (16, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25)]
        layers += [nn.BatchNorm2d(outputs, 0.8)] if outputs > 16 else []
    netd = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * (side // 16) ** 2, 1), nn.Sigmoid())
    for layer in [*netg.modules(), *netd.modules()]:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    optg = torch.optim.Adam(netg.parameters(), 2e-4, (0.5, 0.999))
    optd = torch.optim.Adam(netd.parameters(), 2e-4, (0.5, 0.999))
    data, criterion = batches(dataset, side), nn.BCELoss()
    valid, invalid = torch.ones(batch, 1), torch.zeros(batch, 1)

    def step(number: int) -> None:
        real = data[torch.randint(len(data), (batch,))]
        optg.zero_grad()
        fake = netg(torch.randn(batch, 100))
        criterion(netd(fake), valid).backward()
        optg.step()
        optd.zero_grad()
        ((criterion(netd(real), valid) + criterion(netd(fake.detach()), invalid)) / 2).backward()
        optd.step()

    return Loop(netg, step, 100)


def copied_wgan_gp(dataset: Dataset) -> Loop:
    """Perceptrons; five critic steps; the penalty at random points between pairs; batch 64."""
    shape, batch = dataset.spec.shape, 64
    pixels = int(np.prod(shape))
    hidden: list[nn.Module] = []
    for inputs, outputs in ((100, 128), (128, 256), (256, 512), (512, 1024)):
        hidden += [nn.Linear(inputs, outputs)]
        hidden += [nn.BatchNorm1d(outputs, 0.8)] if outputs > 128 else []
        hidden += [nn.LeakyReLU(0.2, inplace=True)]
    netg = nn.Sequential(*hidden, nn.Linear(1024, pixels), nn.Tanh(), nn.Unflatten(1, shape))
    netd = nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, 512),
        nn.LeakyReLU(0.2),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
    )
    optg = torch.optim.Adam(netg.parameters(), 2e-4, (0.5, 0.999))
    optd = torch.optim.Adam(netd.parameters(), 2e-4, (0.5, 0.999))
    data = batches(dataset, shape[1])

    def step(number: int) -> None:
        real = data[torch.randint(len(data), (batch,))]
        optd.zero_grad()
        fake = netg(torch.randn(batch, 100))
        alpha = torch.rand(batch, 1, 1, 1)
        between = (alpha * real + (1 - alpha) * fake.detach()).requires_grad_(True)
        scores = netd(between)
        gradients = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True)[0]
        penalty = ((gradients.view(batch, -1).norm(2, dim=1) - 1) ** 2).mean()
        (-netd(real).mean() + netd(fake).mean() + 10 * penalty).backward()
        optd.step()
        optg.zero_grad()
        if number % 5 == 0:
            (-netd(netg(torch.randn(batch, 100))).mean()).backward()
            optg.step()

    return Loop(netg, step, 100)


def tuned(dataset: Dataset) -> Loop:
    """The usual advice followed, on the networks of Lucic et al. (2018) with batch norm in both; batch 64, z 64."""
    (channels, height, width), batch = dataset.spec.shape, 64
    start = (128, height // 4, width // 4)
    netg = nn.Sequential(
        nn.Linear(64, 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(0.2),
        nn.Linear(1024, int(np.prod(start))), nn.BatchNorm1d(int(np.prod(start))), nn.LeakyReLU(0.2),
        nn.Unflatten(1, start), nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(64, channels, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    netd = nn.Sequential(
        nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1), nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(int(np.prod(start)), 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(0.2),
        nn.Linear(1024, 1), nn.Flatten(0),
    )  # fmt: skip
    for net in (netg, netd):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for layer in net.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
                nn.init.zeros_(layer.bias)
    optg = torch.optim.Adam(netg.parameters(), 1e-3, (0.5, 0.999), fused=True)
    optd = torch.optim.Adam(netd.parameters(), 1e-3, (0.5, 0.999), fused=True)
    average = torch.optim.swa_utils.AveragedModel(
        netg, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5 ** (batch / 10_000)), use_buffers=False
    )
    data = batches(dataset, height).to(memory_format=torch.channels_last)
    loss = functional.softplus

    def step(number: int) -> None:
        real = data[torch.randint(len(data), (batch,))]
        with torch.no_grad():
            fake = netg(torch.randn(batch, 64))
        (loss(-netd(real)).mean() + loss(netd(fake)).mean()).backward()
        optd.step()
        optd.zero_grad()
        netd.requires_grad_(False)
        loss(-netd(netg(torch.randn(batch, 64)))).mean().backward()
        netd.requires_grad_(True)
        optg.step()
        optg.zero_grad()
        average.update_parameters(netg)
        for own, theirs in zip(average.module.buffers(), netg.buffers(), strict=True):
            own.copy_(theirs)

    return Loop(netg, step, 64, average.module)


LOOPS = {"tutorial": tutorial, "copied-dcgan": copied_dcgan, "copied-wgan-gp": copied_wgan_gp, "tuned": tuned}


def play(loop: Loop, dataset: Dataset, budgets: list[float]) -> Marks:
    """Train up to each budget; the clock stands still meanwhile."""
    spent, number = 0.0, 0
    for budget in budgets:
        before = time.perf_counter()
        while spent + time.perf_counter() - before < budget:
            loop.step(number)
            number += 1
        spent += time.perf_counter() - before
        yield spent, lambda n: drawn(loop, dataset, n)


def drawn(loop: Loop, dataset: Dataset, n: int) -> Tensor:
    """n samples, uint8 [n, C, H, W], cut to the size of the data."""
    net = loop.average or loop.generator
    streams = torch.Generator().manual_seed(0)
    net.eval()
    with torch.no_grad():
        parts = [net(torch.randn(500, loop.z_dim, generator=streams)) for _ in range(-(-n // 500))]
    net.train()
    x = torch.cat(parts)[:n]
    border = (x.shape[-1] - dataset.spec.shape[-1]) // 2
    if border:
        x = x[:, :, border:-border, border:-border]
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


# -- gankit ------------------------------------------------------------------------------------------------------------


def toolkit(variant: str | None, arguments: argparse.Namespace, seed: int, budgets: list[float], out: Path) -> Marks:
    """One run of `gankit train`, whose generator is written down when a budget is used up."""
    import gankit
    from gankit.hookspecs import Run

    files: list[tuple[float, bytes]] = []
    left = budgets[:-1]  # the last one ends the run

    def on_step(run: Run) -> None:
        if left and run.train_s >= left[0]:
            left.pop(0)
            files.append((run.train_s, run.pack_generator()))

    settings: dict[str, Any] = {} if arguments.size is None else {"size": arguments.size}
    result = gankit.train(
        variant, data=arguments.data, time_s=budgets[-1], seed=seed, device="cpu", out=out, on_step=on_step, **settings
    )
    for seconds, packed in [*files, (result.train_s, result.generator.read_bytes())]:
        file = out / f"at-{seconds:.0f}.safetensors"
        file.write_bytes(packed)

        def sample(n: int, file: Path = file) -> Tensor:
            images = gankit.load(file).sample(n, seed=0)
            return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)

        yield seconds, sample


# -- the measurement ---------------------------------------------------------------------------------------------------


def measure(name: str, arguments: argparse.Namespace, seed: int) -> None:
    """One contender with one seed, in this process; its lines are appended to results.jsonl."""
    out, budgets = Path(arguments.out), [float(part) for part in arguments.seconds.split(",")]
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    dataset = data_of(arguments)
    if name in LOOPS:
        marks = play(LOOPS[name](dataset), dataset, budgets)
    else:
        variant = name.partition(" ")[2] or None
        marks = toolkit(variant, arguments, seed, budgets, out / f"{name.replace(' ', '-')}-{seed}")
    found = [(budget, seconds, sample(SAMPLES)) for budget, (seconds, sample) in zip(budgets, marks, strict=False)]
    evaluator = evaluator_of(dataset, arguments.features)
    for budget, seconds, samples in found:
        scores = evaluator.score(lambda start, stop, samples=samples: samples[start:stop])
        picture = out / f"{name.replace(' ', '-')}-{seed}-{budget:.0f}.png"
        grid(samples[:64].permute(0, 2, 3, 1).numpy(), columns=8).save(picture)
        line = {
            "contender": name,
            "seed": seed,
            "budget": budget,
            "seconds": round(seconds, 1),
            "scores": {key: score.value for key, score in scores.items()},
            "floor": {key: score.floor for key, score in scores.items()},
            "features": evaluator.space.name,
            "data": arguments.data,
        }
        with (out / "results.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def data_of(arguments: argparse.Namespace) -> Dataset:
    """The real images."""
    catalogue = core.compose_catalogues([]).catalogue("gankit_datasets")
    return load_dataset(arguments.data, catalogue, size=parse_size(arguments.size) if arguments.size else None)


def evaluator_of(dataset: Dataset, features: str | None) -> Evaluator:
    """Scores of 10,000 samples, or of as many as half of the data."""
    catalogues = core.compose_catalogues([])
    space = choose_space(features, dataset, catalogues.catalogue("gankit_features"))
    metrics = dict(select_metrics(catalogues.catalogue("gankit_metrics"), ["fid", "kid", "pr"]))
    metrics["sure"] = lambda _: SureShare()
    return Evaluator(dataset, dataset, space, metrics, n=min(SAMPLES, len(dataset) // 2))


def table(out: Path) -> str:
    """Mean over the seeds, and the range, of what is in results.jsonl."""
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    rows = ["| contender | seconds | seeds | FID | precision | recall | sure |", "|---|---|---|---|---|---|---|"]
    for name, budget in sorted({(line["contender"], line["budget"]) for line in lines}):
        own = [line["scores"] for line in lines if (line["contender"], line["budget"]) == (name, budget)]
        cells = []
        for key in ("fid", "precision", "recall", "sure"):
            values = [scores[key] for scores in own if key in scores]
            spread = f" ({min(values):.3g}–{max(values):.3g})" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3g}{spread}" if values else "–")
        rows.append(f"| {name} | {budget:.0f} | {len(own)} | {' | '.join(cells)} |")
    floor = lines[0]["floor"]
    values = [
        f"{floor[key]:.3g}" if floor.get(key) is not None else "–" for key in ("fid", "precision", "recall", "sure")
    ]
    rows.append(f"| *floor* | | | {' | '.join(values)} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """All contenders, seeds in the outer loop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--size", default=None)
    parser.add_argument("--seconds", default="30,60,120,240")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--features", default=None)
    parser.add_argument("--variants", default="", help="also `gankit train --variant` with each of these")
    parser.add_argument("--only", default=None, help="these contenders only")
    parser.add_argument("--out", default="runs/quality-time")
    arguments = parser.parse_args()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    names = ["gankit", *(f"gankit {name}" for name in arguments.variants.split(",") if name), *LOOPS]
    if arguments.only is not None:
        names = [name for name in names if name in arguments.only.split(",")]
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}", flush=True)
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for name in names:
            results = out / "results.jsonl"
            done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
            if any((line["contender"], line["seed"]) == (name, seed) for line in done):
                continue
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(name, arguments, seed))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"{name} with seed {seed} ended with {process.exitcode}")
            (out / "table.md").write_text(table(out))
            print(f"{name} seed {seed} done", flush=True)
    print(table(out))


if __name__ == "__main__":
    main()
