"""Averages by power functions: their profile, and any of them from snapshots of two."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gankit.errors import InputError
from gankit.game.power_average import PowerEma, Profile, exponent_of, solve, std_of, std_of_halflife


def test_the_exponents_of_published_widths() -> None:
    """EDM2, section 3.1: sigma_rel 0.05 and 0.10 are gamma = 16.97 and 6.94."""
    assert exponent_of(0.05) == pytest.approx(16.97, abs=0.005)
    assert exponent_of(0.10) == pytest.approx(6.94, abs=0.005)
    assert std_of(0.0) == pytest.approx(1 / math.sqrt(12))  # the mean over the whole run


@pytest.mark.parametrize("std", [0.005, 0.05, 0.2, 0.28])
def test_exponent_and_width_are_each_others_inverse(std: float) -> None:
    assert std_of(exponent_of(std)) == pytest.approx(std, rel=1e-9)


@pytest.mark.parametrize("std", [0.0, -1.0, 0.29, float("nan")])
def test_a_width_without_an_exponent_is_refused(std: float) -> None:
    with pytest.raises(InputError, match="standard deviation"):
        exponent_of(std)


def test_a_half_life_is_the_end_of_the_run_that_holds_half_of_the_profile() -> None:
    exponent = exponent_of(std_of_halflife(0.1))
    assert 1 - 0.9 ** (exponent + 1) == pytest.approx(0.5)
    with pytest.raises(InputError, match="half-life"):
        std_of_halflife(0.5)


def test_the_average_of_a_line_is_the_mean_of_the_profile() -> None:
    """Weights that equal the images seen have the average t (e + 1) / (e + 2), and the step's length does not matter."""
    for batch in (10, 100):
        source, average = nn.Linear(1, 1, bias=False), PowerEma(nn.Linear(1, 1, bias=False), 0.1)
        for seen in range(batch, 100_001, batch):
            nn.init.constant_(source.weight, seen)
            average.update(source, images=batch, images_seen=seen)
        expected = 100_000 * (average.exponent + 1) / (average.exponent + 2)
        assert float(average.module.weight) == pytest.approx(expected, rel=2e-3)


def walk(stds: tuple[float, ...], moments: int, steps: int = 800) -> tuple[dict[float, list[torch.Tensor]], list[int]]:
    """Averages of weights that walk at random, at so many moments."""
    torch.manual_seed(0)
    source = nn.Linear(64, 1, bias=False)
    averages = {std: PowerEma(source, std) for std in stds}
    kept: dict[float, list[torch.Tensor]] = {std: [] for std in stds}
    at = []
    for step in range(1, steps + 1):
        with torch.no_grad():
            source.weight += torch.randn_like(source.weight)
        for average in averages.values():
            average.update(source, images=1, images_seen=step)
        if step % (steps // moments) == 0:
            at.append(step)
            for std, average in averages.items():
                kept[std].append(average.module.weight.detach().clone())
    return kept, at


@pytest.mark.parametrize("wanted", [0.04, 0.07, 0.12])
def test_an_average_is_put_together_that_was_never_kept(wanted: float) -> None:
    kept, at = walk((0.05, 0.1, wanted), moments=8)
    true = kept[wanted][-1]
    profiles = [Profile(exponent_of(std), t) for std in (0.05, 0.1) for t in at]
    snapshots = [tensor for std in (0.05, 0.1) for tensor in kept[std]]
    solved = solve(profiles, Profile(exponent_of(wanted), at[-1]))
    made = sum(float(factor) * tensor for factor, tensor in zip(solved.factors, snapshots, strict=True))
    assert float(solved.factors.sum()) == pytest.approx(1)
    assert solved.error < 0.06
    nearest = min(float((kept[std][-1] - true).norm()) for std in (0.05, 0.1))
    assert float((made - true).norm()) < 0.15 * nearest


def test_one_moment_is_enough_for_a_width_between_the_two() -> None:
    profiles = [Profile(exponent_of(std), 1000) for std in (0.05, 0.1)]
    assert solve(profiles, Profile(exponent_of(0.07), 1000)).error == pytest.approx(0.051, abs=0.01)
    assert solve(profiles, Profile(exponent_of(0.02), 1000)).error > 0.3


def test_a_kept_average_is_itself() -> None:
    profiles = [Profile(exponent_of(std), t) for std in (0.05, 0.1) for t in (500, 1000)]
    solved = solve(profiles, Profile(exponent_of(0.1), 1000))
    assert solved.factors.tolist() == pytest.approx([0, 0, 0, 1], abs=1e-6)
    assert solved.error < 1e-5
