"""Averages with several half-lives: what their option takes, and that they move as core's own does."""

from __future__ import annotations

import pytest
import torch
from support_plugins import loop_with

from gankit.contracts import Batch
from gankit.errors import InputError
from gankit.game.power_average import PowerEma
from gankit_extensions import ema_sweep


def test_half_lives_must_be_numbers() -> None:
    for text in ("1000,x", "0"):
        with pytest.raises(InputError, match="ema-sweep"):
            ema_sweep.EmaSweep(ema_sweep.Options(halflives=text))


def test_they_count_each_image_once_where_the_generator_moves_in_two_phases() -> None:
    loop = loop_with(
        "ema-sweep",
        "power-ema",
        variant="stylegan2",
        shape=(1, 8, 8),
        options={"width": 8, "path_length": 2.0, "ema-sweep": {"halflives": "100"}},
        ema_halflife_images=100,
    )
    assert sum(phase.player == "generator" for phase in loop.phases.values()) == 2
    shown = []
    for average in loop.averages:
        if isinstance(average, PowerEma):
            average.decay = lambda images, *_: shown.append(images) or 0.5  # type: ignore[func-returns-value, method-assign]
    for _ in range(20):
        loop.step(Batch(torch.rand(4, 1, 8, 8)))
    swept = next(average for average in loop.averages if not isinstance(average, PowerEma))
    pairs = zip(swept.module.parameters(), loop.ema.module.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert shown == [4] * 40  # 20 steps, two averages
