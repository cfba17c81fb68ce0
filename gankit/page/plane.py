"""Eigenvalues in the complex plane."""

from __future__ import annotations

from collections.abc import Sequence

from gankit.page.axis import Axis
from gankit.page.drawing import Drawing

WIDTH, HEIGHT = 520.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 14.0, 30.0, 46.0  # margins


def plane(values: Sequence[complex], unsettled: Sequence[complex], title: str) -> Drawing:
    """Dots at `values`, in another colour where the real part is positive, and pale crosses at `unsettled`."""
    drawing = Drawing(WIDTH, HEIGHT, title)
    drawing.label(LEFT, TOP / 2, title)
    both = [*values, *unsettled, 0j]
    across = Axis.around([value.real for value in both], LEFT, WIDTH - RIGHT)
    highest = max(abs(value.imag) for value in both) or 0.5 * max(map(abs, both)) or 1.0
    up = Axis.around([-highest, highest], HEIGHT - BOTTOM, TOP)
    drawing.line([(across(0), TOP), (across(0), HEIGHT - BOTTOM)], "rule")
    drawing.line([(LEFT, up(0)), (WIDTH - RIGHT, up(0))], "rule")
    for tick in across.ticks():
        drawing.label(across(tick), HEIGHT - BOTTOM + 12, f"{tick:.4g}", colour="pale", anchor="middle", size=12)
    for tick in up.ticks():
        drawing.label(LEFT - 8, up(tick), f"{tick:.4g}i", colour="pale", anchor="end", size=12)
    note = "left of 0: settles; right of 0: grows; the height: turns"
    drawing.label(WIDTH - RIGHT, HEIGHT - 12, note, colour="pale", anchor="end", size=12)
    for value in unsettled:
        drawing.dot(across(value.real), up(value.imag), "pale", cross=True, title=f"{value:.3g}, not settled")
    for value in values:
        drawing.dot(across(value.real), up(value.imag), "c1" if value.real > 0 else "c0", title=f"{value:.3g}")
    return drawing
