"""What a table says, in sentences. "No difference shown" is one of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gankit.base.text import plural
from gankit.measure.text import text_of, title_of
from gankit.study import statistics
from gankit.study.statistics import Comparison, Estimate
from gankit.study.table import Row, SearchRow, Table


def findings(table: Table) -> list[str]:
    """Sentences about the pairs of cells, what could not have been shown, and what was left out."""
    said: list[str] = []
    for data in table.data_sets:
        rows = table.rows_of(data)
        names = {row.cell for row in rows}
        pairs = [pair for pair in table.comparisons if pair.a in names]
        about = f"on {data}: " if len(table.data_sets) > 1 else ""
        of_pairs = _limits(rows, pairs) or _pairs(table, pairs)
        said += [about + sentence for sentence in [*of_pairs, *_floors(table, rows)]]
    if table.rows and not table.comparisons:
        said.insert(0, "one cell on each data set: there is nothing to compare")
    return said + _omitted(table)


def how_tested(table: Table) -> str:
    """One sentence about intervals and tests."""
    pairs = len(table.comparisons)
    return (
        "Intervals: 95 %, bootstrap. A run without a score is the worst one in medians and ranks; means leave it out. "
        + f"P: how often a run of the first cell is better. p: Wilcoxon's rank sum, Holm for {plural(pairs, 'pair')}."
        * bool(pairs)
    ).strip()


def searched(table: Table, search: SearchRow) -> str:
    """What the search of a cell found, and what became of it on fresh seeds."""
    trials = f"{search.cell}: {plural(len(search.trials), 'trial')}"
    if search.failures:
        trials += f", {failures_text(search.failures)}"
    if search.best is None:
        return f"{trials}; none has a score"
    best = text_of(table.metric, table.choice_of(search.best))
    said = f"{trials}; best {best} (number {search.best.trial.number})"
    if search.default is not None:
        said += f", own settings {text_of(table.metric, search.default)}"
    row = next((row for row in table.rows if row.cell == search.cell and row.phase == "best"), None)
    if row is None:
        return said + "; not yet confirmed on fresh seeds"
    return f"{said}; the best on {plural(len(row.runs), 'fresh seed')}: median {estimate_text(table, row.median)}"


def estimate_text(table: Table, estimate: Estimate) -> str:
    """'1.23 (1.10 to 1.40)', without the interval where there is none."""
    value = score_text(table, estimate.value)
    if math.isnan(estimate.low):
        return value
    return f"{value} ({score_text(table, estimate.low)} to {score_text(table, estimate.high)})"


def interval_text(table: Table, estimate: Estimate) -> str:
    """'1.10 to 1.40'; '' where there is no interval."""
    if math.isnan(estimate.low):
        return ""
    return f"{score_text(table, estimate.low)} to {score_text(table, estimate.high)}"


def score_text(table: Table, value: float | None) -> str:
    """A score; 'failed' for the infinite one of failed runs, '' for none."""
    if value is None or math.isnan(value):
        return ""
    return "failed" if math.isinf(value) else text_of(table.metric, value)


def metric_title(table: Table) -> str:
    """'FID ↓'."""
    return title_of(table.metric, table.higher_is_better)


def failures_text(failures: Mapping[str, int]) -> str:
    """'2 diverged, 1 collapsed'."""
    return ", ".join(f"{count:,} {status}" for status, count in sorted(failures.items()))


def difference_of(table: Table, pair: Comparison) -> Estimate:
    """The median of a - b in scores."""
    if not table.higher_is_better:
        return pair.difference
    return Estimate(-pair.difference.value, -pair.difference.high, -pair.difference.low)


def _pairs(table: Table, pairs: Sequence[Comparison]) -> list[str]:
    shown = [_winner_first(pair) for pair in pairs if pair.winner is not None]
    not_shown = [pair for pair in pairs if pair.winner is None]
    said = []
    if len(pairs) > 1:
        said.append(f"{_cells_of(pairs)} cells, {len(pairs)} pairs: {len(shown)} differ, {len(not_shown)} not shown to")
    for winner in dict.fromkeys(pair.a for pair in shown):
        losers = [f"{pair.b} ({_how_much(table, pair)})" for pair in shown if pair.a == winner]
        said.append(f"{winner} is better than {', '.join(losers)}")
    for first in dict.fromkeys(pair.a for pair in not_shown):
        others = [f"{pair.b} ({_probability(pair.improvement)})" for pair in not_shown if pair.a == first]
        said.append(f"no difference shown between {first} and {', '.join(others)}")
    return said


def _cells_of(pairs: Sequence[Comparison]) -> int:
    return len({name for pair in pairs for name in (pair.a, pair.b)})


def _winner_first(pair: Comparison) -> Comparison:
    if pair.winner == pair.a:
        return pair
    share, gap = pair.improvement, pair.difference
    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        improvement=Estimate(1 - share.value, 1 - share.high, 1 - share.low),
        difference=Estimate(-gap.value, -gap.high, -gap.low),
    )


def _how_much(table: Table, pair: Comparison) -> str:
    gap = Estimate(-pair.difference.value, -pair.difference.high, -pair.difference.low)  # a cost: the winner has less
    size = f"by {estimate_text(table, gap)}, " if math.isfinite(gap.value) else ""
    return f"{size}P {pair.improvement.value:.2f}, p {_p(pair.p_holm)}"


def _probability(estimate: Estimate) -> str:
    return f"P {estimate.value:.2f}, {estimate.low:.2f} to {estimate.high:.2f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _limits(rows: Sequence[Row], pairs: Sequence[Comparison]) -> list[str]:
    if not pairs or any(pair.winner is not None for pair in pairs):
        return []
    counts = {row.cell: len(row.costs) for row in rows if row.costs}
    if any(statistics.can_differ(counts[pair.a], counts[pair.b], len(pairs)) for pair in pairs):
        return []
    fewest, most, needed = min(counts.values()), max(counts.values()), statistics.seeds_needed(len(counts))
    seeds = plural(most, "seed") if fewest == most else f"{fewest} to {plural(most, 'seed')}"
    return [
        f"with {seeds} a cell and {plural(len(pairs), 'pair')} no difference can be shown, "
        f"however large: {needed} seeds are enough for the largest"
    ]


def _floors(table: Table, rows: Sequence[Row]) -> list[str]:
    reached = [row.cell for row in rows if row.floor is not None and _reaches(table, row.median.value, row.floor)]
    if not reached:
        return []
    return [f"at the floor of real data: {', '.join(reached)}; more samples (-n) would tell such cells apart"]


def _reaches(table: Table, score: float, floor: float) -> bool:
    return math.isfinite(score) and (score >= floor if table.higher_is_better else score <= floor)


def _omitted(table: Table) -> list[str]:
    if not table.omit_outliers:
        return []
    counts = [f"{row.cell} {len(row.omitted)}" for row in table.rows if row.omitted]
    total = sum(len(row.omitted) for row in table.rows)
    return [
        f"outliers are omitted: {plural(total, 'run')}"
        + (f" ({', '.join(counts)})" if counts else "")
        + "; without the option they count"
    ]
