"""Ranges: where they come from, what they leave out, and draws that depend on nothing but their number."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gankit.errors import InputError
from gankit.settings.option import Choice, LogUniform, SameAs, Uniform
from gankit.study.reading import from_flags
from gankit.study.space import Space, read_ranges, space_of
from gankit.study.study import plans_of


def space(ranges: Any, variant: str = "wgan-gp", **settings: Any) -> Space:
    definition = from_flags({"variant": variant, "images": 1_000, "data": "ring8", **settings})
    (cell,) = definition.cells
    return space_of(plans_of(definition, "cpu")[cell.name], cell, ranges)


def test_named_ranges_are_those_of_settings_and_options() -> None:
    wide = space("wide")
    assert wide.ranges["g_lr"] == LogUniform(1e-5, 1e-2)
    assert wide.ranges["d_lr"] == SameAs("g_lr")
    assert isinstance(wide.ranges["options.penalty"], LogUniform)
    drawn = wide.draw(0, 1)
    assert drawn["d_lr"] == drawn["g_lr"]
    assert drawn["d_steps"] in (1, 5)
    assert len(drawn["betas"]) == 2
    assert wide.draw(0, 0) == {}


def test_a_draw_depends_on_seed_cell_and_number_alone() -> None:
    wide = space("wide")
    assert [wide.draw(0, number) for number in (3, 1, 2)] == [wide.draw(0, number) for number in (3, 1, 2)]
    assert wide.draw(0, 1) != wide.draw(0, 2)
    assert wide.draw(0, 1) != wide.draw(1, 1)
    other = Space("other", wide.ranges, wide.whole, wide.defaults)
    assert other.draw(0, 1) != wide.draw(0, 1)


def test_draws_fill_their_ranges() -> None:
    whole = Space("c", {"d_steps": Uniform(1, 4), "x": LogUniform(1e-4, 1)}, frozenset({"d_steps"}), {})
    drawn = [whole.draw(0, number) for number in range(1, 300)]
    assert {values["d_steps"] for values in drawn} == {1, 2, 3, 4}
    logs = [math.log10(values["x"]) for values in drawn]
    assert -4 <= min(logs) < -3.8
    assert -0.2 < max(logs) <= 0
    assert abs(sum(logs) / len(logs) + 2) < 0.3


def test_what_a_cell_sets_and_what_no_optimiser_uses_is_not_searched() -> None:
    assert "g_lr" not in space("wide", g_lr=1e-4).ranges
    assert "d_lr" not in space("wide", g_lr=1e-4).ranges
    assert "betas" not in space("wide", variant="wgan").ranges


def test_ranges_of_ones_own() -> None:
    table = {
        "g_lr": {"low": 1e-4, "high": 1e-3, "log": True},
        "options": {"penalty": [1, 10]},
        "d_lr": {"same_as": "g_lr"},
    }
    assert read_ranges(table) == {
        "g_lr": LogUniform(1e-4, 1e-3),
        "options.penalty": Choice((1, 10)),
        "d_lr": SameAs("g_lr"),
    }
    assert set(space(table).draw(0, 1)) == {"g_lr", "d_lr", "options.penalty"}


@pytest.mark.parametrize(
    ("ranges", "settings", "said"),
    [
        ("widest", {}, "unknown ranges 'widest'"),
        ("wide", {"g_lr": 1, "d_lr": 1, "betas": "0,0", "d_steps": 1, "options": {"penalty": 1}}, "nothing to search"),
        ({"g_rate": [1]}, {}, "no setting 'g_rate'"),
        ({"images": [1_000]}, {}, "no setting 'images'"),
        ({"g_lr": [1e-4]}, {"g_lr": 1e-4}, "sets it to 0.0001"),
        ({"g_lr": []}, {}, "is empty"),
        ({"g_lr": {"low": 1, "high": 0}}, {}, "1 to 0"),
        ({"g_lr": {"low": 0, "high": 1, "log": True}}, {}, "0 to 1, log"),
        ({"g_lr": {"same_as": "d_lr"}}, {}, "no range of its own"),
        ({"g_lr": 3}, {}, "has no range: 3"),
        ({}, {}, "is empty"),
    ],
)
def test_a_bad_range_is_refused(ranges: Any, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        space(ranges, **settings)
    assert said in caught.value.message
