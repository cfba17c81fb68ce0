"""The report of a run: one HTML file with its curves, scores and pictures, for people without gankit."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from PIL import Image

from gankit import __version__
from gankit.base.files import write_durably
from gankit.errors import InputError
from gankit.page.html import data_uri, page, text
from gankit.store.run_folder import RunFolder
from gankit.web import sections
from gankit.web.charts import Series, chart
from gankit.web.watched import WatchedRun

FRAMES = 24  # sample grids at most
BYTES = 6 << 20  # of pictures at most, before base64 makes four of three
SIDE = 1_000  # pixels of a picture at most
MOST_PIXELS = 64 << 20  # of a picture that is read
POINTS = 300  # of a curve


def write_report(run: Path, page_file: Path) -> None:
    """Write the report of a run; InputError for another folder, ResourceError where the file cannot be written."""
    if not RunFolder(run).exists:
        raise InputError(f"{run} is not the folder of a run", hint="it holds no run.json")
    watched = WatchedRun(run, str(run))
    watched.refresh()
    write_durably(page_file, html(watched).encode("utf-8", "backslashreplace"))


def html(run: WatchedRun) -> str:
    """The page; its one script moves through the pictures and tells the numbers under the pointer."""
    progress = run.progress()
    name = Path(run.name).absolute().name

    def box(title: str, names: Sequence[str]) -> str:
        series = [Series(one.rpartition("/")[2], run.statistics.curve(one, POINTS)) for one in names]
        return f"<figure>{chart(title, series, end=progress.total).svg()}</figure>"

    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [
        f"<h1>{text(name)}</h1>",
        sections.summary(run, progress),
        sections.section("Pictures through time", _pictures(run)),
        sections.section("Curves", sections.curves(run, box)),
        sections.section("Scores", sections.scores(run, progress)),
        sections.section("Schedules", sections.schedules(run, progress)),
        sections.section("Warnings", sections.health(run)),
        sections.section("How to repeat it", sections.settings(run)),
        sections.section("Environment", sections.environment(run)),
        sections.section("Log", f"<details><summary>The last lines</summary>{sections.log(run)}</details>"),
        f"<p class=pale>Written by gankit {text(__version__)} on {now}. Images are counted as shown to D.</p>",
    ]
    return page(name, parts, style=static("ui.css"), script=static("frames.js") + static("hover.js"))


def static(name: str) -> str:
    """A file of gankit/web/static."""
    return (resources.files("gankit.web") / "static" / name).read_text("utf-8")


def _pictures(run: WatchedRun) -> str:
    """Sample grids as one figure with a slider; without scripts they stand one below the other."""
    chosen: list[tuple[int, bytes]] = []
    numbers, room = run.pictures(), BYTES
    for images in reversed(_thinned(numbers, FRAMES)):  # the last ones matter most
        data = run.picture(images)
        if data is not None and (small := _smaller(data)) is not None and len(small) <= room:
            room -= len(small)
            chosen.insert(0, (images, small))
    if not chosen:
        return "<p class=pale>No pictures.</p>"
    frames = [(f"{images:,} images", data) for images, data in chosen]
    shown = "".join(f'<img alt="{text(said)}" src="{data_uri(data)}">' for said, data in frames)
    real, beside = _smaller(run.picture(None) or b""), ""
    if real is not None and len(real) <= room:
        beside = (
            f'<figure><img alt="real samples" src="{data_uri(real)}"><figcaption>real samples</figcaption></figure>'
        )
    said = f"{len(chosen)} of {len(numbers)} pictures" if len(chosen) < len(numbers) else ""
    return (
        f"<div class=pair><figure data-frames>{shown}<figcaption>{text(frames[-1][0])}</figcaption></figure>"
        f"{beside}</div><p class=pale>{said}</p>"
    )


def _thinned(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly from the first to the last."""
    if len(numbers) > most:
        numbers = [numbers[round(i * (len(numbers) - 1) / (most - 1))] for i in range(most)]
    return list(numbers)


def _smaller(png: bytes) -> bytes | None:
    """A picture of at most SIDE pixels as a PNG file; None where it is none."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            image.load()
            if max(image.size) <= SIDE:
                return png
            image.thumbnail((SIDE, SIDE))
            shown = image.convert("L" if image.mode in ("1", "L") else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    return buffer.getvalue()
