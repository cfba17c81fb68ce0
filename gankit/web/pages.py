"""The pages of `gankit ui` about runs, as HTML: all of them, one, several in one chart; and what all pages share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from gankit.base.text import plural
from gankit.page.html import text
from gankit.web import sections
from gankit.web.shelf import GeneratorEntry, Shelf, StudyEntry
from gankit.web.statistics import title_of_group
from gankit.web.watched import WatchedRun

MOST_OVERLAID = 100  # runs in one chart
KEYS_OVERLAID = 60  # charts


def page(title: str, body: str, *, live: str = "", scripts: Sequence[str] = (), where: str = "") -> str:
    """A whole page; `live` is the address that its parts are asked of again and again."""
    links = (("/", "Runs"), ("/explore", "Explore"), ("/compare", "Compare"), ("/studies", "Studies"))
    menu = "".join(
        f'<a href="{address}"{" aria-current=page" if name == where else ""}>{name}</a>' for address, name in links
    )
    loaded = "".join(f'<script src="/static/{name}.js" defer></script>' for name in ("page", *scripts))
    attribute = f' data-live="{text(live)}"' if live else ""
    return f"""<!doctype html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content="width=device-width,initial-scale=1">
<title>{text(title)} · gankit</title>
<link rel=icon href="data:,">
<link rel=stylesheet href="/static/page.css">
<link rel=stylesheet href="/static/ui.css">
{loaded}
</head>
<body{attribute}>
<header><strong>gankit</strong><nav aria-label=Pages>{menu}</nav></header>
<main>
<p id=notice role=status hidden></p>
{body}
</main>
</body>
</html>
"""


# -- runs --------------------------------------------------------------------------------------------------------------


def runs_page(shelf: Shelf) -> str:
    """All runs, as a table that follows them."""
    where = ", ".join(str(path) for path in shelf.paths)
    body = f"""<h1>Runs</h1>
<p class=pale>below {text(where)}</p>
<form action="/overlay">
<p class=tools><label>Find <input type=search data-filter="tbody tr" autocomplete=off></label>
<button>Overlay the chosen runs</button></p>
<div data-part=runs>{runs_table(shelf.runs())}</div>
</form>"""
    return page("Runs", body, scripts=("live",), live="/parts/runs", where="Runs")


def runs_table(runs: Sequence[WatchedRun]) -> str:
    """A row for each run: running ones first, then the newest."""
    if not runs:
        return "<p>No runs yet. One that begins appears here by itself: <code>gankit train</code></p>"
    shown = [(run, run.progress()) for run in runs]
    shown.sort(key=lambda pair: pair[1].updated, reverse=True)
    shown.sort(key=lambda pair: pair[1].state != "running")
    rows = []
    for run, progress in shown:
        images = f"{progress.images:,}" + (f" / {progress.total:,}" if progress.total else "")
        speed = "–" if progress.images_per_s is None else f"{progress.images_per_s:,.0f}/s"
        left = "–" if progress.left_s is None else sections.clock(progress.left_s)
        rows.append(
            f'<tr><td><input type=checkbox name=run value="{run.id}" aria-label="choose {text(run.name)}"></td>'
            f'<td class=word><a href="/run/{run.id}">{text(run.name)}</a></td>'
            f"<td class=word>{sections.badge(progress)}</td><td class=word>{text(run.variant)}</td>"
            f"<td class=word>{text(run.data)}</td><td>{images}</td><td>{speed}</td><td>{left}</td></tr>"
        )
    head = "<th></th>" + "".join(
        f"<th{' class=word' if i < 4 else ''}>{name}</th>"
        for i, name in enumerate(("run", "state", "variant", "data", "images", "speed", "left"))
    )
    return (
        f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"<p class=pale>{plural(len(rows), 'run')}</p>"
    )


def box(runs: Sequence[WatchedRun], title: str, names: Sequence[str]) -> str:
    """The place of a chart, which a script fills when it is seen."""
    query = urlencode([("title", title), *(("run", run.id) for run in runs), *(("key", name) for name in names)])
    return f'<figure class=chart data-chart="{text(query)}"><p class=pale>{text(title)}</p></figure>'


SMOOTHING = (
    "<p class=tools><label>Smoothing <input type=range id=smoothing min=0 max=0.98 step=0.02 value=0></label></p>"
)


# -- one run -----------------------------------------------------------------------------------------------------------


def run_page(run: WatchedRun, files: Sequence[GeneratorEntry]) -> str:
    """Everything about one run."""
    parts = run_parts(run)
    explore = " · ".join(f'<a href="/explore/{e.id}">{text(e.name.rpartition(": ")[2])}</a>' for e in files[:6])
    commands = [f"gankit resume {run.where()}", f"gankit sample {run.where()}", f"gankit report {run.where()}"]
    body = f"""<h1>{text(Path(run.name).name)}</h1>
<div data-part=summary>{parts["summary"]}</div>
<form method=post action="/run/{run.id}/stop" data-confirm="Let the run finish its step, save its state and end?">
<p class=tools data-part=buttons>{parts["buttons"]}</p></form>
<p class=tools>{f"Explore: {explore}" if explore else ""}</p>
{sections.section("Pictures through time", parts["pictures"], name="pictures")}
<section><h2>Curves</h2>{SMOOTHING}<div data-part=curves>{parts["curves"]}</div></section>
{sections.section("Scores", parts["scores"], name="scores")}
{sections.section("Schedules", parts["schedules"], name="schedules")}
{sections.section("Warnings", parts["health"], name="health")}
{sections.section("Settings", sections.settings(run))}
{sections.section("Environment", sections.folded("Versions and machine", sections.environment(run)))}
{sections.section("Log", parts["log"], name="log")}
{sections.section("Commands", "".join(copied(command) for command in commands))}"""
    scripts = ("live", "charts", "hover", "frames")
    return page(Path(run.name).name, body, live=f"/parts/run/{run.id}", scripts=scripts, where="Runs")


def run_parts(run: WatchedRun) -> dict[str, str]:
    """The parts of a run's page that change while it goes on."""
    progress = run.progress()
    return {
        "summary": sections.summary(run, progress),
        "buttons": "<button>Stop, and save</button>" if progress.state == "running" else "",
        "pictures": pictures(run),
        "scores": sections.scores(run, progress),
        "curves": sections.curves(run, lambda title, names: box([run], title, names)),
        "schedules": sections.schedules(run, progress),
        "health": sections.health(run),
        "log": sections.log(run),
    }


def pictures(run: WatchedRun) -> str:
    """Sample grids with a slider, which a script makes; only the one that is seen is loaded."""
    numbers = run.pictures()
    if not numbers:
        return "<p class=pale>No pictures yet.</p>"
    shown = "".join(
        f'<img loading=lazy alt="{images:,} images" src="/run/{run.id}/samples/{images}.png">' for images in numbers
    )
    beside = ""
    if (run.folder.samples / "real.png").is_file():
        real = f'<img alt="real samples" src="/run/{run.id}/samples/real.png">'
        beside = f"<figure>{real}<figcaption>real samples</figcaption></figure>"
    frames = f"<figure data-frames>{shown}<figcaption>{numbers[-1]:,} images</figcaption></figure>"
    return f"<div class=pair>{frames}{beside}</div>"


# -- several runs ------------------------------------------------------------------------------------------------------


def overlay_page(runs: Sequence[WatchedRun]) -> str:
    """A chart for each statistic, with a line for each run."""
    runs = runs[:MOST_OVERLAID]
    names: dict[str, None] = {}
    for run in runs:
        names |= dict.fromkeys(sorted(run.names()))
    keys = [name for name in names if name.partition("/")[0] not in sections.SCHEDULED][:KEYS_OVERLAID]
    boxes = "".join(box(runs, _title_of(key), [key]) for key in keys)
    query = urlencode([("run", run.id) for run in runs])
    listed = "".join(f'<li><a href="/run/{run.id}">{text(run.name)}</a></li>' for run in runs)
    body = f"""<h1>{plural(len(runs), "run")} in one chart</h1>
{SMOOTHING}
<div class=charts>{boxes or "<p>No run is chosen, or none has statistics: choose runs in the list.</p>"}</div>
<details><summary>The runs</summary><ul>{listed}</ul></details>"""
    return page("Overlay", body, scripts=("live", "charts", "hover"), live=f"/parts/overlay?{query}", where="Runs")


def _title_of(key: str) -> str:
    group, _, rest = key.partition("/")
    return f"{title_of_group(group)}: {rest}" if rest else title_of_group(group)


# -- small pieces ------------------------------------------------------------------------------------------------------


def studies_list(studies: Sequence[StudyEntry]) -> str:
    """The studies, each with its report."""
    listed = "".join(f'<li><a href="/study/{s.id}">{text(s.name)}</a></li>' for s in studies)
    nothing = "<p>No studies here: <code>gankit study run</code> makes one.</p>"
    return page("Studies", f"<h1>Studies</h1>{f'<ul>{listed}</ul>' if listed else nothing}", where="Studies")


def error_page(message: str, hint: str | None) -> str:
    """What is wrong, and what to do."""
    return page("Not shown", f"<h1>Not shown</h1><p class=bad>{text(message)}</p><p>{text(hint or '')}</p>")


def copied(command: str, *, name: str = "") -> str:
    """A command line with a button that copies it."""
    return (
        f'<p class=command><code data-command="{text(name)}">{text(command)}</code> '
        f"<button type=button data-copy>Copy</button></p>"
    )
