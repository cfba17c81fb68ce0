"""What each addition changes: the same game with and without it, in the same seconds, over several seeds.

    python benchmarks/additions.py [--data hands:200,hands:700,hands] [--seconds 240] [--seeds 3] [--out runs/additions]
    python benchmarks/additions.py --data PATH_OF_CIFAR10 --size 32 --only diffaugment,projected

`hands:200` is 200 of the photos, drawn by a fixed seed; scores are always against all of them. Every row is a game
beside the one that it is compared with, which differs by the addition alone. Everything is on one thread, and seconds
are those of the process, not of the clock on the wall.

The same command again goes on where it was stopped, and seeds are the outer loop: every row has one result before any
has two. RESULTS has a line for each run, with its machine. It is kept in the repository, so that the hours of many
sessions add up: what was run anywhere is not run again, and a pair is compared where both of its runs are of one kind
of machine. OUT/additions.md is written after each run.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import records
import torch

import gankit
from gankit import core
from gankit.base.files import append_line
from gankit.data import load_dataset
from gankit.errors import Stopped
from gankit.measure.record import FILE, read_lines
from gankit.study.statistics import student_quantile


@dataclass(frozen=True)
class Game:
    """What is trained."""

    variant: str = "gan"
    extensions: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    conditional: bool = False


AUGMENTED = ("diffaugment",)
PLAIN, BASE = Game(), Game(extensions=AUGMENTED)
R3GAN = Game("r3gan", AUGMENTED)
CONDITIONAL = Game(extensions=AUGMENTED, conditional=True)

ROWS: dict[str, tuple[Game, Game]] = {
    "diffaugment": (BASE, PLAIN),
    "ada": (Game(extensions=("ada",)), PLAIN),
    "lecam": (Game(extensions=("lecam",)), PLAIN),
    "lecam beside diffaugment": (Game(extensions=(*AUGMENTED, "lecam")), BASE),
    "r3gan, finite differences": (Game("r3gan", AUGMENTED, {"estimate": "finite"}), R3GAN),
    "r3gan, centre": (Game("r3gan", (*AUGMENTED, "centre")), R3GAN),
    "balance": (Game(extensions=("balance", *AUGMENTED)), BASE),
    "align": (Game(extensions=(*AUGMENTED, "align")), BASE),
    "projected": (Game("projected"), BASE),
    "stylegan2": (Game("stylegan2", AUGMENTED), BASE),
    "modulation": (Game(extensions=(*AUGMENTED, "modulation"), conditional=True), CONDITIONAL),
}
"""Name of an addition -> the game with it, and the same one without it."""


@dataclass(frozen=True)
class Result:
    """One run: a line of RESULTS."""

    experiment: dict[str, Any]
    """See `experiment`."""
    machine: str
    data: str
    game: str
    """See `key`."""
    seed: int
    images: int
    fid: float
    """The Fréchet distance to all real images."""
    precision: float
    recall: float


def main() -> None:
    """All runs, one after the other."""
    arguments = parse()
    torch.set_num_threads(1)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    rows = arguments.only.split(",") if arguments.only else list(ROWS)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(arguments.seeds):
        for place in arguments.data.split(","):
            data, (source, against) = records.short(place), sources(place, out)
            for row in rows:
                while (missing := next_of(row, data, seed, known(arguments))) is not None:
                    result = run(missing, data, source, against, seed, out, arguments)
                    append_line(arguments.results, asdict(result))
                    (out / "additions.md").write_text(table(rows, known(arguments), arguments))
                    print(f"{data} {result.game} seed {seed}: FID {result.fid:.1f}", flush=True)
    print(table(rows, known(arguments), arguments))


def known(arguments: argparse.Namespace) -> list[Result]:
    """The lines of RESULTS of this experiment."""
    found = [Result(**line) for line in records.read(arguments.results)]
    return [result for result in found if result.experiment == experiment(arguments)]


def experiment(arguments: argparse.Namespace) -> dict[str, Any]:
    """What all runs of a table have in common."""
    return {name: getattr(arguments, name) for name in ("seconds", "size", "n", "features")}


def pair_of(row: str, data: str, seed: int, results: list[Result]) -> tuple[Result, Result] | None:
    """The runs without and with an addition, both of one kind of machine."""
    with_, without = (
        {r.machine: r for r in results if (r.data, r.game, r.seed) == (data, key(game), seed)} for game in ROWS[row]
    )
    return next(((without[machine], with_[machine]) for machine in without if machine in with_), None)


def next_of(row: str, data: str, seed: int, results: list[Result]) -> Game | None:
    """What is to be run here for a row; None where a pair is there."""
    if pair_of(row, data, seed, results) is not None:
        return None
    here = {(r.data, r.game, r.seed) for r in results if r.machine == records.machine()}
    return next(game for game in reversed(ROWS[row]) if (data, key(game), seed) not in here)


def parse() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="hands:200,hands:700,hands")
    parser.add_argument("--size", type=int)
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n", type=int, default=2_000, help="samples of a score; the reference is all real images")
    parser.add_argument("--features", default="classifier", help="lite0 is the critic's own space of two rows")
    parser.add_argument("--only", help=f"some of: {', '.join(ROWS)}")
    parser.add_argument("--out", default="runs/additions")
    parser.add_argument("--results", type=Path, default=records.RESULTS / "additions.jsonl")
    return parser.parse_args()


def key(game: Game) -> str:
    """The variant, and how the game differs from others of it: 'gan-diffaugment+lecam'."""
    options = [f"{name}={value}" for name, value in game.options.items()]
    more = [*game.extensions, *options, *(["labels"] if game.conditional else [])]
    return f"{game.variant}-{'+'.join(more) or 'plain'}"


def sources(data: str, out: Path) -> tuple[str, str]:
    """What is trained on, and what scores are made against: 'hands:200' is an .npz of 200 photos beside all of them."""
    name, _, count = data.partition(":")
    if not count:
        return data, data
    file = out / f"{name}-{count}.npz"
    if not file.exists():
        whole = load_dataset(name, core.compose_catalogues().catalogue("gankit_datasets"))
        chosen = torch.from_numpy(np.random.default_rng(0).permutation(len(whole.samples))[: int(count)])
        labels = {} if whole.labels is None else {"labels": whole.labels[chosen].numpy()}
        np.savez(file, images=whole.samples[chosen].permute(0, 2, 3, 1).numpy(), **labels)
    return str(file), name


class Budget:
    """Ends a run after so many seconds of this process's own time, which other work on the machine hardly changes.

    It does so by SIGTERM, which writes the state as Ctrl-C does, and which a process in the background does not ignore.
    """

    def __init__(self, file: Path, seconds: int) -> None:
        self.file, self.seconds = file, seconds
        self.before = json.loads(file.read_text())["seconds"] if file.exists() else 0.0
        self.used = self.before
        self.start = self.written = time.process_time()

    @property
    def left(self) -> bool:
        """Whether there is some of it left."""
        return self.used < self.seconds

    def __call__(self, _: object) -> None:
        """After each step."""
        now = time.process_time()
        self.used = self.before + now - self.start
        if not self.left or now - self.written > 10:
            self.written = now
            self.file.write_text(json.dumps({"seconds": self.used}))
        if not self.left:
            signal.raise_signal(signal.SIGTERM)


def run(
    game: Game, data: str, source: str, against: str, seed: int, out: Path, arguments: argparse.Namespace
) -> Result:
    """Train (or go on) for the seconds, and score what has no score yet."""
    folder = out / "-".join([Path(source).stem, key(game), str(seed)])
    budget = Budget(folder.with_suffix(".json"), arguments.seconds)
    if budget.left:
        try:
            gankit.train(
                game.variant,
                data=source,
                images="1000M",
                size=arguments.size,
                seed=seed,
                device="cpu",
                precision="fp32",
                extensions=game.extensions,
                options=game.options,
                conditional=game.conditional,
                out=folder,
                on_step=budget,
                **({"g_lr": 5e-4, "d_lr": 5e-4} if game.variant == "gan" else {}),  # as the recipe photos-64 has them
            )
        except Stopped:
            if budget.left:  # stopped by somebody, not by the budget: the same command goes on
                raise
    images = gankit.load(folder).header.images_seen
    stored = read_lines(folder / FILE) if (folder / FILE).exists() else []
    same = [line for line in stored if (line.images_seen, line.protocol.n) == (images, arguments.n)]
    scored = next((line for line in same if line.protocol.features.partition("@")[0] == arguments.features), None)
    if scored is None:
        settings = {"features": arguments.features, "metrics": "fid,pr", "n": arguments.n, "n_real": "all"}
        scored = gankit.evaluate(folder, against=against, size=arguments.size, device="cpu", **settings)
    scores = {name: scored.scores[name].value for name in ("fid", "precision", "recall")}
    return Result(experiment(arguments), records.machine(), data, key(game), seed, images, **scores)


def table(rows: list[str], results: list[Result], arguments: argparse.Namespace) -> str:
    """A line for each addition and data set: FID without and with it, and the interval of the ratio."""
    lines = [
        f"{arguments.seconds} s of one thread; {arguments.features}, {arguments.n:,} samples against all; "
        + "; ".join(sorted({result.machine for result in results})),
        "",
        "| data | addition | FID without | FID with | ratio, 95 % | images without → with | |",
        "|---|---|---|---|---|---|---|",
    ]
    for data in map(records.short, arguments.data.split(",")):
        for row in rows:
            found = (pair_of(row, data, seed, results) for seed in range(arguments.seeds))
            pairs = [pair for pair in found if pair is not None]
            if not pairs:
                continue
            low, high = interval([math.log(b.fid / a.fid) for a, b in pairs])
            verdict = (
                "one seed" if len(pairs) == 1 else "better" if high < 1 else "worse" if low > 1 else "no effect shown"
            )
            ratio = f"{low:.2f}–{high:.2f}" if len(pairs) > 1 else f"{pairs[0][1].fid / pairs[0][0].fid:.2f}"
            images = " → ".join(f"{statistics.mean(r.images for r in side):,.0f}" for side in zip(*pairs, strict=True))
            means = [statistics.mean(r.fid for r in side) for side in zip(*pairs, strict=True)]
            lines.append(f"| {data} | {row} | {means[0]:.0f} | {means[1]:.0f} | {ratio} | {images} | {verdict} |")
    return "\n".join(lines) + "\n"


def interval(logs: list[float]) -> tuple[float, float]:
    """95 % interval of a ratio from logarithms of paired ratios, by Student's t."""
    if len(logs) < 2:
        return (math.exp(logs[0]), math.exp(logs[0]))
    t = student_quantile(0.975, len(logs) - 1)
    mean, half = statistics.mean(logs), t * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean - half), math.exp(mean + half)


if __name__ == "__main__":
    main()
