"""The charts of runs: statistics, scores with their floors, and schedules, against the images seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gankit.measure.record import Evaluation, Protocol
from gankit.measure.text import title_of
from gankit.page.axis import Axis
from gankit.page.drawing import DASHES, FONT, SERIES, Drawing, shortened
from gankit.settings.schedule import Schedule
from gankit.web.statistics import Curve, number

LEFT, RIGHT, TOP, PLOT, BELOW, LEGEND = 52.0, 12.0, 30.0, 150.0, 24.0, 18.0  # pixels around and within a chart
SMALL = 11
LETTER = 0.56 * FONT
WIDTH = 420.0
SCHEDULE_POINTS = 200


@dataclass(frozen=True)
class Series:
    """A named curve of a chart; `floor` is drawn as a dashed line in its colour."""

    name: str
    curve: Curve
    floor: float | None = None
    dots: bool = False


def chart(title: str, series: Sequence[Series], *, end: float | None = None, width: float = WIDTH) -> Drawing:
    """Curves with a band from the lowest to the highest value; `end` is the last number of images on the axis."""
    series = [one for one in series if one.curve.x]
    named = len(series) > 1
    columns = max(1, int((width - LEFT) // 170))
    rows = math.ceil(len(series) / columns) if named else 0
    height = TOP + PLOT + BELOW + rows * LEGEND + 4
    drawing = Drawing(width, height, title)
    drawing.label(4, 12, shortened(title, int(width / LETTER)))
    bottom = TOP + PLOT
    if not series:
        drawing.label(4, TOP + 16, "nothing yet", colour="pale")
        return drawing
    most = max(*(one.curve.x[-1] for one in series), end or 0.0)
    x_axis = Axis(0.0, most or 1.0, LEFT, width - RIGHT)
    y_axis = Axis.around(_range(series), bottom, TOP)
    drawing.scale = {"x": x_axis, "y": y_axis}
    for value in y_axis.ticks(5):
        drawing.line([(LEFT, y_axis(value)), (width - RIGHT, y_axis(value))], "rule")
        drawing.label(LEFT - 6, y_axis(value), short(value), colour="pale", anchor="end", size=SMALL)
    for value in x_axis.ticks(5):
        drawing.line([(x_axis(value), bottom), (x_axis(value), bottom + 4)], "rule")
        drawing.label(x_axis(value), bottom + 13, short(value), colour="pale", anchor="middle", size=SMALL)
    for index, one in enumerate(series):
        colour, dash = SERIES[index % len(SERIES)], DASHES[index // len(SERIES) % len(DASHES)]
        _draw(drawing, one, colour, dash)
        if named:
            x = LEFT + index % columns * (width - LEFT - RIGHT) / columns
            y = bottom + BELOW + 8 + index // columns * LEGEND
            drawing.line([(x, y), (x + 16, y)], colour, 3, dash)
            drawing.label(x + 22, y, shortened(one.name, 22), size=SMALL)
    return drawing


def _range(series: Sequence[Series]) -> list[float]:
    """The numbers that the axis shows: all means and floors, and bands as far as they are not much wider."""
    means = [value for one in series for value in one.curve.mean]
    low, high = min(means), max(means)
    room = (high - low) or abs(high) or 1.0
    ends = [value for one in series for value in (min(one.curve.low), max(one.curve.high))]
    floors = [one.floor for one in series if one.floor is not None]
    return [*means, *(min(max(value, low - room / 2), high + room / 2) for value in ends if low > 0 < value), *floors]


def _draw(drawing: Drawing, one: Series, colour: str, dash: tuple[float, ...]) -> None:
    x_axis, y_axis, curve = drawing.scale["x"], drawing.scale["y"], one.curve
    xs = [x_axis(value) for value in curve.x]
    if any(low < high for low, high in zip(curve.low, curve.high, strict=True)):
        upper = [(x, y_axis(value)) for x, value in zip(xs, curve.high, strict=True)]
        lower = [(x, y_axis(value)) for x, value in zip(xs, curve.low, strict=True)]
        drawing.area([*upper, *reversed(lower)], colour, 0.15)
    if one.floor is not None:
        y = y_axis(one.floor)
        drawing.line([(x_axis.start, y), (x_axis.end, y)], colour, 1.2, (4, 3))
    points = [(x, y_axis(value)) for x, value in zip(xs, curve.mean, strict=True)]
    drawing.line(points, colour, 1.6, dash, title=one.name)
    if one.dots or len(points) == 1:
        for (x, y), value in zip(points, curve.mean, strict=True):
            drawing.dot(x, y, colour, radius=3, title=f"{one.name}: {short(value)}")


def score_charts(evaluations: Sequence[Evaluation], end: float | None) -> list[Drawing]:
    """A chart for each score that was computed during training; lines join what one protocol makes comparable."""
    found: dict[str, dict[str, list[tuple[float, float, float | None]]]] = {}
    better: dict[str, bool | None] = {}
    for evaluation in evaluations:
        if evaluation.images_seen is None:
            continue
        for name, score in evaluation.scores.items():
            if math.isfinite(score.value):
                points = found.setdefault(name, {}).setdefault(protocol_text(evaluation.protocol), [])
                points.append((float(evaluation.images_seen), score.value, score.floor))
                better[name] = score.higher_is_better
    drawings = []
    for name, by_protocol in found.items():
        series = []
        for words, unsorted in by_protocol.items():
            points = sorted(unsorted, key=lambda point: point[0])
            values = [value for _, value, _ in points]
            curve = Curve([x for x, _, _ in points], values, values, values)
            floor = points[-1][2]
            series.append(Series(words, curve, number(floor), dots=True))
        dashed = "; dashed: real data" if any(one.floor is not None for one in series) else ""
        drawings.append(chart(f"{title_of(name, better[name])}{dashed}", series, end=end))
    return drawings


def schedule_chart(name: str, schedule: Schedule, total: int | None, images: int) -> Drawing:
    """A schedule over the whole budget, with a dot where the run is."""
    last = max([total or 0, images, 1, *(round(point.images(total)) for point in schedule.points)])
    xs = [last * i / SCHEDULE_POINTS for i in range(SCHEDULE_POINTS + 1)]
    ys = [schedule.at(x, total) for x in xs]
    drawing = chart(name, [Series(name, Curve(xs, ys, ys, ys))], end=last)
    now = schedule.at(images, total)
    x, y = drawing.scale["x"](images), drawing.scale["y"](now)
    drawing.dot(x, y, "mark", title=f"now: {short(now)}")
    return drawing


def protocol_text(protocol: Protocol) -> str:
    """'200 samples, classifier': what a protocol is in a few words."""
    seed = f", seed {protocol.seed}" if protocol.seed else ""
    return f"{protocol.n:,} samples, {protocol.features}, {protocol.split}{seed}"


def short(value: float) -> str:
    """12000 -> '12k', 0.0002 -> '2e-04'."""
    size = abs(value)
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{value / unit:.4g}{letter}" if size < 1e12 else f"{value:.1e}"
    return f"{value:.4g}" if size >= 1e-3 or not size else f"{value:.2g}"
