"""`gankit arithmetic` without seeds: what a classifier sees in the samples, and sums of three classes to try."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gankit.cli import console

if TYPE_CHECKING:
    from gankit.look.concepts import Concepts, Sum

EXAMPLES = 3  # sums that are printed as commands


def propose(checkpoint: Path, against: str | None, options: dict[str, Any], *, json: bool) -> None:
    """Print seeds by class and the commands of a few sums."""
    from gankit.look.concepts import SEEDS, SURE, concepts
    from gankit.score.evaluate import EvalSettings

    with console.log_to_stderr(), console.progress_bar():
        found = concepts(checkpoint, EvalSettings(against=against, **options))
    if json:
        console.print_json(_document(found))
        return
    if not found.seeds:
        console.paragraph(
            f"The classifier is {SURE:.0%} sure of three samples of one class nowhere in seeds 0 to {SEEDS - 1}: "
            "the generator has not learnt the classes yet."
        )
        console.next_steps(f"gankit diagnose {console.quoted(checkpoint)}")
        return
    from rich.table import Table

    console.paragraph(
        f"Samples of seeds 0 to {SEEDS - 1}, of whose class the classifier is at least {SURE:.0%} sure (it is right "
        f"about {found.accuracy:.1%} of real images that it was not trained on):"
    )
    table = Table("class", "samples", "seeds", "their mean looks like", box=None, pad_edge=False)
    for name, seeds in found.seeds.items():
        cells = (name, str(found.counts[name]), ",".join(map(str, seeds)), found.means.get(name, "–"))
        table.add_row(*map(console.cell, cells))
    console.print_table(table)
    _print_sums(found, _command(checkpoint, options))


def _print_sums(found: Concepts, command: str) -> None:
    if not found.sums:
        console.paragraph("For a sum A - B + C of classes three of them must have such seeds.")
        return
    count = Counter(candidate.kind for candidate in found.sums)
    console.paragraph(
        f"{len(found.sums):,} sums A - B + C of these means: {count['added']:,} look like A or C, "
        f"{count['subtracted']:,} like B, {count['another']:,} like another class. The surest of some results:"
    )
    for example in _examples(found.sums):
        (a, c), b = example.plus, example.minus
        console.paragraph(f"{a} - {b} + {c} looks like {example.result}, with probability {example.probability:.2f}:")
        words = f"--plus {_seeds(found, a)} --minus {_seeds(found, b)} --plus {_seeds(found, c)}"
        console.data.print(f"  {command} {words}", markup=False)
    console.talk.print("The classifier knows classes and nothing else: whether a style was added is for the eye.")


def _examples(sums: Sequence[Sum]) -> list[Sum]:
    """The surest sum of each of two results that are another class, and of results that are one of those added."""
    surest: dict[tuple[str, str], Sum] = {}
    for candidate in sums:
        surest.setdefault((candidate.kind, candidate.result), candidate)
    another, added = ([s for s in surest.values() if s.kind == kind] for kind in ("another", "added"))
    return [*another[: EXAMPLES - 1], *added][:EXAMPLES]


def _command(checkpoint: Path, options: dict[str, Any]) -> str:
    """The beginning of a command for this generator: plugins that are files are named again."""
    variant = ["--variant", options["variant"]] if options["variant"] else []
    extensions = [word for extension in options["extensions"] for word in ("--with", extension)]
    return " ".join(["gankit arithmetic", *map(console.quoted, [checkpoint, *variant, *extensions])])


def _seeds(found: Concepts, name: str) -> str:
    return ",".join(map(str, found.seeds[name]))


def _document(found: Concepts) -> dict[str, Any]:
    return {
        "accuracy": round(found.accuracy, 4),
        "classes": [
            {
                "class": name,
                "seeds": list(seeds),
                "samples": found.counts[name],
                "mean_looks_like": found.means.get(name),
            }
            for name, seeds in found.seeds.items()
        ],
        "sums": [
            {"plus": list(s.plus), "minus": s.minus, "looks_like": s.result, "probability": round(s.probability, 4)}
            for s in found.sums
        ],
    }
