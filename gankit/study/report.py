"""The report of a study: one HTML page that needs no other file and no script, and its figures as PNG files."""

from __future__ import annotations

import io
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from gankit import __version__
from gankit.base import progress
from gankit.base.files import write_durably
from gankit.base.text import plural
from gankit.page.drawing import Drawing
from gankit.page.html import data_uri, figure, lines, listing, table_of, text
from gankit.page.html import page as html_page
from gankit.sample.pictures import png
from gankit.study import journal
from gankit.study.charts import budget, strips
from gankit.study.export import body, headings
from gankit.study.findings import (
    difference_of,
    estimate_text,
    findings,
    how_tested,
    metric_title,
    score_text,
    searched,
)
from gankit.study.journal import Result
from gankit.study.samples import Picture, pictures_of
from gankit.study.table import SearchRow, Table
from gankit.study.tables import flat

WIDE, NARROW = 900, 360  # pixels of a figure on a screen and on a phone
MOST_SAMPLES = 40  # cells whose samples are drawn
BUDGETS = (1, 5, 10, 20, 50, 100)


def write_report(table: Table, page: Path) -> list[Path]:
    """Write the page, and beside it its figures as <page>-strips.png, <page>-budget.png and <page>-samples-<cell>.png.

    Returns the paths, the page first. ResourceError where one cannot be written.
    """
    figures: dict[str, Drawing] = {}
    pictures: dict[str, list[Picture]] = {}
    for data in table.data_sets:
        word = f"-{data}" if len(table.data_sets) > 1 else ""
        if rows := table.rows_of(data):
            figures[f"strips{word}"] = strips(table, rows, WIDE)
        if found := _searches_of(table, data):
            figures[f"budget{word}"] = budget(table, found, WIDE)
    shown = table.rows[:MOST_SAMPLES]
    for number, row in enumerate(shown, 1):
        pictures[row.cell] = pictures_of(table, row)
        progress.tell("samples", number, len(shown))
    written = [page]
    write_durably(page, html(table, pictures).encode("utf-8", "backslashreplace"))
    images = {name: figure.image() for name, figure in figures.items()}
    images |= {f"samples-{cell}": _beside(found) for cell, found in pictures.items() if any(p.image for p in found)}
    for name, image in images.items():
        path = page.with_name(f"{page.stem}-{re.sub(r'[^A-Za-z0-9._=,+-]+', '-', name)[:100]}.png")
        write_durably(path, png(image))
        written.append(path)
    return written


def html(table: Table, pictures: dict[str, list[Picture]]) -> str:
    """The page. All text from files is escaped; nothing is fetched and no script runs."""
    title = table.definition.title or table.folder.name
    parts = [f"<h1>{text(title)}</h1>", f"<p class=pale>{text(_summary(table))}</p>"]
    if table.rows:
        parts += ["<h2>Findings</h2>", listing(findings(table)), f"<p class=pale>{text(how_tested(table))}</p>"]
        parts.append("<h2>Seeds</h2>")
        for data in table.data_sets:
            if rows := table.rows_of(data):
                parts += [_data_title(table, data), figure(*(strips(table, rows, width) for width in (WIDE, NARROW)))]
        parts += [table_of(headings(table), body(table)), _all_pairs(table)]
    if table.searches:
        parts += ["<h2>Searches</h2>", *_searches(table)]
    if pictures:
        parts += ["<h2>Samples of the median and the worst seed</h2>", *_samples(table, pictures)]
    parts += [*_failures(table), "<h2>How it was made</h2>", *_made(table)]
    return html_page(title, parts)


def _summary(table: Table) -> str:
    score = table.definition.score
    seconds = sum(record.get(key) or 0.0 for record in table.records for key in ("train_s", "score_s", "overhead_s"))
    running = f", {table.running:,} running" if table.running else ""
    return (
        f"{table.finished:,} of {plural(table.planned, 'planned trial')} finished{running}; {_hours(seconds)} of "
        f"computing. {metric_title(table)} of {score.n:,} samples against the split {score.split}; the best is chosen "
        f"by evaluation seed {score.choose_seed} and reported by seed {score.report_seed}."
    )


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 5400 else f"{seconds / 60:,.0f} min"


# -- sections ----------------------------------------------------------------------------------------------------------


def _all_pairs(table: Table) -> str:
    if not table.comparisons:
        return ""
    title = metric_title(table)
    head = ["a", "b", "P(a is better), 95 %", f"{title}: a - b", "seeds of both", "p", "p, Holm", "verdict"]
    rows = []
    for pair in table.comparisons:
        chance = pair.improvement
        rows.append(
            [
                pair.a,
                pair.b,
                f"{chance.value:.2f} ({chance.low:.2f} to {chance.high:.2f})",
                estimate_text(table, difference_of(table, pair)),
                str(pair.seeds or "unpaired"),
                f"{pair.p:.4f}",
                f"{pair.p_holm:.4f}",
                "no difference shown" if pair.winner is None else f"{pair.winner} is better",
            ]
        )
    return (
        f"<details><summary>All {plural(len(rows), 'pair')}</summary>{table_of(head, rows, words=(0, 1, 7))}</details>"
    )


def _searches_of(table: Table, data: str) -> list[SearchRow]:
    return [search for search in table.searches if search.data == data]


def _searches(table: Table) -> Iterable[str]:
    for data in table.data_sets:
        found = _searches_of(table, data)
        if not found:
            continue
        yield _data_title(table, data)
        yield figure(*(budget(table, found, width) for width in (WIDE, NARROW)))
        most = max(len(search.expected) for search in found)
        budgets = sorted({k for k in BUDGETS if k < most} | {most})
        rows = []
        for search in found:
            curve = [search.expected[k - 1] if k <= len(search.expected) else None for k in budgets]
            rows.append([search.cell, *("" if point is None else estimate_text(table, point) for point in curve)])
        yield table_of(["expected best of", *(f"k = {k}" for k in budgets)], rows)
        yield listing([searched(table, search) for search in found])
    worst = {score_text(table, search.failed_as) for search in table.searches if search.failed_as is not None}
    failed = f" A trial without a score counts as the worst one of the study, {' or '.join(worst)}." if worst else ""
    yield (
        f"<p class=pale>Expected best of k of the trials, drawn without replacement; bands are 95 % of 5,000 resamples."
        f"{text(failed)} The scores are those by which the best was chosen, which flatters it; its score on fresh "
        f"seeds and other samples does not.</p>"
    )


def _data_title(table: Table, data: str) -> str:
    return f"<h3>{text(data)}</h3>" if len(table.data_sets) > 1 else ""


def _samples(table: Table, pictures: dict[str, list[Picture]]) -> Iterable[str]:
    for cell, found in pictures.items():
        figures = []
        for picture in found:
            run = picture.run
            score = table.score_of(run)
            said = run.status if score is None else f"{metric_title(table)} {score_text(table, score)}"
            caption = text(f"{picture.what}: seed {run.trial.seed}, {said}")
            if picture.image is None:
                shown = f"<div class=missing>{text(picture.problem)}</div>"
            else:
                shown = f'<img alt="{caption}" src="{data_uri(_smallest(picture.image))}">'
            figures.append(f"<figure>{shown}<figcaption>{caption}</figcaption></figure>")
        yield f"<h3>{text(cell)}</h3><div class=pair>{''.join(figures)}</div>"
    if len(table.rows) > MOST_SAMPLES:
        yield f"<p class=pale>The samples of {len(table.rows) - MOST_SAMPLES:,} further cells are not shown.</p>"


def _failures(table: Table) -> Iterable[str]:
    runs = [run for row in table.rows for run in (*row.runs, *row.omitted)]
    runs += [trial for search in table.searches for trial in search.trials]
    failed = [run for run in runs if run.status != "ok"]
    yield "<h2>Failures</h2>"
    if not failed:
        yield f"<p>None of {plural(len(runs), 'trial')}.</p>"
        return
    counts = Counter((run.trial.cell, run.status) for run in failed)
    yield listing([f"{cell}: {count:,} {status}" for (cell, status), count in counts.items()])
    rows = [[run.trial.id, run.status, run.message, _setting_words(run)] for run in failed]
    shown = table_of(["trial", "status", "message", "settings"], rows, words=(0, 1, 2, 3))
    yield f"<details><summary>Messages of {plural(len(failed), 'failure')}</summary>{shown}</details>"


def _setting_words(run: Result) -> str:
    return ", ".join(f"{key}={value}" for key, value in flat(run.trial.settings).items() if key != "seed")


def _made(table: Table) -> Iterable[str]:
    folder = shlex.quote(str(table.folder))
    file = shlex.quote(str(table.folder / "study.toml"))
    flag = " --omit-outliers" if table.omit_outliers else ""
    commands = [f"gankit study run {file} -o {folder}", f"gankit study report {folder}{flag}"]
    yield f"<pre>{lines(commands)}</pre>"
    ends = list(journal.finished(table.records).values())
    versions = Counter(" ".join(f"{k} {v}" for k, v in (end.get("versions") or {}).items()) for end in ends)
    machines = Counter(str(end.get("machine") or "") for end in ends)
    for what, counts in (("versions", versions), ("machines", machines)):
        named = [f"{name} ({plural(count, 'trial')})" for name, count in counts.items() if name]
        yield f"<p>{what}: {text('; '.join(named) or 'not recorded')}</p>"
    protocols = {row.data: run.protocol for row in table.rows for run in row.runs if run.protocol}
    for data, protocol in protocols.items():
        rows = [[key, str(value)] for key, value in protocol.items()]
        about = f"Protocol of the scores on {data}"
        yield f"<details><summary>{text(about)}</summary>{table_of(['field', 'value'], rows, words=(0, 1))}</details>"
    toml = lines(table.definition.to_toml().splitlines())
    yield f"<details><summary>study.toml</summary><pre>{toml}</pre></details>"
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield f"<p class=pale>Written by gankit {__version__} on {now}.</p>"


# -- pictures ---------------------------------------------------------------------------------------------------------


def _smallest(image: Image.Image) -> bytes:
    """PNG bytes; with a palette where no colour is lost."""
    colours = image.getcolors(256)
    if colours is None:
        return png(image)
    buffer = io.BytesIO()
    image.quantize(256).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _beside(pictures: Sequence[Picture]) -> Image.Image:
    """The pictures of a cell on one white sheet, from the left to the right."""
    images = [picture.image for picture in pictures if picture.image is not None]
    gap = 16
    size = (sum(image.width for image in images) + gap * (len(images) - 1), max(image.height for image in images))
    sheet, x = Image.new("RGB", size, "white"), 0
    for image in images:
        sheet.paste(image, (x, 0))
        x += image.width + gap
    return sheet
