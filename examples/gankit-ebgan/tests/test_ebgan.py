"""EBGAN and its extension keep the rules of gankit's plugins, and compute what their papers say."""

from collections.abc import Callable

import pytest
import torch
from gankit_ebgan import pulling_away
from gankit_half_cosine import Options, share

from gankit.testing import parametrize_checks


@parametrize_checks("ebgan")
def test_the_variant_keeps_the_rules(check: Callable[[], None]) -> None:
    check()


@parametrize_checks("half-cosine")
def test_the_extension_keeps_the_rules(check: Callable[[], None]) -> None:
    check()


@parametrize_checks("ebgan", extensions=("half-cosine",))
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


@pytest.mark.parametrize(("seen", "left"), [(0, 1.0), (50, 0.55), (100, 0.1), (1_000, 0.1)])
def test_the_rate_falls_along_half_a_cosine(seen: int, left: float) -> None:
    assert share(seen, Options(images=100, end=0.1)) == pytest.approx(left)
