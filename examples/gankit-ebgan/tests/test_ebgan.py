"""EBGAN and its extension keep the rules of gankit's plugins, and compute what their papers say."""

from collections.abc import Callable

import pytest
import torch
from gankit_ebgan import pulling_away

from gankit.testing import parametrize_checks


@parametrize_checks("ebgan")
def test_the_variant_keeps_the_rules(check: Callable[[], None]) -> None:
    check()


@parametrize_checks("gradient-noise")
def test_the_extension_keeps_the_rules(check: Callable[[], None]) -> None:
    check()


@parametrize_checks("ebgan", extensions=("gradient-noise",))
def test_both_together_keep_the_rules(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([[1.0, 0.0], [1.0, 1.0]], 1 / 2),
        ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 1 / 3),
        ([[1.0, 0.0], [-1.0, 0.0]], 1.0),
    ],
)
def test_the_pulling_away_term_is_the_mean_squared_cosine(codes: list[list[float]], expected: float) -> None:
    assert float(pulling_away(torch.tensor(codes, dtype=torch.float64))) == pytest.approx(expected)
