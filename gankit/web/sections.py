"""What there is to say about a run, as pieces of HTML that the live page and the report share. All text is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

from gankit.measure.record import Evaluation
from gankit.measure.text import text_of, title_of
from gankit.page.html import lines, listing, table_of, text
from gankit.settings.option import to_json
from gankit.web.charts import protocol_text, schedule_chart, score_charts
from gankit.web.statistics import title_of_group
from gankit.web.watched import Progress, WatchedRun

CHARTS = 40  # at most, of one run
SERIES = 12  # at most, in one chart
SCHEDULED = ("lr", "beta1", "beta2", "ema_halflife")  # statistics that are drawn as schedules
LATEST_SCORES = 50  # evaluations in the table
STATES = {"diverged", "failed", "interrupted"}  # that are marked

Box = Callable[[str, Sequence[str]], str]
"""(title, names of statistics) -> the chart of them as HTML."""


def summary(run: WatchedRun, progress: Progress) -> str:
    """What was trained, and how far."""
    said = [f"{run.variant} on {run.data}", state_words(progress)]
    shape = run.identity.get("data", {})
    shape = shape.get("shape") if isinstance(shape, dict) else None
    facts = [
        ("images", f"{progress.images:,}" + (f" of {progress.total:,}" if progress.total else "")),
        ("speed", f"{progress.images_per_s:,.0f} images/s" if progress.images_per_s is not None else "–"),
        ("trained for", clock(progress.seconds)),
        ("left", clock(progress.left_s) if progress.left_s is not None else "–"),
        ("shape", "x".join(map(str, shape)) if isinstance(shape, list) else "–"),
        ("last sign of life", progress.updated.replace("T", " ").replace("+00:00", " UTC") or "–"),
    ]
    bar = "" if progress.share is None else f'<progress max="1" value="{progress.share:.4f}"></progress>'
    kind = "bad" if progress.state in STATES else "pale"
    reason = f"<p class={kind}>{text(progress.reason)}</p>" if progress.reason else ""
    terms = "".join(f"<div><dt>{text(term)}</dt><dd>{text(value)}</dd></div>" for term, value in facts)
    return f"<p>{text(said[0])}: {badge(progress)}</p>{bar}{reason}<dl class=facts>{terms}</dl>"


def badge(progress: Progress) -> str:
    """The state as a coloured word."""
    kind = "bad" if progress.state in STATES else "good" if progress.state == "running" else "plain"
    return f'<span class="badge {kind}">{text(progress.state)}</span>'


def state_words(progress: Progress) -> str:
    """'running, 40 %'."""
    return progress.state if progress.share is None else f"{progress.state}, {progress.share:.0%}"


def curves(run: WatchedRun, box: Box) -> str:
    """A chart for each group of statistics, in the order of their names; D's and G's first."""
    groups = {g: names for g, names in run.statistics.groups().items() if g not in SCHEDULED}
    order = sorted(groups, key=lambda group: (("d", "g", "score", "probability", "grad", "diversity").index(group), "")
        if group in ("d", "g", "score", "probability", "grad", "diversity") else (9, group))  # fmt: skip
    boxes = [box(title_of_group(group), groups[group][:SERIES]) for group in order[:CHARTS]]
    left_out = f"<p class=pale>{len(order) - CHARTS:,} more are not drawn.</p>" if len(order) > CHARTS else ""
    return f"<div class=charts>{''.join(boxes)}</div>{left_out}" if boxes else "<p class=pale>No statistics yet.</p>"


def schedules(run: WatchedRun, progress: Progress) -> str:
    """A chart for each setting that follows a schedule; nothing where none does."""
    found = run.schedules
    drawn = "".join(
        f"<figure>{schedule_chart(name, schedule, progress.total, progress.images).svg()}"
        f"<figcaption>{text(str(schedule))}</figcaption></figure>"
        for name, schedule in found.items()
    )
    return f"<div class=charts>{drawn}</div>" if found else ""


def scores(run: WatchedRun, progress: Progress) -> str:
    """Charts and a table of the scores with their floors and protocols."""
    evaluations = run.scores
    if not evaluations:
        problems = listing(run.problems)
        return problems or f"<p class=pale>No scores. After training: <code>gankit eval {text(run.where())}</code></p>"
    drawn = "".join(f"<figure>{drawing.svg()}</figure>" for drawing in score_charts(evaluations, progress.total))
    said = listing([*evaluations[-1].findings(), *run.problems])
    last = evaluations[-1]
    images = "" if last.images_seen is None else f"after {last.images_seen:,} images: "
    table = f"<p>{text(images + protocol_text(last.protocol))}</p>" + _score_table([last], several=False)
    if len(evaluations) > 1:
        table += folded("Earlier scores", _score_table(evaluations[-2 : -LATEST_SCORES - 2 : -1]))
    protocol = [[name, _value(value)] for name, value in to_json(evaluations[-1].protocol).items()]
    whole = folded("Protocol of the last scores", table_of(["field", "value"], protocol, words=(0, 1)))
    return f"<div class=charts>{drawn}</div>{said}{table}{whole}"


def _score_table(evaluations: Sequence[Evaluation], *, several: bool = True) -> str:
    rows = []
    for evaluation in evaluations:
        images = "–" if evaluation.images_seen is None else f"{evaluation.images_seen:,}"
        about = [images, protocol_text(evaluation.protocol)] if several else []
        for name, score in evaluation.scores.items():
            floor = text_of(name, score.floor, score.floor_spread) or "–"
            value = text_of(name, score.value, score.spread)
            rows.append([title_of(name, score.higher_is_better), value, floor, *about])
    head = ["score", "value", "floor: real data", *(["images", "protocol"] if several else [])]
    return table_of(head, rows, words=(0, 4))


def health(run: WatchedRun) -> str:
    """Signs of trouble that hold now, and the warnings of the log."""
    found = run.findings()
    signs = "".join(
        f"<li><strong>{text(one.kind)}</strong> since {one.since:,} images: {text(one.figure)}; "
        f"try {text(one.advice)}</li>"
        for one in found
    )
    now = f"<ul class=bad>{signs}</ul>" if signs else "<p>Nothing conspicuous in the statistics.</p>"
    warned = f"<pre>{lines(run.warnings)}</pre>" if run.warnings else ""
    return now + warned


def log(run: WatchedRun) -> str:
    """The end of the log."""
    return f"<pre class=log>{lines(run.log)}</pre>" if run.log else "<p class=pale>No log.</p>"


def settings(run: WatchedRun) -> str:
    """Settings that are not defaults, and the command."""
    rows = [[name, _value(value)] for name, value in run.settings.items()]
    command = f"<pre>{text(run.command)}</pre>" if run.command else ""
    return command + (table_of(["setting", "value"], rows, words=(0, 1)) if rows else "<p class=pale>All defaults.</p>")


def environment(run: WatchedRun) -> str:
    """Versions and machine."""
    found = run.environment
    rows = [[key, _value(value)] for key, value in found.items() if key != "packages"]
    packages = found.get("packages")
    rows += [[name, _value(version)] for name, version in packages.items()] if isinstance(packages, dict) else []
    identity = run.identity
    plugins = identity.get("plugins")
    for plugin in plugins if isinstance(plugins, list) else []:
        if isinstance(plugin, dict):
            rows.append([f"{plugin.get('kind')} {plugin.get('name')}", _value(plugin.get("origin"))])
    data = identity.get("data")
    if isinstance(data, dict):
        rows.append(["fingerprint of the data", _value(data.get("fingerprint"))])
    return table_of(["", ""], rows, words=(0, 1)) if rows else "<p class=pale>Not recorded.</p>"


def section(title: str, body: str, *, name: str = "") -> str:
    """A headed section; nothing for an empty one. `name` lets a script replace its body."""
    if not body:
        return ""
    live = f' data-part="{text(name)}"' if name else ""
    return f"<section><h2>{text(title)}</h2><div{live}>{body}</div></section>"


def folded(summary: str, body: str) -> str:
    """What is shown when it is asked for."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def clock(seconds: float) -> str:
    """75 -> '1 min 15 s', 90000 -> '25 h 0 min'."""
    if not math.isfinite(seconds) or seconds > 1e9:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
