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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from copied_loops import LOOPS, Marks, play
from torch import Tensor
from torchmetrics import Metric

from gankit import core
from gankit.data import Dataset, Preparation, load_dataset
from gankit.measure.evaluator import Evaluator, select_metrics
from gankit.measure.features import choose_space
from gankit.modality.images import grid

SAMPLES = 10_000
SURE = 0.95


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
    return load_dataset(arguments.data, catalogue, how=Preparation.of({"size": arguments.size}))


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
