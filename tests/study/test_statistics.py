"""The statistics of studies against numbers computed by hand, closed forms and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gankit.study import statistics
from gankit.study.statistics import (
    compare_all,
    expected_best,
    holm,
    mean,
    median,
    outliers,
    paired_difference,
    probability_of_improvement,
    rank_sum_p,
    seeds_needed,
    student_quantile,
)

INF = math.inf


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (30, 2.0423)])
def test_students_quantile_is_that_of_the_tables(freedom: int, expected: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(expected, abs=5e-5)


def test_mean_and_median_are_over_what_they_say() -> None:
    costs = [3.0, 1.0, INF, 2.0]
    assert mean(costs).value == 2.0
    assert median(costs).value == 2.5
    assert median([1.0, INF, INF]).value == INF
    assert median([1.0, INF]).value == INF  # half of the runs failed
    assert median([1.0, 2.0, 3.0, INF]).value == 2.5


def test_an_interval_needs_two_runs_and_holds_the_value() -> None:
    assert math.isnan(mean([1.0]).low)
    assert math.isnan(mean([]).value)
    assert math.isnan(median([]).value)
    assert median([INF, INF]).value == INF
    for estimate in (mean([1.0, 2.0, 4.0]), median([1.0, 2.0, 4.0])):
        assert (estimate.low, estimate.high) == (1.0, 4.0)  # three runs: their range


def test_the_interval_of_many_runs_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(3).normal(size=400)
    estimate, error = mean(list(values)), values.std(ddof=1) / math.sqrt(400)
    assert estimate.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert estimate.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_intervals_of_five_runs_hold_the_truth_about_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 2_000)
    generator = np.random.default_rng(0)
    held = [
        estimate.low <= 0 <= estimate.high for estimate in (mean(list(generator.normal(size=5))) for _ in range(300))
    ]
    assert 0.89 < np.mean(held) < 0.98  # plain percentiles hold it in 0.85 of the cases


def test_intervals_are_the_same_every_time() -> None:
    assert median([3.0, 1.0, 2.0, 5.0, 4.0]) == median([3.0, 1.0, 2.0, 5.0, 4.0])
    assert statistics.RESAMPLES == 10_000


def test_the_probability_of_improvement_counts_pairs_and_half_of_the_ties() -> None:
    assert probability_of_improvement([1, 2, 3], [2, 3, 4]).value == pytest.approx(7 / 9)
    assert probability_of_improvement([1, 2], [3, 4, 5]) == statistics.Estimate(1.0, 1.0, 1.0)
    assert probability_of_improvement([INF, INF], [INF]).value == 0.5
    assert probability_of_improvement([1, INF], [2, 2]).value == 0.5
    one = probability_of_improvement([1.0], [2.0])
    assert (one.value, one.low, one.high) == (1.0, 1.0, 1.0)


def test_the_rank_sum_is_exact() -> None:
    assert rank_sum_p([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == pytest.approx(2 / 252)
    assert rank_sum_p([1, 2], [3, 4]) == pytest.approx(2 / 6)
    assert rank_sum_p([1, 2, 3], [1, 2, 3]) == 1.0
    assert rank_sum_p([INF, INF], [INF, INF, INF]) == 1.0
    assert rank_sum_p([1.0], []) == 1.0


def test_ties_are_enumerated() -> None:
    # a has the midranks 1, 3, 3 of (1, 2, 2 | 2, 3, 4), sum 7; of 20 choices 6 lie at least 3.5 from the middle, 10.5.
    assert rank_sum_p([1, 2, 2], [2, 3, 4]) == pytest.approx(6 / 20)
    assert rank_sum_p([1, 2, 2, 3], [2, 3, 3, 5, 5]) == pytest.approx(13 / 126)  # scipy.stats.permutation_test


def test_many_runs_take_the_normal_approximation_which_agrees_with_the_exact_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(0)
    a, b = list(generator.normal(size=50).round(1)), list(generator.normal(0.4, size=50).round(1))
    exact = rank_sum_p(a, b)
    monkeypatch.setattr(statistics, "MOST_EXACT", 99)
    assert rank_sum_p(a, b) == pytest.approx(exact, abs=0.002)
    assert rank_sum_p([1.0] * 60, [1.0] * 60) == 1.0


def test_failed_runs_are_the_worst_ranks() -> None:
    assert rank_sum_p([1, 2, 3], [INF, INF, INF]) == rank_sum_p([1, 2, 3], [9, 9, 9])


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_differences_are_paired_by_seed() -> None:
    difference, seeds = paired_difference({0: 1.0, 1: 5.0, 2: 9.0, 7: 0.0}, {0: 2.0, 1: 7.0, 2: 12.0, 8: 0.0})
    assert (difference.value, seeds) == (-2.0, 3)
    assert paired_difference({0: INF, 1: INF}, {0: INF, 1: INF})[0].value == 0
    assert paired_difference({0: INF, 1: INF}, {0: 1.0, 1: INF})[0].value == INF
    unpaired, seeds = paired_difference({0: 1.0}, {1: 4.0})
    assert (unpaired.value, seeds) == (-3.0, 0)
    assert math.isnan(unpaired.low)


def test_a_verdict_needs_enough_seeds_and_says_who_is_better() -> None:
    good, bad = dict(enumerate([1.0, 1.1, 1.2, 1.3])), dict(enumerate([2.0, 2.1, 2.2, 2.3]))
    (pair,) = compare_all({"good": good, "bad": bad})
    assert (pair.winner, pair.p) == ("good", pytest.approx(2 / 70))
    (pair,) = compare_all({"bad": bad, "good": good})
    assert pair.winner == "good"
    three = compare_all({"good": good, "bad": bad, "none": {}, "worse": dict.fromkeys(range(4), 9.0)})
    assert [(pair.a, pair.b) for pair in three] == [("good", "bad"), ("good", "worse"), ("bad", "worse")]
    assert [pair.winner for pair in three] == [None, None, None]  # 3 * 2 / 70 is above 0.05
    assert [seeds_needed(cells) for cells in (2, 3, 7)] == [4, 5, 6]


def test_the_expected_best_is_the_mean_over_all_choices_of_k() -> None:
    curve = [estimate.value for estimate in expected_best([4.0, 1.0, 3.0, 2.0])]
    assert curve == pytest.approx([2.5, 10 / 6, 1.25, 1.0])  # (1 + 1 + 1 + 2 + 2 + 3) / 6 for two
    assert [estimate.value for estimate in expected_best([5.0])] == [5.0]
    assert expected_best([]) == []
    assert len(expected_best([1.0, 2.0, 3.0], most=2)) == 2


def test_the_expected_best_is_infinite_while_all_k_may_fail() -> None:
    first, second, third = expected_best([1.0, 2.0, INF])
    assert first.value == INF
    assert second.value == pytest.approx((1 + 1 + 2) / 3)
    assert third.value == 1.0
    assert third.high == INF  # a resample of three failed ones is among 5,000
    assert [estimate.value for estimate in expected_best([INF, INF])] == [INF, INF]


def test_the_interval_of_the_expected_best_is_a_bootstrap_one() -> None:
    values = list(np.random.default_rng(1).normal(10, 2, size=40))
    curve = expected_best(values)
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in curve)
    spread = np.std(values) / math.sqrt(40)
    assert curve[0].high - curve[0].low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_outliers_are_what_failed_and_what_is_far_out() -> None:
    assert outliers([1.0, 1.1, 1.2, 1.3, 50.0, INF]) == [False, False, False, False, True, True]
    assert outliers([1.0, 50.0, INF]) == [False, False, True]  # three runs do not say what is usual
