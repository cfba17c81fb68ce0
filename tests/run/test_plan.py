"""What is said about the settings of a run before anything is built."""

from __future__ import annotations

import logging

import pytest

from gankit.run.plan import plan_run
from gankit.settings.layers import Layer

NEVER = "the generator never moves"


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"d_steps": 5, "steps": 3}, True),
        ({"d_steps": 5, "images": 4 * 16}, True),
        ({"d_steps": 5, "steps": 5}, False),
        ({"d_steps": 5, "images": 4 * 16 + 1}, False),  # the fifth batch is shown whole
        ({"d_steps": 5, "time_s": 10}, False),
    ],
)
def test_a_budget_that_ends_before_the_generator_moves_is_warned_of(
    settings: dict[str, int], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="gankit"):
        plan_run([Layer("test", {"data": "ring8", "batch": 16, **settings})])
    assert [NEVER in message for message in caplog.messages] == ([True] if warned else [])
