"""Schedules: their values worked out by hand, their spellings, and where they are refused."""

from __future__ import annotations

import math

import pytest

from gankit.settings.schedule import Point, Schedule, split_spellings

K, M = 1_000, 1_000_000


@pytest.mark.parametrize(
    ("spelling", "images", "total", "expected"),
    [
        ("2e-4", 7 * K, None, 2e-4),
        ("linear(2e-4, 0, 20M)", 0, None, 2e-4),
        ("linear(2e-4, 0, 20M)", 5 * M, None, 1.5e-4),
        ("linear(2e-4, 0, 20M)", 30 * M, None, 0.0),
        ("linear(1, 3, 1k-3k)", 1 * K, None, 1.0),
        ("linear(1, 3, 1k-3k)", 2_500, None, 2.5),
        ("linear(4, 2, 50%-100%)", 49 * K, 100 * K, 4.0),
        ("linear(4, 2, 50%-100%)", 75 * K, 100 * K, 3.0),
        ("linear(4, 2, 50%-100%)", 100 * K, 100 * K, 2.0),
        ("cosine(0, 5M, 20M)", 20 * M, None, 5e6),
        ("steps(1.1k, 0.5M@20k)", 0, None, 1_100.0),
        ("cosine(4, 2, 100k)", 25 * K, None, 3 + math.sqrt(0.5)),
        ("cosine(4, 2, 100k)", 50 * K, None, 3.0),
        ("cosine(4, 2, 100k)", 100 * K, None, 2.0),
        ("steps(3, 2@10k, 1@20k)", 9_999, None, 3.0),
        ("steps(3, 2@10k, 1@20k)", 10 * K, None, 2.0),
        ("steps(3, 2@10k, 1@20k)", 99 * K, None, 1.0),
        ("steps(3, 2@25%)", 25, 100, 2.0),
        ("constant(8, warmup=1k)", 0, None, 0.0),
        ("constant(8, warmup=1k)", 250, None, 2.0),
        ("constant(8, warmup=1k)", 5 * K, None, 8.0),
        ("linear(8, 4, 4k, warmup=50%)", 1 * K, 4 * K, 3.5),  # (8 - 1) / 2
        ("linear(5, 1, 0)", 0, None, 1.0),
    ],
)
def test_values(spelling: str, images: int, total: int | None, expected: float) -> None:
    assert Schedule.parse(spelling).at(images, total) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("", "neither a number nor a schedule"),
        ("fast", "neither a number nor a schedule"),
        ("nan", "not finite"),
        ("linear(1e999, 0, 1k)", "not finite"),
        ("cosin(1, 0, 1k)", "neither a number nor a schedule"),
        ("linear(1, 0, 1k", "neither a number nor a schedule"),
        ("linear(1, 0)", "two values and a length"),
        ("linear(1, x, 1k)", "'x' is neither a number nor a schedule"),
        ("linear(1, 5%, 1k)", "'5%' is neither a number nor a schedule"),
        ("linear(1, " + "9" * 400 + "k, 1k)", "neither a number nor a schedule"),
        ("cosine(1, 0, soon)", "'soon' is neither a number of images"),
        ("linear(1, 0, _)", "'_' is neither a number of images"),
        ("linear(1, 0, " + "9" * 400 + ")", "neither a number of images"),
        ("linear(1, 0, 101%)", "more than the whole budget"),
        ("linear(1, 0, 3k-2k)", "ends before it begins"),
        ("steps(1, 2)", "does not say when"),
        ("steps(1, 2@1k, 3@50%)", "all in images or all in shares"),
        ("steps(1, 2@2k, 3@2k)", "begins later"),
        ("constant(1, 2)", "one value"),
    ],
)
def test_what_is_no_schedule_is_said_in_one_line(spelling: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Schedule.parse(spelling)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [True, None, [1], {"a": 1}])
def test_other_objects_are_no_schedules(value: object) -> None:
    with pytest.raises(ValueError, match="neither a number nor a schedule"):
        Schedule.parse(value)


@pytest.mark.parametrize(
    "spelling",
    [
        "0.0002",
        "0.1234567890123",
        "linear(0.0002, 0.0, 20000000)",
        "linear(1.0, 0.0, 7%-33.3333333333%)",
        "cosine(0.0002, 5e-05, 1000-50%, warmup=500)",
        "steps(3.0, 2.0@10000, 1.0@20000)",
        "constant(8.0, warmup=1000)",
    ],
)
def test_a_schedule_survives_its_spelling(spelling: str) -> None:
    schedule = Schedule.parse(spelling)
    assert str(schedule) == spelling
    assert Schedule.parse(str(schedule)) == schedule


@pytest.mark.parametrize("share", ["7%", "28%", "33.33333333333%", "0.1%", "99.9%"])
def test_a_share_survives_its_spelling(share: str) -> None:
    point = Point.parse(share)
    assert Point.parse(str(point)) == point


def test_a_schedule_put_together_by_hand_is_checked_too() -> None:
    assert Schedule.parse(Schedule("constant", (3.0,))) == Schedule.parse(3)
    with pytest.raises(ValueError, match="ends before it begins"):
        Schedule.parse(Schedule("linear", (1.0, 0.0), (Point(2), Point(1))))


def test_a_budget_defines_a_schedule_or_not() -> None:
    Schedule.parse("linear(1, 0, 20M)").check_budget(None)
    Schedule.parse("linear(1, 0, 10k-50%)").check_budget(40 * K)
    with pytest.raises(ValueError, match="needs a budget"):
        Schedule.parse("linear(1, 0, 50%-100%)").check_budget(None)
    with pytest.raises(ValueError, match="needs a budget"):
        Schedule.parse("constant(1, warmup=1%)").check_budget(None)
    with pytest.raises(ValueError, match="with a budget of 10,000 images it ends before it begins"):
        Schedule.parse("linear(1, 0, 10k-50%)").check_budget(10 * K)


def test_commas_within_brackets_do_not_split() -> None:
    assert split_spellings("0.5,cosine(0.9, 0.99, 20M)") == ["0.5", "cosine(0.9, 0.99, 20M)"]
    assert split_spellings("0.5") == ["0.5"]
