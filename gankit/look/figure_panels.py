"""Draws figures: a panel for each moment, in rows or as the frames of a film."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gankit.base.text import printable
from gankit.look.figure import Figure, Moment
from gankit.sample.montage import PALE, animated, stack

SCALE = 2  # factor by which everything is drawn larger and then reduced, for smooth lines
WIDTH, PLOT, ARROWS, TITLE, LEGEND, PAD = 260, 190, 64, 54, 28, 14  # pixels of a panel
COLUMNS = 3  # panels in each row of the figure of one training
REAL, FAKE, CRITIC, INK = "#222222", "#d64541", "#2e6fb5", "#222222"
DASH = 9  # places of the grid in a dash and its gap
MIN_DENSITY = 0.01  # share of the highest density below which D* is not drawn
MAP = ((146.0, 182.0, 222.0), (255.0, 255.0, 255.0), (248.0, 190.0, 120.0))  # colours of low, middle and high scores
LEFT_OUT = 0.005  # share of samples beyond an edge from which it is said
MARGIN = 1.12  # height of the plot over the height of the tallest curve


def strip(figures: Sequence[Figure]) -> Image.Image:
    """All moments and the legend: a row for each figure, or of a single one three moments in each row."""
    rows = [[panel(figure, moment) for moment in figure.moments] for figure in figures]
    if len(rows) == 1:
        rows = [rows[0][start : start + COLUMNS] for start in range(0, len(rows[0]), COLUMNS)]
    sheet = stack([beside(row) for row in rows])
    return stack([sheet, legend(figures, sheet.width)])


def beside(panels: Sequence[Image.Image]) -> Image.Image:
    """Panels of one height in a row."""
    row = Image.new("RGB", (sum(image.width for image in panels), panels[0].height), "white")
    for index, image in enumerate(panels):
        row.paste(image, (index * panels[0].width, 0))
    return row


def film(figures: Sequence[Figure], suffix: str, fps: int = 5) -> bytes:
    """An endless animated WebP or GIF with one frame per moment, the figures side by side; the last one stays 2 s."""
    frames = []
    for index in range(max(len(figure.moments) for figure in figures)):
        panels = [panel(figure, figure.moments[min(index, len(figure.moments) - 1)]) for figure in figures]
        row = beside(panels)
        frames.append(stack([row, legend(figures, row.width)]))
    durations = [1000 // fps] * (len(frames) - 1) + [2000]
    return animated(frames, suffix, durations)


def panel(figure: Figure, moment: Moment) -> Image.Image:
    """One moment below the name of what is trained."""
    arrows = ARROWS if any(m.arrows for m in figure.moments) else 0
    size = ((WIDTH + 2 * PAD) * SCALE, (TITLE + (PLOT if figure.dim == 1 else WIDTH) + arrows + PAD) * SCALE)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    middle = size[0] // 2
    _centred(draw, middle, 5 * SCALE, figure.title, 13, INK)
    when = "before training" if moment.images_seen == 0 else f"{moment.images_seen:,} samples"
    facts = " · ".join([when, *_facts(figure, moment)])
    _centred(draw, middle, 22 * SCALE, facts, 11, "#555555")
    if figure.dim == 1:
        _curves(draw, figure, moment)
    else:
        _surface(image, draw, figure, moment)
    return image.reduce(SCALE)


def _facts(figure: Figure, moment: Moment) -> list[str]:
    numbers = figure.numbers(moment)
    if figure.dim == 2:
        return [f"{numbers['modes']} of {numbers['of']} modes", f"{100 * numbers['high_quality']:.0f} % sharp"]
    return [f"W1 {numbers['w1']:.2f}", *([f"|D - D*| {numbers['d_error']:.2f}"] if "d_error" in numbers else [])]


def _centred(draw: ImageDraw.ImageDraw, x: float, y: float, text: str, size: int, colour: str) -> None:
    """Text around x, shortened to the width of a panel."""
    text, font = printable(text), ImageFont.load_default(size=size * SCALE)
    if draw.textlength(text, font=font) > WIDTH * SCALE:
        while draw.textlength(text + "…", font=font) > WIDTH * SCALE:
            text = text[:-1]
        text += "…"
    draw.text((x, y), text, fill=colour, font=font, anchor="mt")


def _curves(draw: ImageDraw.ImageDraw, figure: Figure, moment: Moment) -> None:
    """Densities on a common scale that fits the truth, D(x) from 0 to 1 (or over its own range), arrows below."""
    places = figure.places
    assert moment.density is not None
    real, fake = figure.truth.density(places), moment.density
    tallest = MARGIN * float(real.max()) * 1.25
    low, high = float(places[0, 0]), float(places[-1, 0])
    left, top, bottom = PAD * SCALE, TITLE * SCALE, (TITLE + PLOT) * SCALE

    def across(x: Tensor) -> Tensor:
        return left + (x - low) / (high - low) * WIDTH * SCALE

    def points_of(values: Tensor) -> list[tuple[float, float]]:
        heights = bottom - values.clamp(0, 1) * (bottom - top)
        return list(zip(across(places[:, 0]).tolist(), heights.tolist(), strict=True))

    def line(values: Tensor, color: str) -> None:
        draw.line(points_of(values), fill=color, width=2 * SCALE)

    def dashes(values: Tensor, where: Tensor, color: str) -> None:
        points = points_of(values)
        for start in range(0, len(points) - 1, DASH):
            if bool(where[start : start + DASH].all()):
                draw.line(points[start : start + DASH * 2 // 3], fill=color, width=SCALE)

    draw.line((left, bottom, left + WIDTH * SCALE, bottom), fill=PALE, width=SCALE)
    curve, ticks = _on_unit_scale(figure, moment)
    font = ImageFont.load_default(size=9 * SCALE)
    for text, share in ticks:
        y = bottom - share * (bottom - top)
        draw.line((left, y, left + WIDTH * SCALE, y), fill="#eeeeee", width=SCALE)
        draw.text((left + 2 * SCALE, y - 1 * SCALE), text, fill=CRITIC, font=font, anchor="lb")
    if figure.meaning == "logits":
        dense = real + fake > MIN_DENSITY * real.max()  # elsewhere D* is noise
        dashes(figure.optimum(moment), dense, CRITIC)
    line(curve, CRITIC)
    line(fake / tallest, FAKE)
    line(real / tallest, REAL)
    if float(fake.max()) > tallest:
        peak = float(across(places[int(fake.argmax()), 0]))
        _leaves_at_the_top(draw, peak, top, f"to {float(fake.max()):.1f}")
    for side, share in zip((left, left + WIDTH * SCALE), figure.outside(moment), strict=True):
        if share >= LEFT_OUT:
            _leaves_at_a_side(draw, side, bottom, f"{100 * share:.0f} % outside", leftwards=side == left)
    if moment.arrows is not None:
        _arrows(draw, moment.arrows, across, bottom)
    else:
        for value in range(math.ceil(low), math.floor(high) + 1):
            draw.text((float(across(torch.tensor(value))), bottom + 2), str(value), fill=PALE, font=font, anchor="mt")


def _on_unit_scale(figure: Figure, moment: Moment) -> tuple[Tensor, list[tuple[str, float]]]:
    """D at the places, scaled to 0..1, and the labels of its axis: (text, height)."""
    if figure.meaning == "logits":
        return torch.sigmoid(moment.scores), [("D = 0", 0.0), ("1/2", 0.5), ("1", 1.0)]
    low, high = float(moment.scores.min()), float(moment.scores.max())
    name = "error" if figure.meaning == "error" else "D"
    share = (moment.scores - low) / max(high - low, 1e-9)
    digits = next((n for n in range(3, 9) if f"{low:.{n}g}" != f"{high:.{n}g}"), 9)
    return 0.05 + 0.9 * share, [(f"{name} = {low:.{digits}g}", 0.05), (f"{high:.{digits}g}", 0.95)]


def _leaves_at_the_top(draw: ImageDraw.ImageDraw, x: float, top: int, text: str) -> None:
    """A mark above a curve that is higher than the panel, and how high it is."""
    tip = top - 9 * SCALE
    draw.polygon([(x, tip), (x - 4 * SCALE, tip + 6 * SCALE), (x + 4 * SCALE, tip + 6 * SCALE)], fill=FAKE)
    right = x < (PAD + 0.8 * WIDTH) * SCALE
    _note(draw, (x + (7 if right else -7) * SCALE, tip + 4 * SCALE), text, "lm" if right else "rm")


def _leaves_at_a_side(draw: ImageDraw.ImageDraw, x: float, bottom: int, text: str, *, leftwards: bool) -> None:
    """A mark at the edge beyond which samples lie, and the share of them."""
    y, inwards = bottom - 28 * SCALE, SCALE if leftwards else -SCALE
    draw.polygon([(x, y), (x + 7 * inwards, y - 4 * SCALE), (x + 7 * inwards, y + 4 * SCALE)], fill=FAKE)
    _note(draw, (x + 10 * inwards, y), text, "lm" if leftwards else "rm")


def _note(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, anchor: str) -> None:
    """Text about the generator on white, because curves and points lie around it."""
    font = ImageFont.load_default(size=10 * SCALE)
    draw.rectangle(draw.textbbox(at, text, font=font, anchor=anchor), fill="white")
    draw.text(at, text, fill=FAKE, font=font, anchor=anchor)


def _arrows(
    draw: ImageDraw.ImageDraw, arrows: tuple[Tensor, Tensor], across: Callable[[Tensor], Tensor], bottom: int
) -> None:
    """Arrows from equally likely z on the lower line to x = G(z) on the upper one."""
    z, x = arrows
    ground = bottom + (ARROWS - 12) * SCALE
    left = PAD * SCALE
    draw.line((left, ground, left + WIDTH * SCALE, ground), fill=PALE, width=SCALE)
    span = float(z.abs().max()) * 1.1
    starts = left + (z + span) / (2 * span) * WIDTH * SCALE
    ends = across(x).clamp(left, left + WIDTH * SCALE)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        draw.line((start, ground, end, bottom + 3 * SCALE), fill=FAKE, width=1 * SCALE)
        _head(draw, (start, ground), (end, bottom + 3 * SCALE))
    font = ImageFont.load_default(size=11 * SCALE)
    draw.text((left - 4 * SCALE, ground), "z", fill=INK, font=font, anchor="rm")
    draw.text((left - 4 * SCALE, bottom), "x", fill=INK, font=font, anchor="rm")


def _head(draw: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float]) -> None:
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    wings = [(end[0] - 6 * SCALE * math.cos(angle + d), end[1] - 6 * SCALE * math.sin(angle + d)) for d in (0.4, -0.4)]
    draw.polygon([end, *wings], fill=FAKE)


def _surface(image: Image.Image, draw: ImageDraw.ImageDraw, figure: Figure, moment: Moment) -> None:
    """D as a map from blue (low) over white to orange (high), real points dark, fake ones red."""
    values, _ = _on_unit_scale(figure, moment)
    side = math.isqrt(len(values))
    share = values.reshape(side, side).flip(0)[..., None]  # the first row of an image is its top
    cold, white, warm = (torch.tensor(color) for color in MAP)
    colors = torch.where(share < 0.5, torch.lerp(cold, white, 2 * share), torch.lerp(white, warm, 2 * share - 1))
    heat = Image.fromarray(colors.clamp(0, 255).to(torch.uint8).numpy())
    area = WIDTH * SCALE
    image.paste(heat.resize((area, area), Image.Resampling.BILINEAR), (PAD * SCALE, TITLE * SCALE))
    low, high = figure.places[0], figure.places[-1]
    rng = torch.Generator().manual_seed(0)
    picks = torch.randint(len(figure.truth.centres), (600,), generator=rng)
    noise = torch.randn(600, 2, generator=rng) * figure.truth.sigma
    real = torch.from_numpy(figure.truth.centres)[picks].float() + noise
    for points, color, radius in ((real, REAL, 2.5), (moment.samples[:1200], FAKE, 1.6)):
        _dots(draw, (points - low) / (high - low), color, radius)
    _, outside = figure.outside(moment)
    if outside >= LEFT_OUT:
        _note(draw, ((PAD + 4) * SCALE, (TITLE + WIDTH - 4) * SCALE), f"{100 * outside:.0f} % outside", "lb")


def _dots(draw: ImageDraw.ImageDraw, share: Tensor, color: str, radius: float) -> None:
    """Draw points [n, 2] in 0..1 of the square; those outside are not drawn."""
    inside = share[((share >= 0) & (share <= 1)).all(1)]
    r = radius * SCALE
    for x, y in inside.tolist():
        at_x, at_y = (PAD + x * WIDTH) * SCALE, (TITLE + (1 - y) * WIDTH) * SCALE
        draw.ellipse((at_x - r, at_y - r, at_x + r, at_y + r), fill=color)


def legend(figures: Sequence[Figure], width: int) -> Image.Image:
    """The legend of the colours, in as many lines as the width needs."""
    entries: Sequence[tuple[str, str]]
    first, meanings = figures[0], {figure.meaning for figure in figures}
    critic = "reconstruction error of D" if meanings == {"error"} else "D(x)"
    if first.dim == 1:
        tallest = float(first.truth.density(first.places).max())
        entries = [(f"real density, to {tallest:.1f}", REAL), ("generator", FAKE), (critic, CRITIC)]
        entries = [*entries, ("best D* (dashed)", CRITIC)] if "logits" in meanings else entries
    else:
        entries = [("real", REAL), ("generator", FAKE), (f"{critic}: blue low, orange high", "#f8be78")]
    font, room = ImageFont.load_default(size=11 * SCALE), (width - 2 * PAD) * SCALE
    lines: list[list[tuple[str, str, float]]] = [[]]
    for text, color in entries:
        span = font.getlength(text) + 34 * SCALE
        if sum(part[2] for part in lines[-1]) + span > room + 13 * SCALE:
            lines.append([])
        lines[-1].append((text, color, span))
    image = Image.new("RGB", (width * SCALE, (LEGEND + 18 * (len(lines) - 1)) * SCALE), "white")
    draw = ImageDraw.Draw(image)
    for index, line in enumerate(lines):
        x, y = (width * SCALE - sum(part[2] for part in line)) / 2 + 6 * SCALE, (LEGEND // 2 + 18 * index) * SCALE
        for text, color, span in line:
            draw.line((x, y, x + 16 * SCALE, y), fill=color, width=(1 if "dashed" in text else 3) * SCALE)
            draw.text((x + 21 * SCALE, y), text, fill=INK, font=font, anchor="lm")
            x += span
    return image.reduce(SCALE)
