"""Signs that a run goes wrong, read from the statistics that it writes: what, since when, by what figure, what to do.

`gankit diagnose` looks at the lines of stats.jsonl, of a long run at the first and the last thousand; a run that is
going looks after each new one, and warns once.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.errors import InputError
from gankit.measure.record import YOUNG

Line = Mapping[str, Any]

LINES = 5  # in a row must agree
KEPT_LINES = 1_000  # of the first and of the last statistics
MAX_LINE_BYTES = 1 << 20
DIVERSITY = 0.5  # of the real data's, below which fakes of different z are called alike
SURE = 0.99  # D's probability of being right, beyond which it teaches G little
VANISHED = 1e-3  # of its early value: G's gradient
BLOWN_UP = 20.0  # times its early value: D's gradient
SKIPPED = 0.2  # of the steps under fp16


@dataclass(frozen=True)
class Finding:
    """One sign: `since` is the number of images after which it was there in all later lines that were looked at."""

    kind: str
    since: int
    figure: str
    advice: str


def findings(lines: Sequence[Line], scores: str = "raw") -> list[Finding]:
    """The signs that hold at the end of `lines` (of stats.jsonl, oldest first).

    `scores` is what the variant declares: only of logits it is known what a sure discriminator is.
    """
    checks = [_collapse, _blow_up, _vanishing_gradient, _skipping]
    checks += [_sure_discriminator] if scores == "logits" else []
    return [finding for check in checks if (finding := check(lines)) is not None]


def read_stats(path: Path) -> list[Line]:
    """The readable lines of stats.jsonl; the last one may have been cut by a crash.

    Of a long run only the first and the last KEPT_LINES.
    """
    lines: list[Line] = []
    try:
        if not path.exists():
            return []
        with path.open("rb") as file:
            while text := file.readline(MAX_LINE_BYTES):
                try:
                    line: Any = json.loads(text)
                except ValueError:
                    continue
                if isinstance(line, dict) and isinstance(line.get("images_seen"), int):
                    lines.append(line)
                    drop_middle(lines)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", hint="check its permissions") from error
    return lines


def drop_middle(lines: list[Line]) -> None:
    """Keep the first and the last KEPT_LINES."""
    del lines[KEPT_LINES:-KEPT_LINES]


def _since(lines: Sequence[Line], name: str, bad: Any, after: int = YOUNG) -> tuple[int, float] | None:
    """(images of the first bad one in a row, last value) when the last LINES lines that have `name` are all bad."""
    seen = [(int(line["images_seen"]), float(line[name])) for line in lines if _is_number(line.get(name))]
    start = len(seen)
    while start and bad(seen[start - 1][1]) and seen[start - 1][0] >= after:
        start -= 1
    return (seen[start][0], seen[-1][1]) if len(seen) - start >= LINES else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _collapse(lines: Sequence[Line]) -> Finding | None:
    found = _since(lines, "diversity", lambda value: value < DIVERSITY)
    if found is None:
        return None
    figure = f"fakes of different z differ {found[1]:.2f} times as much as real samples do"
    return Finding("collapse", found[0], figure, "a lower --g-lr, another seed, or a variant with a gradient penalty")


def _sure_discriminator(lines: Sequence[Line]) -> Finding | None:
    margin = math.log(SURE / (1 - SURE))
    real = _since(lines, "score/real", lambda score: score > margin)
    fake = _since(lines, "score/fake", lambda score: score < -margin)
    if real is None or fake is None:
        return None
    figure = f"D is sure: mean logits {real[1]:.1f} for real samples and {fake[1]:.1f} for fakes"
    advice = "a lower --d-lr, or -s label_smoothing=0.1 where the variant has it"
    return Finding("sure discriminator", max(real[0], fake[0]), figure, advice)


def _vanishing_gradient(lines: Sequence[Line]) -> Finding | None:
    usual = _early(lines, "grad/generator")
    found = _since(lines, "grad/generator", lambda norm: norm < VANISHED * usual, after=0) if usual else None
    if found is None:
        return None
    figure = f"the gradient of G has norm {found[1]:.1e}; it was {usual:.1e} at first"
    return Finding(
        "vanishing gradient", found[0], figure, "a lower --d-lr, fewer --d-steps, or a loss that does not saturate"
    )


def _blow_up(lines: Sequence[Line]) -> Finding | None:
    usual = _early(lines, "grad/discriminator")
    found = _since(lines, "grad/discriminator", lambda norm: norm > BLOWN_UP * usual, after=0) if usual else None
    if found is None:
        return None
    figure = f"the gradient of D has norm {found[1]:.3g}; it was {usual:.3g} at first"
    return Finding("unstable", found[0], figure, "a lower --d-lr, or --with r1, which keeps D's gradient small")


def _early(lines: Sequence[Line], name: str) -> float:
    """The median of a figure in the first quarter of the run, 0 where it has none."""
    values = [float(line[name]) for line in lines if _is_number(line.get(name))]
    return statistics.median(values[: max(LINES, len(values) // 4)]) if values else 0.0


def _skipping(lines: Sequence[Line]) -> Finding | None:
    for player in ("generator", "discriminator"):
        found = _since(lines, f"skipped/{player}", lambda share: share > SKIPPED, after=0)
        if found is not None:
            figure = f"{found[1]:.0%} of the {player}'s steps are skipped: fp16 gradients overflow"
            return Finding("skipped steps", found[0], figure, "--precision bf16 or fp32")
    return None
