"""The pages in a real browser: they draw, follow, obey the keyboard, fit a phone, and ask nothing of other machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import gankit
from support_browser import CHROMIUM, Page, browser
from support_web import XSS, Site, grid, line, site, write_json, write_run

import gankit as api

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: put `chromium` on PATH, or its path in CHROMIUM")

SHOWN = "document.querySelector('[data-frames] img.shown')"
EVERYTHING_IS_WITHIN = "document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    write_run(folder / "runs" / "one", lines=40)
    hostile = write_run(folder / "runs" / "x<img src=x onerror=alert(1)>", variant=XSS, data=XSS)
    (hostile / "log.txt").write_text(f"2026-01-01 00:00:00,000 WARNING {XSS}\n")
    (hostile / "stats.jsonl").write_text(line(1, {XSS[:60]: 1.0}) + line(2, {XSS[:60]: 2.0}))
    write_json(hostile / "status.json", {"state": XSS, "reason": XSS})
    small = {"images": 128, "batch": 16, "z_dim": 8, "device": "cpu"}
    api.train("cgan", out=folder / "runs" / "real", eval_every=64, eval_n=50, **small)  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def ui(place: Path) -> Iterator[Site]:
    with site(cwd=place) as running:
        yield running


@pytest.fixture
def page(tmp_path: Path, ui: Site) -> Iterator[Page]:
    """A window in which the printed address was opened; afterwards nobody has complained, nor asked elsewhere."""
    with browser(tmp_path / "profile") as window:
        window.size(1280, 900)
        window.open(ui.address)
        assert "token" not in window.run("location.href")
        yield window
        asked = [
            url for url in window.requested() if not url.startswith((f"{ui.origin}/", f"blob:{ui.origin}/", "data:"))
        ]
        assert asked == []
        assert window.complaints() == []


def open_run(page: Page, name: str) -> None:
    page.run(f"[...document.querySelectorAll('td a')].find(a => a.textContent.includes({name!r})).click()")
    page.until("document.querySelector('[data-part=curves]') && document.readyState === 'complete'")
    page.run("document.querySelector('[data-part=curves]').scrollIntoView()")  # charts are drawn when they are seen


def test_a_run_is_drawn_and_its_slider_moves_the_picture(page: Page) -> None:
    open_run(page, "runs/one")
    page.until("document.querySelectorAll('svg [data-series]').length >= 4")
    page.until(f"{SHOWN} && {SHOWN}.naturalWidth")
    before = page.run(f"{SHOWN}.src")
    page.run("document.querySelector('[data-frames] input').focus()")
    page.press("ArrowLeft", "ArrowLeft", 37)
    page.until(f"{SHOWN}.src !== {before!r}")
    assert page.run("document.querySelector('[data-frames] figcaption').textContent") == "0 images"


def test_smoothing_draws_other_curves(page: Page) -> None:
    open_run(page, "runs/one")
    line_of = "document.querySelector('svg [data-series]').getAttribute('points')"
    page.until("document.querySelector('svg [data-series]')")
    before = page.run(line_of)
    page.run("document.getElementById('smoothing').focus()")
    for _ in range(5):
        page.press("ArrowRight", "ArrowRight", 39)
    page.until(f"{line_of} !== {before!r}")


def test_the_numbers_under_the_pointer_are_those_of_the_curve(page: Page) -> None:
    open_run(page, "runs/one")
    page.until("document.querySelector('svg [data-series]')")
    page.run("document.querySelector('svg[data-x]').scrollIntoView({block: 'center'})")
    box = page.run(
        "(() => { const b = document.querySelector('svg[data-x]').getBoundingClientRect(); return [b.right, b.top + b.height / 2]; })()"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] - 14, y=box[1])
    page.until("!document.getElementById('tip').hidden")
    images, *numbers = page.run("document.getElementById('tip').textContent").splitlines()
    assert images == "80,000 images"
    assert [float(number.split()[1]) for number in numbers] == pytest.approx([2 / 40, 1 / 40], rel=0.02)


def test_a_run_that_grows_is_seen_within_three_seconds_and_what_was_opened_stays_open(page: Page, place: Path) -> None:
    open_run(page, "runs/one")
    page.until("document.querySelectorAll('svg [data-series]').length >= 4")
    page.run("document.querySelector('details').open = true")
    with (place / "runs" / "one" / "stats.jsonl").open("a") as file:
        file.write(line(41))
    grid(place / "runs" / "one", 82_000)
    started = time.monotonic()
    page.until("document.querySelector('[data-part=summary]').textContent.includes('82,000')", 3)
    page.until(f"{SHOWN}.alt === '82,000 images'", 3)
    page.until("JSON.parse(document.querySelector('svg[data-x]').dataset.x).high === 82000", 3)
    assert time.monotonic() - started < 3
    assert page.run("document.querySelector('details').open")


def test_hostile_names_and_lines_stay_text(page: Page) -> None:
    open_run(page, "onerror")
    page.until("document.querySelector('svg [data-series]')")
    page.until("document.querySelector('.log').textContent.includes('<script>fetch')")
    assert page.run("document.querySelector('h1').textContent") == "x<img src=x onerror=alert(1)>"
    assert page.run("[...document.scripts].every(s => s.src.startsWith(location.origin + '/static/'))")
    assert page.run("[...document.images].every(i => i.src.startsWith(location.origin + '/run/'))")


def test_runs_are_found_and_overlaid(page: Page, place: Path) -> None:
    choose = (
        "[...document.querySelectorAll('tr')].find(r => r.textContent.includes({!r})).querySelector('input').click()"
    )
    page.run(choose.format("runs/one"))
    write_run(place / "runs" / "later", lines=2)
    page.until("document.body.textContent.includes('runs/later')", 3)  # the table was replaced; the choice stays
    page.run(choose.format("runs/later"))
    page.run("document.querySelector('[type=search]').value = 'later'")
    page.run("document.querySelector('[type=search]').dispatchEvent(new Event('input', {bubbles: true}))")
    assert page.run("[...document.querySelectorAll('tbody tr')].filter(r => !r.hidden).length") == 1
    page.run("document.querySelector('form button').click()")
    page.until("location.pathname === '/overlay' && document.querySelector('svg [data-series]')")
    named = "[...new Set([...document.querySelectorAll('[data-series]')].map(l => l.dataset.series))].sort().join()"
    assert page.run(named) == "later,one"


def test_exploring_by_keyboard_and_pointer(page: Page, ui: Site) -> None:
    page.open(f"{ui.origin}/explore/{ui.id_of('runs/real: last', '/explore')}")
    grid_of, blend = ("document.querySelector('[data-grid] img')", "document.querySelector('.blend .picture img')")
    page.until(f"{grid_of}.naturalWidth && {blend}.naturalWidth", 60)
    before = page.run(f"{grid_of}.src")
    page.run("document.querySelector('[name=label]').focus()")
    page.press("ArrowDown", "ArrowDown", 40)
    page.until(f"{grid_of}.src !== {before!r}")
    page.until("document.querySelector('[data-command=grid]').textContent.includes('--class 0')")
    before = page.run(f"{blend}.src")
    page.run("document.querySelector('.pad').focus()")
    page.press("ArrowLeft", "ArrowLeft", 37)
    page.until(f"{blend}.src !== {before!r}")
    before = page.run(f"{blend}.src")
    page.run("document.querySelector('.pad').scrollIntoView({block: 'center'})")
    x, y = page.run(
        "(() => { const b = document.querySelector('.pad').getBoundingClientRect(); return [b.left + 30, b.top + 200]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    page.until(f"{blend}.src !== {before!r}")


def test_a_direction_moves_the_samples_and_a_photo_is_projected(
    page: Page, ui: Site, place: Path, tmp_path: Path
) -> None:
    generator = ui.id_of("runs/real: last", "/explore")
    page.open(f"{ui.origin}/explore/{generator}")
    page.run("document.querySelector('form[method=post] button').click()")
    page.until("document.querySelector('[data-move=sefa0]')", 60)
    grid_of = "document.querySelector('[data-grid] img')"
    page.until(f"{grid_of}.naturalWidth")
    before = page.run(f"{grid_of}.src")
    page.run("document.querySelector('[data-move=sefa0]').focus()")
    page.press("ArrowRight", "ArrowRight", 39)
    page.until(f"{grid_of}.src !== {before!r}")
    page.until("document.querySelector('[data-command=grid]').textContent.includes('--move sefa0=0.1')")
    (tmp_path / "me.png").write_bytes((place / "runs" / "real" / "samples" / "latest.png").read_bytes())
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    chooser = page.call("DOM.querySelector", nodeId=root, selector="input[type=file]")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=chooser, files=[str(tmp_path / "me.png")])
    page.until("[...document.querySelectorAll('.photo img')].every(i => i.naturalWidth)", 60)
    assert "Error 0." in page.run("document.querySelector('.photo [role=status]').textContent")


def test_two_generators_side_by_side(page: Page, ui: Site) -> None:
    page.open(f"{ui.origin}/compare")
    page.until("[...document.querySelectorAll('[data-grid] img')].filter(i => i.naturalWidth).length === 2", 60)


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_all_of_every_page_in_both_themes(dark: bool, page: Page, ui: Site) -> None:
    page.size(380, 800, dark=dark)
    explore = ui.id_of("runs/real: last", "/explore")
    paths = [
        "/",
        "/explore",
        f"/explore/{explore}",
        "/compare",
        "/studies",
        f"/run/{ui.id_of('runs/real')}",
        f"/run/{ui.id_of('runs/one')}",
    ]
    for path in paths:
        page.open(ui.origin + path)
        page.until("document.body")
        assert page.run(EVERYTHING_IS_WITHIN), path
        red, green, blue = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (red + green + blue < 200) == dark


def test_the_page_says_that_its_server_has_ended(tmp_path: Path, place: Path) -> None:
    with browser(tmp_path / "profile") as window:
        with site(cwd=place) as ended:
            window.open(ended.address)
        window.until("document.getElementById('notice').textContent.includes('gankit ui has ended')")


def test_a_hundred_long_runs_stay_usable(tmp_path: Path) -> None:
    lines = [line(number) for number in range(1, 10_001)]
    for index in range(100):
        run = write_run(tmp_path / "runs" / f"r{index:03d}", lines=0)
        (run / "stats.jsonl").write_text("".join(lines))
    with browser(tmp_path / "profile") as window, site(cwd=tmp_path) as ui:
        window.open(ui.address)
        window.until("document.querySelectorAll('tbody tr').length === 100", 5)
        open_run(window, "r050")
        window.until("document.querySelectorAll('svg [data-series]').length >= 4", 5)
        window.open(ui.origin + "/")
        window.run("document.querySelectorAll('[type=checkbox]').forEach(box => (box.checked = true))")
        window.run("document.querySelector('form button').click()")
        window.until("location.pathname === '/overlay' && document.querySelector('svg [data-series]')", 10)
        window.until("document.querySelector('svg').querySelectorAll('[data-series]').length === 100", 180)
        assert window.complaints() == []


def test_a_report_moves_and_asks_for_nothing(tmp_path: Path, place: Path) -> None:
    assert gankit("report", "runs/one", "-o", tmp_path / "page.html", cwd=place).returncode == 0
    with browser(tmp_path / "profile") as window:
        window.size(380, 800)
        window.open((tmp_path / "page.html").as_uri())
        window.until(f"{SHOWN} && {SHOWN}.naturalWidth")
        window.run("document.querySelector('[data-frames] input').focus()")
        before = window.run(f"{SHOWN}.alt")
        window.press("ArrowLeft", "ArrowLeft", 37)
        window.until(f"{SHOWN}.alt !== {before!r}")
        assert window.run(EVERYTHING_IS_WITHIN)
        assert {url.partition(":")[0] for url in window.requested()} == {"file", "data"}
        assert window.complaints() == []
