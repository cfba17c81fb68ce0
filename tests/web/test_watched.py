"""Runs read from files that grow, are cut short, damaged, replaced or gone."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from support_web import XSS, grid, line, write_json, write_run

from gankit.web.report import html
from gankit.web.statistics import Statistics
from gankit.web.watched import WatchedRun


def watched(path: Path) -> WatchedRun:
    run = WatchedRun(path, "run")
    run.refresh()
    return run


def test_only_what_was_appended_is_read(tmp_path: Path) -> None:
    run = watched(write_run(tmp_path / "run", lines=3))
    before = run.version()
    with (tmp_path / "run" / "stats.jsonl").open("a") as file:
        whole = line(4)
        file.write(whole[:20])
        file.flush()
        run.refresh()
        assert len(run.statistics) == 3  # half of a line waits for the other half
        file.write(whole[20:])
    run.refresh()
    assert list(run.statistics.images) == [2_000, 4_000, 6_000, 8_000]
    assert run.version() != before


def test_a_resumed_run_that_drops_lines_is_read_anew(tmp_path: Path) -> None:
    run = watched(write_run(tmp_path / "run", lines=5))
    shorter = tmp_path / "shorter"
    shorter.write_text(line(1) + line(2))
    os.replace(shorter, tmp_path / "run" / "stats.jsonl")
    run.refresh()
    assert list(run.statistics.images) == [2_000, 4_000]


@pytest.mark.parametrize(
    "bad",
    [
        '{"images_seen": NaN, "d/real": 1}',
        '{"images_seen": "many", "d/real": 1}',
        '{"images_seen": 1e999, "d/real": 1}',
        f'{{"images_seen": {10**400}}}',
        "[" * 100_000,
        "\x00\xff not JSON",
        "[1, 2]",
        "",
    ],
)
def test_a_line_that_is_no_statistic_is_left_out(bad: str, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", lines=2)
    with (path / "stats.jsonl").open("a", encoding="latin-1") as file:
        file.write(bad + "\n" + line(3))
    assert list(watched(path).statistics.images) == [2_000, 4_000, 6_000]


def test_numbers_that_are_not_finite_are_gaps() -> None:
    statistics = Statistics()
    for images, value in ((1, 1.0), (2, math.nan), (3, math.inf), (4, 3.0), (5, 10**400)):
        statistics.add({"images_seen": images, "x": value})
    curve = statistics.curve("x", 100)
    assert (curve.x, curve.mean) == ([1, 4], [1, 3])
    json.dumps(curve.__dict__, allow_nan=False)


def test_a_curve_of_few_points_keeps_the_highest_and_the_lowest_value() -> None:
    statistics = Statistics()
    for i in range(10_000):
        statistics.add({"images_seen": i, "x": 500.0 if i == 7_777 else -500.0 if i == 3_333 else math.sin(i / 500)})
    curve = statistics.curve("x", 300)
    assert len(curve.x) == 300
    assert (max(curve.high), min(curve.low)) == (500, -500)
    assert all(low <= mean <= high for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True))


def test_smoothing_follows_the_values_and_begins_at_the_first() -> None:
    statistics = Statistics()
    for i in range(200):
        statistics.add({"images_seen": i, "x": 1.0 + i % 2})
    rough, smooth = (statistics.curve("x", 500, weight).mean for weight in (0.0, 0.9))
    assert smooth[0] == rough[0] == 1
    assert max(smooth[100:]) - min(smooth[100:]) < 0.1
    assert 1.4 < smooth[-1] < 1.6


def test_a_file_of_many_statistics_and_long_names_stays_small() -> None:
    statistics = Statistics()
    for i in range(10):
        statistics.add({"images_seen": i, "y" * 1_000: 1.0, **{f"k{j}": 1.0 for j in range(1_000)}})
    assert len(statistics.columns) == 200
    assert max(map(len, statistics.columns)) <= 80


def test_the_state_of_a_run_whose_process_is_gone_is_interrupted(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", lines=2)
    here = {"host": os.uname().nodename, "images_seen": 4_000}
    write_json(path / "status.json", {"state": "running", "pid": os.getpid(), **here})
    progress = watched(path).progress()
    assert (progress.state, progress.total) == ("running", 20_000)
    assert progress.left_s == pytest.approx(16_000 / 200)
    write_json(path / "status.json", {"state": "running", "pid": 2**31 - 1, **here})
    assert watched(path).progress().state == "interrupted"


DAMAGE = ["run.json", "config.json", "environment.json", "status.json", "stats.jsonl", "metrics.jsonl", "log.txt"]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"[]", b'{"config": 3, "data": 7, "state": NaN', b"{}\n" * 3]
)
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_a_gap(name: str, content: bytes, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run")
    (path / name).write_bytes(content)
    assert "</html>" in html(watched(path))


@pytest.mark.parametrize("name", DAMAGE)
def test_pipes_and_links_to_other_files_are_not_read(name: str, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run")
    secret = tmp_path / "secret"
    secret.write_text('{"state": "SECRET", "variant": "SECRET"}\nSECRET\n')
    for make in (lambda file: file.symlink_to(secret), os.mkfifo):
        (path / name).unlink(missing_ok=True)
        make(path / name)
        assert "SECRET" not in html(watched(path))


def test_a_run_that_vanishes_is_empty(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run")
    run = watched(path)
    path.rename(tmp_path / "elsewhere")
    run.refresh()
    assert len(run.statistics) == 0
    assert run.pictures() == []
    assert run.progress().state == "created"


def test_names_with_markup_stay_text(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", variant=XSS, data=XSS, statistics={XSS[:60]: 1.0, f"{XSS[:40]}/{XSS[:20]}": 2.0})
    for name in ("status.json", "environment.json"):
        write_json(path / name, {"state": XSS, "reason": XSS, "updated_utc": XSS, XSS: XSS, "packages": {XSS: XSS}})
    (path / "log.txt").write_text(f"2026-01-01 00:00:00,000 WARNING {XSS}\n{XSS}\n")
    (path / "command.txt").write_text(f"gankit train {XSS}\n")
    (path / "metrics.jsonl").write_text(json.dumps({"schema": 1, XSS: XSS}) + "\n")
    page = html(watched(path))
    assert "&lt;script&gt;fetch" in page
    assert "<script>fetch" not in page
    assert "<img src=x" not in page
    assert page.count("<script>") == 1


def test_only_png_files_with_a_number_are_pictures(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run")
    secret = tmp_path / "secret.png"
    grid(path, 4_000)
    (path / "samples" / "000004000.png").rename(secret)
    (path / "samples" / "000006000.png").symlink_to(secret)
    (path / "samples" / "000008000.png").write_text("<html>")
    run = watched(path)
    assert run.picture(2_000) is not None
    assert [run.picture(images) for images in (4_000, 6_000, 8_000)] == [None, None, None]
