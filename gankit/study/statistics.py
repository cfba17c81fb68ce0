"""Statistics of repeated runs: intervals, comparisons of cells, and the expected best of k trials. Numpy alone.

All functions take costs: lower is better, and +inf is a trial that gave no score. A failed trial therefore is the worst
one in ranks, medians and probabilities. Means are over the scores that there are, and say so.

Intervals are bootstrap percentile intervals, expanded for small samples (Hesterberg, "What Teachers Should Know about
the Bootstrap", 2015, section 5.3: the percentiles are those that give the mean of a normal sample the width of
Student's interval). Percentiles rather than BCa, whose acceleration is undefined for medians and for failed trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 10_000
BUDGET_RESAMPLES = 5_000  # as many as in "Are GANs Created Equal?"
SEED = 0
MOST_EXACT = 100  # runs of two cells up to which the distribution of their ranks is enumerated
FAR_OUT = 3.0  # interquartile ranges above the third quartile from which on a score is an outlier (Tukey, 1977)


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """Two cells a and b. Probabilities and differences are those of costs: lower is better."""

    a: str
    b: str
    improvement: Estimate  # P(a run of a is better than a run of b); a tie is half of one
    difference: Estimate  # median of a - b over `seeds`; of the medians if `seeds` is 0
    seeds: int  # number of seeds that both cells have
    p: float  # two-sided, of Wilcoxon's rank sum
    p_holm: float  # p after Holm's correction for all pairs
    winner: str | None  # the better cell; None: no difference shown


# -- one cell ----------------------------------------------------------------------------------------------------------


def mean(costs: Sequence[float]) -> Estimate:
    """Mean of the finite costs; the interval needs two of them."""
    return _bootstrapped(_finite(costs), lambda samples: samples.mean(axis=-1))


def median(costs: Sequence[float]) -> Estimate:
    """Median of all costs; +inf if half of the trials failed."""
    return _bootstrapped(np.asarray(costs, float), _median)


def outliers(costs: Sequence[float]) -> list[bool]:
    """Whether each trial failed, or is more than three interquartile ranges above the third quartile of the others."""
    finite = _finite(costs)
    if finite.size < 4:
        return [not math.isfinite(cost) for cost in costs]
    first, third = np.quantile(finite, [0.25, 0.75])
    return [bool(cost > third + FAR_OUT * (third - first)) for cost in costs]


# -- two cells, and all pairs ------------------------------------------------------------------------------------------


def compare_all(cells: Mapping[str, Mapping[int, float]], *, alpha: float = 1 - LEVEL) -> list[Comparison]:
    """All pairs of cells (name -> seed -> cost) that have runs, with Holm's correction over these pairs."""
    pairs = list(combinations((name for name, costs in cells.items() if costs), 2))
    p_values = [rank_sum_p(list(cells[a].values()), list(cells[b].values())) for a, b in pairs]
    corrected = holm(p_values)
    comparisons = []
    for (a, b), p, p_holm in zip(pairs, p_values, corrected, strict=True):
        improvement = probability_of_improvement(list(cells[a].values()), list(cells[b].values()))
        difference, seeds = paired_difference(cells[a], cells[b])
        winner = (a if improvement.value > 0.5 else b) if p_holm < alpha else None
        comparisons.append(Comparison(a, b, improvement, difference, seeds, p, p_holm, winner))
    return comparisons


def probability_of_improvement(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """P(A < B), a tie counting half (Agarwal et al., 2021); the runs of both cells are resampled independently.

    Two cells whose runs do not overlap have the interval [0, 0] or [1, 1]: no resample can overlap either.
    """
    x, y = np.asarray(a, float), np.asarray(b, float)
    better = (x[:, None] < y).astype(float) + 0.5 * (x[:, None] == y)
    generator = np.random.default_rng(SEED)
    rows = _counts(generator, x.size)
    columns = _counts(generator, y.size)
    resampled = (rows @ better * columns).sum(axis=1) / (x.size * y.size)
    return Estimate(float(better.mean()), *_percentiles(resampled, (1 - LEVEL) / 2))


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[Estimate, int]:
    """Median of a - b over the seeds of both, and their number; without two such seeds that of the medians, and 0.

    Two failed runs differ by 0, a failed and a successful one by infinity.
    """
    common = sorted(a.keys() & b.keys())
    if len(common) >= 2:
        return median([_difference(a[seed], b[seed]) for seed in common]), len(common)
    return Estimate(_difference(median(list(a.values())).value, median(list(b.values())).value)), 0


def rank_sum_p(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's rank sum (Mann and Whitney's U), ties included: exact up to 100 runs, then normal."""
    n, m = len(a), len(b)
    if not n or not m:
        return 1.0
    ranks = _doubled_midranks(np.concatenate([np.asarray(a, float), np.asarray(b, float)]))
    observed, centre = int(ranks[:n].sum()), n * (n + m + 1)  # both of doubled ranks
    distance = abs(observed - centre)
    if n + m > MOST_EXACT:
        spread = math.sqrt(n * m * float(np.var(ranks, ddof=1)) / (n + m))
        return 1.0 if spread == 0 else min(1.0, 2 * NormalDist().cdf(-distance / spread))
    ways = np.zeros((n + 1, int(ranks.sum()) + 1))  # number of choices of k runs with a sum of ranks
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    far = np.abs(np.arange(ways.shape[1]) - centre) >= distance
    return min(1.0, float(ways[n, far].sum() / ways[n].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values after Holm's step-down correction (1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def can_differ(a: int, b: int, pairs: int, *, alpha: float = 1 - LEVEL) -> bool:
    """Whether one pair of cells with `a` and `b` runs can be shown to differ, after Holm's correction for `pairs`."""
    return 2 * pairs / math.comb(a + b, a) < alpha


def seeds_needed(cells: int, *, alpha: float = 1 - LEVEL) -> int:
    """Fewest seeds per cell with which the pair that differs most can be shown to differ, after Holm's correction."""
    pairs = math.comb(cells, 2)
    return next((n for n in range(2, 100) if can_differ(n, n, pairs, alpha=alpha)), 100)


# -- a search ----------------------------------------------------------------------------------------------------------


def expected_best(costs: Sequence[float], most: int | None = None) -> list[Estimate]:
    """Expected lowest cost of k of the observed trials, drawn without replacement, for k = 1 … `most` (all of them).

    The interval is that of the paper's budget curves: percentiles of 5,000 resamples. The expectation is infinite as
    long as all k trials may be failed ones.
    """
    observed = np.sort(np.asarray(costs, float))
    if not observed.size:
        return []
    weights = _weights_of_best(observed.size)[: most or observed.size]
    value = _expected(observed[None], weights)[0]
    generator = np.random.default_rng(SEED)
    resampled = np.sort(generator.choice(observed, (BUDGET_RESAMPLES, observed.size)), axis=1)
    curves = _expected(resampled, weights)
    tail = (1 - LEVEL) / 2
    return [Estimate(float(value[k]), *_percentiles(curves[:, k], tail)) for k in range(len(weights))]


def _weights_of_best(n: int) -> Array:
    """[k - 1, i]: C(n - 1 - i, k - 1) / C(n, k), the probability that the i-th best of n (from 0) is the best of k."""
    return np.array([[math.comb(n - 1 - i, k - 1) / math.comb(n, k) for i in range(n)] for k in range(1, n + 1)])


def _expected(ordered: Array, weights: Array) -> Array:
    """Rows of costs in ascending order -> expectations [row, k]."""
    finite = np.isfinite(ordered)
    expectation = np.where(finite, ordered, 0.0) @ weights.T
    failed = (~finite).sum(axis=1)
    expectation[np.arange(1, len(weights) + 1) <= failed[:, None]] = math.inf
    return np.asarray(expectation)


# -- resampling --------------------------------------------------------------------------------------------------------


def _bootstrapped(costs: Array, statistic: Callable[[Array], Array]) -> Estimate:
    if not costs.size:
        return Estimate(math.nan)
    value = float(statistic(costs[None])[0])
    if costs.size < 2:
        return Estimate(value)
    generator = np.random.default_rng(SEED)
    resampled = statistic(generator.choice(costs, (RESAMPLES, costs.size)))
    return Estimate(value, *_percentiles(resampled, expanded_tail(costs.size)))


def expanded_tail(n: int) -> float:
    """The share of resamples beyond each end of the interval of n runs; 0.025 for many runs."""
    t = student_quantile(1 - (1 - LEVEL) / 2, n - 1)
    return NormalDist().cdf(-t * math.sqrt(n / (n - 1)))


@cache
def student_quantile(p: float, freedom: int) -> float:
    """The quantile of Student's distribution for p > 0.5, from its closed form (Abramowitz and Stegun, 26.7.3-4)."""
    low, high = 0.0, 1.0
    while _student_cdf(high, freedom) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, freedom) < p else (low, middle)
    return high


def _student_cdf(t: float, freedom: int) -> float:
    angle = math.atan(t / math.sqrt(freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine, cosine) if odd else (1.0, 1.0)
    for k in range(2 + odd, freedom, 2):  # cos(θ) + 2/3 cos³(θ) + …, or 1 + 1/2 cos²(θ) + …
        term *= cosine**2 * (k - 1) / k
        total += term
    if odd:
        inside = 2 / math.pi * (angle + math.sin(angle) * (total if freedom > 1 else 0.0))
    else:
        inside = math.sin(angle) * total
    return (1 + inside) / 2


def _percentiles(resampled: Array, tail: float) -> tuple[float, float]:
    """The values that cut `tail` off at each end: members of the sample, so that infinity is no obstacle."""
    ordered = np.sort(resampled)
    cut = math.floor(tail * ordered.size)
    return float(ordered[cut]), float(ordered[ordered.size - 1 - cut])


def _counts(generator: np.random.Generator, n: int) -> Array:
    """[RESAMPLES, n]: how often each of n runs occurs in a resample."""
    return generator.multinomial(n, [1 / n] * n, size=RESAMPLES).astype(float)


def _median(samples: Array) -> Array:
    """Medians of the last axis. Between a finite and a failed one lies a failed one."""
    ordered, n = np.sort(samples, axis=-1), samples.shape[-1]
    low, high = ordered[..., (n - 1) // 2], ordered[..., n // 2]
    return np.asarray(np.where(low == high, low, low / 2 + high / 2))


def _difference(a: float, b: float) -> float:
    return 0.0 if a == b else a - b


def _finite(costs: Sequence[float]) -> Array:
    values = np.asarray(costs, float)
    return np.asarray(values[np.isfinite(values)])


def _doubled_midranks(values: Array) -> npt.NDArray[np.int64]:
    """Twice the rank of each value, ties sharing the mean of theirs: whole numbers."""
    below = (values[:, None] > values).sum(axis=1)
    equal = (values[:, None] == values).sum(axis=1)
    return np.asarray(2 * below + equal + 1, dtype=np.int64)
