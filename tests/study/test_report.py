"""`gankit study report`: one page that needs nothing else and lets nothing in, and its figures."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import gankit
from support_study import finish, plan, write_study

import gankit as package
from gankit.page.axis import log_ticks, ticks
from gankit.study import journal
from gankit.study.charts import strips
from gankit.study.report import write_report
from gankit.study.table import read_table

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">'


VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """The elements of a page, and that they are closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report_of(folder: Path) -> str:
    (page, *_) = write_report(read_table(folder), folder / "report.html")
    return page.read_text()


def test_the_report_is_one_page_and_pictures_beside_it(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"a": [1.0, 1.2, 1.4], "b": [2.0, 2.2, "diverged"]})
    trial = next(trial for trial in study.grid_trials() if trial.cell == "a" and trial.seed == 1)
    package.train("gan", data="digits", steps=2, batch=4, out=tmp_path / "s" / "trials" / trial.id)
    done = gankit("study", "report", "s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = [tmp_path / line for line in done.stdout.splitlines()]
    assert [path.name for path in written] == ["report.html", "report-strips.png", "report-samples-a.png"]
    for path in written[1:]:
        with Image.open(path) as image:
            assert min(image.size) > 50
    page = Page(written[0].read_text())
    images = [attributes for tag, attributes in page.found if tag == "img"]
    assert [image["alt"] for image in images] == ["median: seed 1, FID ↓ 1.200"]
    text = written[0].read_text()
    assert "its run folder is gone" in text  # the worst seed of a
    assert "it went wrong" in text  # the message of the run that diverged
    assert "gankit study run" in text
    assert "torch 2.13.0 (6 trials)" in text


def test_nothing_is_fetched_and_no_script_runs(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a": [1.0, 2.0]}, {"a": [2.0, 1.0, "failed"]})
    page = Page(report_of(tmp_path / "s"))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.found}
    for _, attributes in page.found:
        for name in ("src", "href", "xlink:href"):
            assert str(attributes.get(name, "data:")).startswith("data:")
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in report_of(tmp_path / "s")


def test_text_from_files_stays_text(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a": [1.0, 2.0], "b": [3.0]}, title=HOSTILE)
    file = tmp_path / "s" / journal.FILE
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        if "trial" in line:
            line["trial"]["cell"] = line["trial"]["cell"] + HOSTILE
            line["trial"]["settings"]["data"] = HOSTILE
        line |= {"machine": HOSTILE, "versions": {HOSTILE: HOSTILE}, "status": "ok"} if "protocol" in line else {}
    lines[-1] |= {"status": "failed", "message": HOSTILE, "scores": {}}
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    written = write_report(read_table(tmp_path / "s"), tmp_path / "s" / "report.html")
    page = Page(written[0].read_text())
    assert not {"script", "img"} & {tag for tag, _ in page.found}
    assert "&lt;script&gt;" in written[0].read_text()
    assert all(path.parent == tmp_path / "s" for path in written)


def test_a_trial_outside_of_the_study_is_not_read(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"a": [1.0]})
    package.train("gan", data="digits", steps=1, batch=4, out=tmp_path / "elsewhere")
    trial = study.grid_trials()[0]
    outside = type(trial)(**{**trial.to_json(), "id": "../../elsewhere", "seed": 5})
    (tmp_path / "s" / journal.FILE).unlink()
    finish(tmp_path / "s" / journal.FILE, outside, 1.0)
    assert "<img" not in report_of(tmp_path / "s")


def test_failed_runs_have_a_place_in_the_figure(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a": [1.0, 2.0, "failed"], "b": ["failed", "failed", "failed"]})
    table = read_table(tmp_path / "s")
    drawing = strips(table, table.rows, 800)
    assert drawing.svg().count("<circle") == 2
    assert drawing.svg().count("seed 0: failed") == 1
    assert np.asarray(drawing.image()).std() > 0
    write_study(tmp_path / "none", {"a": ["failed"]}, {"a": ["failed", "failed"]})
    assert "no run has a score" in report_of(tmp_path / "none")
    assert "no trial has a score" in report_of(tmp_path / "none")


def test_searches_have_their_budget_curves(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {}, {"a": [3.0, 1.0, "failed"], "b": [30.0, 20.0, 10.0]})
    plan(tmp_path / "s" / journal.FILE, read_table(tmp_path / "s").searches[0].trials[0].trial)
    text = report_of(tmp_path / "s")
    assert "number of trials k" in text
    assert "A trial without a score counts as the worst one of the study, 30.0" in text
    assert not re.search(r"\b(nan|inf)\b", text)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.0, 10.0, [0, 2, 4, 6, 8, 10]), (1.02, 1.31, [1.05, 1.1, 1.15, 1.2, 1.25, 1.3])]
)
def test_axes_have_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_logarithmic_axes_too() -> None:
    assert log_ticks(0.9, 110) == [1, 2, 5, 10, 20, 50, 100]
    assert log_ticks(0.5, 1e6) == [1, 10, 100, 1e3, 1e4, 1e5, 1e6]
