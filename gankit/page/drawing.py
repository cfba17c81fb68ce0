"""Line drawings that become SVG in a page, whose colours follow its theme, or a PNG file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from itertools import pairwise
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from gankit.base.text import printable
from gankit.page.axis import Axis

LIGHT = {
    "ink": "#1d232b",
    "pale": "#66707c",
    "rule": "#d5dae0",
    "paper": "#ffffff",
    "mark": "#b3261e",
    # Okabe and Ito's colours for colour-blind readers, without the yellow that is unreadable on white
    "c0": "#0072b2",
    "c1": "#d55e00",
    "c2": "#009e73",
    "c3": "#cc79a7",
    "c4": "#56b4e9",
    "c5": "#b8860b",
    "c6": "#6a3d9a",
    "c7": "#7f7f7f",
}
DARK = LIGHT | {
    "ink": "#e6e9ed",
    "pale": "#9aa4b0",
    "rule": "#39414b",
    "paper": "#14181d",
    "mark": "#ff8a80",
    "c0": "#4aa8e0",
    "c2": "#2fc29a",
    "c5": "#e0b040",
    "c6": "#b08fe0",
    "c7": "#a8a8a8",
}
SERIES = tuple(name for name in LIGHT if name[1:].isdigit())
DASHES: tuple[tuple[float, ...], ...] = ((), (6, 3), (2, 2))  # for series beyond the colours

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]
SCALE = 3  # pixels of a PNG for each unit, before it is reduced to two
FONT = 13


@dataclass(frozen=True)
class Path:
    """A line through points, or with `opacity` a filled polygon; a line with a title is a series of a chart."""

    points: tuple[Point, ...]
    colour: str
    width: float = 1.0
    dash: tuple[float, ...] = ()
    opacity: float | None = None
    title: str = ""


@dataclass(frozen=True)
class Dot:
    """A filled circle, or a cross for a failed run."""

    x: float
    y: float
    radius: float
    colour: str
    cross: bool = False
    title: str = ""


@dataclass(frozen=True)
class Label:
    """Text whose middle line is at y."""

    x: float
    y: float
    text: str
    colour: str = "ink"
    anchor: Anchor = "start"
    size: float = FONT


@dataclass
class Drawing:
    """Shapes on a canvas, in units of a pixel of a page."""

    width: float
    height: float
    title: str
    shapes: list[Path | Dot | Label] = field(default_factory=list)
    scale: dict[str, Axis] = field(default_factory=dict)
    """The axes x and y, from which a script of the page tells the numbers under the pointer."""

    def line(
        self,
        points: Iterable[Point],
        colour: str,
        width: float = 1.0,
        dash: tuple[float, ...] = (),
        title: str = "",
    ) -> None:
        """A line through points."""
        self.shapes.append(Path(tuple(points), colour, width, dash, title=title))

    def area(self, points: Iterable[Point], colour: str, opacity: float) -> None:
        """A filled polygon."""
        self.shapes.append(Path(tuple(points), colour, opacity=opacity))

    def dot(self, x: float, y: float, colour: str, *, radius: float = 4, cross: bool = False, title: str = "") -> None:
        """A run: a circle, or a cross where it failed; `title` is shown when the mouse is over it."""
        self.shapes.append(Dot(x, y, radius, colour, cross, title))

    def label(
        self, x: float, y: float, text: str, *, colour: str = "ink", anchor: Anchor = "start", size: float = FONT
    ) -> None:
        """A line of text."""
        self.shapes.append(Label(x, y, printable(text), colour, anchor, size))

    def svg(self, *, standalone: bool = False) -> str:
        """An <svg> element, or a file of one; its colours are the classes fill-ink, line-c0, … of the page."""
        inside = "".join(map(_svg_of, self.shapes))
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" height="{self.height:g}"'
        scale = "".join(f' data-{name}="{_text(json.dumps(asdict(axis)))}"' for name, axis in self.scale.items())
        space = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
        return f'<svg role="img"{space} {size}{scale}><title>{_text(self.title)}</title>{inside}</svg>'

    def image(self) -> Image.Image:
        """The drawing in light colours, two pixels for each unit."""
        size = (math.ceil(self.width * SCALE), math.ceil(self.height * SCALE))
        canvas = Image.new("RGB", size, LIGHT["paper"])
        for shape in self.shapes:
            _paint(canvas, shape)
        return canvas.resize((math.ceil(self.width * 2), math.ceil(self.height * 2)), Image.Resampling.LANCZOS)


def shortened(text: str, most: int) -> str:
    """Text of at most so many characters, with the middle left out."""
    clean = printable(text)
    return clean if len(clean) <= most else f"{clean[: most // 2]}…{clean[-(most - most // 2 - 1) :]}"


# -- SVG ---------------------------------------------------------------------------------------------------------------


def _text(text: str) -> str:
    return escape(printable(text))


def _svg_of(shape: Path | Dot | Label) -> str:
    fill, line = f'class="fill-{shape.colour}"', f'class="line-{shape.colour}"'
    if isinstance(shape, Label):
        return (
            f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" dy=".35em" text-anchor="{shape.anchor}" '
            f'font-size="{shape.size:g}" {fill}>{_text(shape.text)}</text>'
        )
    if isinstance(shape, Dot):
        title = f"<title>{_text(shape.title)}</title>" if shape.title else ""
        if shape.cross:
            lines = " ".join(f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}" for a, b in _cross(shape))
            return f'<path d="{lines}" fill="none" stroke-width="2" {line}>{title}</path>'
        place = f'cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius:g}"'
        return f'<circle {place} fill-opacity=".75" {fill}>{title}</circle>'
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    if shape.opacity is not None:
        return f'<polygon points="{points}" fill-opacity="{shape.opacity:g}" {fill}/>'
    dash = f' stroke-dasharray="{" ".join(map(str, shape.dash))}"' if shape.dash else ""
    series = f' data-series="{_text(shape.title)}"' if shape.title else ""
    return (
        f'<polyline points="{points}" fill="none" stroke-width="{shape.width:g}"{dash} '
        f'stroke-linejoin="round" {line}{series}/>'
    )


def _cross(dot: Dot) -> list[tuple[Point, Point]]:
    x, y, r = dot.x, dot.y, dot.radius
    return [((x - r, y - r), (x + r, y + r)), ((x - r, y + r), (x + r, y - r))]


# -- PNG ---------------------------------------------------------------------------------------------------------------


def _paint(canvas: Image.Image, shape: Path | Dot | Label) -> None:
    draw, colour = ImageDraw.Draw(canvas, "RGBA"), LIGHT[shape.colour]
    if isinstance(shape, Label):
        font = ImageFont.load_default(size=shape.size * SCALE)
        anchor = {"start": "lm", "middle": "mm", "end": "rm"}[shape.anchor]
        draw.text((shape.x * SCALE, shape.y * SCALE), shape.text, fill=colour, font=font, anchor=anchor)
    elif isinstance(shape, Dot) and shape.cross:
        for ends in _cross(shape):
            draw.line(_scaled(ends), fill=colour, width=2 * SCALE)
    elif isinstance(shape, Dot):
        x, y, r = (value * SCALE for value in (shape.x, shape.y, shape.radius))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour + "bf")
    elif shape.opacity is not None:
        draw.polygon(_scaled(shape.points), fill=f"{colour}{round(255 * shape.opacity):02x}")
    else:
        for piece in _dashed(shape.points, shape.dash):
            draw.line(_scaled(piece), fill=colour, width=max(1, round(shape.width * SCALE)), joint="curve")


def _scaled(points: Iterable[Point]) -> list[Point]:
    return [(x * SCALE, y * SCALE) for x, y in points]


def _dashed(points: Sequence[Point], dash: tuple[float, ...]) -> list[tuple[Point, ...]]:
    """The drawn pieces of a line through points."""
    if not dash:
        return [tuple(points)]
    on, off = dash
    pieces, travelled = [], 0.0
    for (x1, y1), (x2, y2) in pairwise(points):
        length = math.hypot(x2 - x1, y2 - y1)
        start = -(travelled % (on + off))
        while start < length:
            a, b = max(0.0, start), min(length, start + on)
            if b > a:
                at = [(x1 + (x2 - x1) * t / length, y1 + (y2 - y1) * t / length) for t in (a, b)]
                pieces.append(tuple(at))
            start += on + off
        travelled += length
    return pieces
