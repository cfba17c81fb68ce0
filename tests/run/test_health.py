"""What the statistics of a run say about its health: collapse, a sure discriminator, vanishing gradients."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gankit.base.files import MAX_JSON_BYTES
from gankit.run.health import KEPT_LINES, findings, read_stats


def lines(count: int = 20, **columns: Callable[[int], float]) -> list[dict[str, float]]:
    return [
        {"images_seen": 2000 * n, **{k.replace("__", "/"): f(n) for k, f in columns.items()}} for n in range(1, count)
    ]


def test_of_a_long_run_the_first_and_the_last_statistics_are_read(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    count = 5 * KEPT_LINES // 2
    path.write_text("".join(json.dumps({"images_seen": n, "x": "y" * 30_000}) + "\n" for n in range(count)) + '{"imag')
    assert path.stat().st_size > MAX_JSON_BYTES
    found = [line["images_seen"] for line in read_stats(path)]
    assert found == [*range(KEPT_LINES), *range(count - KEPT_LINES, count)]


def test_a_healthy_run_has_no_findings() -> None:
    healthy = lines(
        diversity=lambda n: 0.9, score__real=lambda n: 2.0, score__fake=lambda n: -2.0, grad__generator=lambda n: 1 / n
    )
    assert findings(healthy, "logits") == []


def test_collapse_is_found_once_it_lasts_and_not_in_a_young_generator() -> None:
    sick = lines(diversity=lambda n: 0.2 if n >= 12 else 0.9)
    (found,) = findings(sick)
    assert (found.kind, found.since) == ("collapse", 24_000)
    assert "0.20 times" in found.figure
    assert findings(sick[:14]) == []  # four lines
    assert findings(lines(diversity=lambda n: 0.2)[:9]) == []  # young
    assert findings([*sick, {"images_seen": 40_000, "diversity": 0.9}]) == []  # it got well


@pytest.mark.parametrize(("scores", "kinds"), [("logits", ["sure discriminator"]), ("raw", [])])
def test_only_logits_tell_how_sure_a_discriminator_is(scores: str, kinds: list[str]) -> None:
    sure = lines(score__real=lambda n: 9.0, score__fake=lambda n: -9.0)
    assert [finding.kind for finding in findings(sure, scores)] == kinds
    assert findings(lines(score__real=lambda n: 9.0, score__fake=lambda n: 0.0), "logits") == []


def test_a_vanishing_gradient_is_measured_by_what_it_was() -> None:
    (found,) = findings(lines(40, grad__generator=lambda n: 1e-9 if n < 30 else 1e-13))
    assert (found.kind, found.since) == ("vanishing gradient", 60_000)
    assert findings(lines(40, grad__generator=lambda n: 1e-9)) == []  # small from the start: the scale of this loss


def test_a_discriminator_that_blows_up_is_found_while_it_lasts() -> None:
    burst = lines(40, grad__discriminator=lambda n: 1000.0 / (n - 28) if n > 28 else 5.0)
    (found,) = findings(burst[:34])
    assert (found.kind, found.since) == ("unstable", 58_000)
    assert "norm 167; it was 5 at first" in found.figure
    assert findings(burst) == []  # it got well
    assert findings(lines(40, grad__discriminator=lambda n: 5.0 * n**0.5)) == []


def test_skipped_steps_and_lines_that_are_no_statistics(tmp_path: Path) -> None:
    (found,) = findings(lines(skipped__generator=lambda n: 0.5))
    assert "50% of the generator's steps" in found.figure
    assert findings(lines(diversity=lambda n: float("nan"))) == []
