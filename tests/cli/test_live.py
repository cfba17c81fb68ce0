"""The live line: what matters most comes first, and fits the terminal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gankit.cli.live import status

STATS = {
    "d/real": 0.5, "d/fake": 0.25, "g/fake": 1.5, "score/real": 1.25, "score/fake": -0.5,
    "probability/real": 0.71, "probability/fake": 0.28,
}  # fmt: skip


def run(**changes: Any) -> Any:
    facts = {
        "config": SimpleNamespace(total_images=200_000, batch=64), "images_seen": 24_000, "images_per_s": 812.0,
        "stats": STATS, "scores": {}, "share_done": 0.12, "attempt_s": 30.0, "train_s": 30.0,
    }  # fmt: skip
    return SimpleNamespace(**{**facts, **changes})


def test_time_left_and_speed_fit_any_terminal_and_the_rest_as_far_as_there_is_room() -> None:
    whole = "3:40 left · 24,000/200,000 images · 812/s · D(x) 0.71 D(G(z)) 0.28 · d 0.75 g 1.5"
    assert status(run()) == whole
    assert status(run(), 75) == whole.rpartition(" · ")[0]  # 80 columns
    assert status(run(), 55) == "3:40 left · 24,000/200,000 images · 812/s"  # 60 columns


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"stats": {}}, "figures after 1,984 images"),
        ({"stats": {"d/real": 1e-5, "d/fake": -3e-5}}, "d -2e-05 g –"),  # G has not moved
        ({"stats": {"score/real": -1.5e-4, "score/fake": -2.5e-4}}, "D(real) -0.00015 D(fake) -0.00025"),
        ({"stats": {**STATS, "skipped/generator": 0.25}}, "fp16 skipped g 25.0%"),
    ],
)
def test_figures_are_shown_with_the_digits_that_they_have(changes: dict[str, Any], part: str) -> None:
    assert part in status(run(**changes))
