"""The figures of a study: strips of seeds, and budget curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gankit.measure.text import title_of
from gankit.page.axis import Axis
from gankit.page.drawing import DASHES, FONT, SERIES, Drawing, shortened
from gankit.study.findings import score_text
from gankit.study.table import Row, SearchRow, Table

ROW = 34  # height of a strip
AXIS = 46  # height of an axis with its title
FAILED = 76  # width of the column of failed runs
LETTER = 0.56 * FONT  # mean width of a character


def strips(table: Table, rows: Sequence[Row], width: float) -> Drawing:
    """A line for each cell: a dot for each seed, its median and interval, and the floor of real data."""
    narrow = width < 500
    left = min(max((len(shortened(row.cell, 24)) for row in rows), default=0) * LETTER + 14, 0.36 * width)
    failed = any(math.isinf(cost) for row in rows for cost in row.costs.values())
    right = width - (FAILED if failed else 14)
    height = len(rows) * ROW + AXIS + 14
    drawing = Drawing(width, height, f"Each seed, median and 95 % interval: {_metric(table)}")
    scores = [table.score(cost) for row in rows for cost in row.costs.values() if math.isfinite(cost)]
    floors = [row.floor for row in rows if row.floor is not None]
    if not scores:
        drawing.label(left, ROW / 2, "no run has a score", colour="pale")
        return drawing
    axis = Axis.around([*scores, *floors], left, right)
    bottom = len(rows) * ROW + 10
    _scale_below(drawing, axis, table, bottom, most=4 if narrow else 8)
    if floors:
        x = axis(sum(floors) / len(floors))
        drawing.line([(x, 6), (x, bottom)], "mark", 1.2, (4, 3))
    for index, row in enumerate(rows):
        y = 10 + (index + 0.5) * ROW
        drawing.label(left - 10, y, shortened(row.cell, int((left - 10) / LETTER)), anchor="end")
        _strip(drawing, table, row, axis, y, right)
    title = _metric(table) + ("; dashed: floor of real data" if floors else "")
    drawing.label(right, bottom + 34, title, colour="pale", anchor="end", size=12)
    if failed:
        drawing.label(width - 26, bottom + 12, "failed", colour="pale", anchor="middle", size=12)
    return drawing


def _strip(drawing: Drawing, table: Table, row: Row, axis: Axis, y: float, right: float) -> None:
    median = row.median
    if not math.isnan(median.low):
        ends = [axis(value) if math.isfinite(value) else right for value in (median.low, median.high)]
        drawing.area([(ends[0], y - 9), (ends[1], y - 9), (ends[1], y + 9), (ends[0], y + 9)], "c0", 0.16)
    if math.isfinite(median.value):
        x = axis(median.value)
        drawing.line([(x, y - 11), (x, y + 11)], "ink", 2.4)
    crosses = 0
    for place, (seed, cost) in enumerate(row.costs.items()):
        if math.isfinite(cost):
            score = table.score(cost)
            shift = 3.5 * (place % 3 - 1)  # neighbouring dots do not hide each other
            drawing.dot(axis(score), y + shift, "c0", title=f"seed {seed}: {score_text(table, score)}")
        else:
            status = next((run.status for run in row.runs if run.trial.seed == seed), "failed")
            x = right + 34 + 12 * (crosses % 4)
            drawing.dot(x, y + 6 * (crosses // 4), "mark", cross=True, title=f"seed {seed}: {status}")
            crosses += 1


def budget(table: Table, searches: Sequence[SearchRow], width: float) -> Drawing:
    """Expected best of k trials against k, a line with its 95 % band for each cell."""
    drawn = [search for search in searches if any(math.isfinite(point.value) for point in search.expected)]
    columns = max(1, int(width // 190))
    legend = math.ceil(len(drawn) / columns) * 20
    top, plot = 32.0, 300.0 if width >= 500 else 240.0
    drawing = Drawing(width, top + plot + AXIS + legend + 6, f"Expected best of k trials: {_metric(table)}")
    if not drawn:
        drawing.label(14, 20, "no trial has a score", colour="pale")
        return drawing
    values = [point.value for search in drawn for point in search.expected if math.isfinite(point.value)]
    values += [end for search in drawn for point in search.expected[1:] for end in (point.low, point.high)]
    finite = [value for value in values if math.isfinite(value)]
    axis = Axis.around(finite, top + plot, top)
    left, right = 54.0, width - 14
    most = max(len(search.expected) for search in drawn)

    def x_of(k: int) -> float:
        return left + (right - left) * (math.log(k) / math.log(most) if most > 1 else 0.5)

    drawing.label(14, 12, f"expected best; {_metric(table)}", colour="pale", size=12)
    for value in axis.ticks(7):
        y = axis(value)
        drawing.line([(left, y), (right, y)], "rule")
        drawing.label(left - 8, y, _tick_text(table, value), colour="pale", anchor="end", size=12)
    for k in sorted({k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500) if k < 0.8 * most} | {most}):
        drawing.label(x_of(k), top + plot + 14, str(k), colour="pale", anchor="middle", size=12)
    for index, search in enumerate(drawn):
        colour, dash = SERIES[index % len(SERIES)], DASHES[index // len(SERIES) % len(DASHES)]
        points = [(x_of(k), point) for k, point in enumerate(search.expected, 1) if math.isfinite(point.value)]
        band = [(x, axis(point.low)) for x, point in points] + [(x, axis(point.high)) for x, point in reversed(points)]
        drawing.area(band, colour, 0.10)
        drawing.line([(x, axis(point.value)) for x, point in points], colour, 2, dash)
        x, y = 14 + index % columns * ((width - 14) / columns), top + plot + AXIS + 8 + index // columns * 20
        drawing.line([(x, y), (x + 22, y)], colour, 3, dash)
        drawing.label(x + 30, y, shortened(search.cell, int(150 / LETTER)), size=12)
    drawing.label(right, top + plot + 32, "number of trials k", colour="pale", anchor="end", size=12)
    return drawing


def _scale_below(drawing: Drawing, axis: Axis, table: Table, bottom: float, most: int) -> None:
    for value in axis.ticks(most):
        x = axis(value)
        drawing.line([(x, 6), (x, bottom)], "rule")
        drawing.label(x, bottom + 12, _tick_text(table, value), colour="pale", anchor="middle", size=12)


def _metric(table: Table) -> str:
    """In letters that every font has: 'FID, lower is better'."""
    return f"{title_of(table.metric, None)}, {'higher' if table.higher_is_better else 'lower'} is better"


def _tick_text(table: Table, value: float) -> str:
    if table.metric == "kid":
        value *= 1000
    return f"{value:.6g}"
