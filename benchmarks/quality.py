"""Trains every variant with its defaults and scores it: FID with its floor, precision, recall, speed, a sample grid.

    python benchmarks/quality.py --data PATH_OF_MNIST [--images 200k] [--seeds 3] [--out runs/quality] [VARIANT…]

The same command again goes on where it was stopped: a finished run is not trained again, a scored one not scored.
Seeds are the outer loop, so that every variant has one result before any has two. OUT/quality.md is the table, written
after each run; OUT/<variant>.png the grid, OUT/<variant>-strip.png ten samples. RESULTS has a line for each run and is
kept in the repository: what was run in another session is not run again. Other experiments, each with an --out of its
own: `--with EXTENSION`, `--polygons` (with `--data triangles`: the scores of `gankit manifold` in place of those of
`gankit eval`), and `--set VARIANT:KEY=VALUE`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import records

import gankit
from gankit.base.files import append_line
from gankit.host import discovery
from gankit.measure.record import FILE, Evaluation, read_lines
from gankit.modality.images import grid
from gankit.sample.generator import LoadOptions
from gankit.score.manifold import evaluate_manifold

COLUMNS = {"fid": "FID", "precision": "precision", "recall": "recall", "density": "density", "coverage": "coverage"}
POLYGON_COLUMNS = {"f1": "F1", "precision": "precision", "recall": "recall"}


@dataclass(frozen=True)
class Result:
    """One run, a line of RESULTS: what it was, its scores, and how fast it was trained."""

    experiment: dict[str, Any]
    """See `experiment`."""
    variant: str
    seed: int
    machine: str
    images_per_s: float
    features: str | None
    """None for polygons, whose manifold is known."""
    scores: dict[str, float]
    floor: dict[str, float | None]
    """The scores of other real images."""


def main() -> None:
    """All runs, one after the other."""
    arguments = parse()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    names = arguments.variants or sorted({plugin.name for plugin in discovery.discover(discovery.VARIANTS)})
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(arguments.seeds):
        for name in names:
            if not any((r.variant, r.seed) == (name, seed) for r in known(arguments)):
                result = run(name, seed, out, arguments)
                append_line(arguments.results, asdict(result))
                print(f"{name} seed {seed}: {result.scores}", flush=True)
            (out / "quality.md").write_text(table([r for r in known(arguments) if r.variant in names], arguments))
    print((out / "quality.md").read_text())


def parse() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", help="all installed ones by default")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--images", default="200k")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--n", type=int, default=10_000, help="samples of a score")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--out", default="runs/quality")
    parser.add_argument("--with", dest="extensions", action="append", default=[])
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="VARIANT:KEY=VALUE")
    parser.add_argument("--polygons", action="store_true")
    parser.add_argument("--results", type=Path, default=records.RESULTS / "quality.jsonl")
    return parser.parse_args()


def experiment(arguments: argparse.Namespace) -> dict[str, Any]:
    """What all runs of a table have in common."""
    names = ("images", "n", "precision", "extensions", "settings", "polygons")
    return {"data": records.short(arguments.data), **{name: getattr(arguments, name) for name in names}}


def known(arguments: argparse.Namespace) -> list[Result]:
    """The lines of RESULTS of this experiment."""
    found = [Result(**line) for line in records.read(arguments.results)]
    return [result for result in found if result.experiment == experiment(arguments)]


def run(name: str, seed: int, out: Path, arguments: argparse.Namespace) -> Result:
    """Train (or go on), score what has no score yet, keep the last grid."""
    folder = out / f"{name}-{seed}"
    trained = gankit.train(
        name,
        data=arguments.data,
        images=arguments.images,
        seed=seed,
        device=arguments.device,
        precision=arguments.precision,
        extensions=arguments.extensions,
        out=folder,
        **own_settings(name, arguments.settings),
    )
    if seed == 0:
        shutil.copyfile(trained.picture, out / f"{name}.png")
        strip(trained.generator, out / f"{name}-strip.png")
    evaluation = manifold(folder, arguments) if arguments.polygons else images(folder, trained.images_seen, arguments)
    found = {key: evaluation.scores[key] for key in columns(arguments)}
    speed = round(trained.images_seen / trained.train_s, 1)
    return Result(
        experiment(arguments),
        name,
        seed,
        f"{records.machine()}, {os.environ.get('OMP_NUM_THREADS', 'all')} thread(s)",
        speed,
        None if arguments.polygons else evaluation.protocol.features,
        {key: score.value for key, score in found.items()},
        {key: score.floor for key, score in found.items()},
    )


def columns(arguments: argparse.Namespace) -> dict[str, str]:
    """Name of a score -> its title."""
    return POLYGON_COLUMNS if arguments.polygons else COLUMNS


def images(folder: Path, images_seen: int, arguments: argparse.Namespace) -> Evaluation:
    """The scores of `gankit eval`, from before if they are there."""
    stored = read_lines(folder / FILE) if (folder / FILE).exists() else []
    wanted = (images_seen, arguments.n)
    scored = next((line for line in reversed(stored) if (line.images_seen, line.protocol.n) == wanted), None)
    if scored is None or "fid" not in scored.scores:
        return gankit.evaluate(folder, n=arguments.n, device=arguments.device)
    return scored


def manifold(folder: Path, arguments: argparse.Namespace) -> Evaluation:
    """The scores of `gankit manifold`."""
    return evaluate_manifold(folder, LoadOptions(device=arguments.device))


def strip(checkpoint: Path, path: Path) -> None:
    """Ten samples in a row; one of each class where the generator knows classes."""
    generator = gankit.load(checkpoint)
    told = generator.space.conditions is not None and generator.data.classes
    images = (
        np.concatenate([generator.sample(seeds=[index], label=index) for index in range(len(generator.data.classes))])
        if told
        else generator.sample(10)
    )
    grid(images, columns=10).save(path)


def own_settings(name: str, given: list[str]) -> dict[str, object]:
    """The --set flags meant for one variant; 'options.KEY' is an option of the variant."""
    settings: dict[str, object] = {}
    options: dict[str, object] = {}
    for text in given:
        variant, _, pair = text.partition(":")
        key, _, value = pair.partition("=")
        if variant == name:
            place = options if key.startswith("options.") else settings
            place[key.removeprefix("options.")] = tomllib.loads(f"x = {value}")["x"]
    return {**settings, **({"options": options} if options else {})}


def table(results: list[Result], arguments: argparse.Namespace) -> str:
    """Mean and range over the seeds, the best of the first column first."""
    (leading, title), first = next(iter(columns(arguments).items())), results[0]
    floor = first.floor[leading]
    lines = [
        f"{arguments.images} images, {len({r.seed for r in results})} seed(s), {arguments.precision} precision, "
        f"{'; '.join(sorted({r.machine for r in results}))}"
        + ("" if first.features is None else f"; space {first.features}, {arguments.n:,} samples")
        + ("" if floor is None else f"; {title} floor {floor:.3f}"),
        "",
        "| variant | " + " | ".join(columns(arguments).values()) + " | images/s |",
        "|---" * (len(columns(arguments)) + 2) + "|",
    ]
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.variant, []).append(result)

    def mean(name: str) -> float:
        return statistics.mean(result.scores[leading] for result in groups[name])

    for name in sorted(groups, key=mean, reverse=arguments.polygons):
        group = groups[name]
        cells = [summary([r.scores[key] for r in group]) for key in columns(arguments)]
        cells.append(f"{statistics.mean(r.images_per_s for r in group):,.0f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def summary(values: list[float]) -> str:
    """'2.31', or '2.31 (2.20–2.43)' over several seeds."""
    mean = f"{statistics.mean(values):.3g}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3g}–{max(values):.3g})"


if __name__ == "__main__":
    main()
