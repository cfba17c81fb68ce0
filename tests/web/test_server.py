"""`gankit ui` from the installed command: who may ask, what is shown, and that it follows a run."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support import GANKIT, gankit
from support_web import XSS, Site, grid, line, site, write_json, write_run

PATIENCE_S = 60  # a guard against waiting for ever, and no measurement
HOSTILE = "run <b>&\"'"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs, one of them with a hostile name and texts, and a secret beside them."""
    folder = tmp_path_factory.mktemp("ui")
    write_run(folder / "runs" / "one")
    write_run(folder / "runs" / "deeper" / "two", lines=20)
    hostile = write_run(folder / "runs" / HOSTILE, variant=XSS, data=XSS, statistics={f"d/{XSS[:50]}": 1.0})
    (hostile / "log.txt").write_text(f"2026-01-01 00:00:00,000 WARNING {XSS}\n")
    write_json(hostile / "status.json", {"state": XSS, "reason": XSS})
    (folder / "secret.png").write_bytes((hostile / "samples" / "000000000.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def ui(place: Path) -> Iterator[Site]:
    with site(cwd=place) as running:
        yield running


# -- who may ask -------------------------------------------------------------------------------------------------------


def test_the_printed_address_opens_the_list_and_gives_a_cookie(ui: Site) -> None:
    answer = ui.ask(ui.address.removeprefix(ui.origin), with_token=False)
    assert (answer.status, "runs/one" in answer.text) == (200, True)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"gankit-{ui.port}=")
    assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))


def test_cookies_of_other_programs_of_this_machine_do_no_harm(ui: Site) -> None:
    others = 'theme={"dark": true}; =; x; gankit-1=other; {}'
    assert ui.ask("/", with_token=False, Cookie=f"{others}; gankit-{ui.port}={ui.token}; y=\xe9").status == 200
    assert ui.ask("/", with_token=False, Cookie=others).status == 403


@pytest.mark.parametrize("path", ["/", "/parts/runs", "/static/ui.css", "/chart", "/explore", "/nothing"])
@pytest.mark.parametrize("token", ["", "?token=", "?token=wrong", "?token=%C3%A9", "?token=%00"])
def test_nothing_is_shown_without_the_token(path: str, token: str, ui: Site) -> None:
    answer = ui.ask(path + token, with_token=False, Cookie=f"gankit-{ui.port}=wrong")
    assert answer.status == 403
    assert "runs/one" not in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "127.0.0.1:{port}.evil.example"]
)
def test_another_host_is_refused(host: str, ui: Site) -> None:
    assert ui.ask("/", Host=host.format(port=ui.port)).status == 403


def test_both_names_of_this_machine_are_answered(ui: Site) -> None:
    assert ui.ask("/", Host=f"localhost:{ui.port}").status == 200
    assert ui.ask("/", Host=f"127.0.0.1:{ui.port}", Origin=ui.origin).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}"])
def test_another_page_is_refused(origin: str, ui: Site) -> None:
    run = ui.id_of("runs/one")
    origin = origin.format(port=ui.port)
    assert ui.ask("/", Origin=origin).status == 403
    assert ui.ask(f"/run/{run}/stop", method="POST", Origin=origin).status == 403


def test_changes_need_an_origin_and_are_not_made_by_links(ui: Site) -> None:
    run = ui.id_of("runs/one")
    assert ui.ask(f"/run/{run}/stop", method="POST").status == 403
    assert ui.ask(f"/run/{run}/stop").status == 405


def test_every_answer_carries_a_policy_without_inline_scripts(ui: Site) -> None:
    run = ui.id_of("runs/one")
    for path in ("/", f"/run/{run}", f"/parts/run/{run}", "/explore", "/nothing", f"/chart?run={run}&key=d/real"):
        headers = ui.ask(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_only_this_machine_is_listened_to(ui: Site) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent: it tells the address of this machine
        own = probe.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own, ui.port), timeout=5)


# -- what is served ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/run/../../secret.png",
        "/run/{id}/samples/../../../secret.png",
        "/run/{id}/samples/..%2F..%2F..%2Fsecret.png",
        "/run/{id}/samples/secret.png",
        "/run/{id}/samples/-1.png",
        "/run/..%2f..%2fsecret.png",
        "/run/runs%2Fone",
        "/explore/..%2f..%2fsecret.png",
        "/study/..%2f..",
        "/generator/{id}/grid.png",
    ],
)
def test_nothing_is_served_by_its_path(path: str, ui: Site) -> None:
    assert ui.ask(path.format(id=ui.id_of("runs/one"))).status == 404


def test_a_sample_grid_that_is_a_link_to_elsewhere_is_not_served(place: Path, ui: Site) -> None:
    run = ui.id_of("deeper/two")
    (place / "runs" / "deeper" / "two" / "samples" / "000004000.png").symlink_to(place / "secret.png")
    assert ui.ask(f"/run/{run}/samples/2000.png").headers["content-type"] == "image/png"
    assert ui.ask(f"/run/{run}/samples/4000.png").status == 404


def test_names_and_texts_of_runs_cannot_become_markup(ui: Site) -> None:
    page = ui.ask("/").text
    run = re.findall(r'href="/run/(\w+)">runs/run &lt;b&gt;', page)[0]
    key = f"d/{XSS[:50]}"
    chart = f"/chart?{urlencode({'run': run, 'key': key, 'title': XSS})}"
    for path in ("/", f"/run/{run}", f"/overlay?run={run}", chart):
        text = ui.ask(path).text
        assert "&lt;" in text
        assert "<b>&" not in text
        assert "<script>" not in text
        assert "<img src=x" not in text
    parts = ui.ask(f"/parts/run/{run}").json()["parts"]
    assert not [name for name, html in parts.items() if "<script" in html or "<img src=x" in html]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "run=none&key=x",
        "run={id}&key=none",
        "run={id}&key=d/real&smoothing=NaN",
        "run={id}&key=d/real&smoothing=-9",
        "run={id}",
    ],
)
def test_a_chart_is_svg_whatever_is_asked(query: str, ui: Site) -> None:
    answer = ui.ask(f"/chart?{query.format(id=ui.id_of('runs/one'))}")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.text.startswith("<svg")
    assert "nan" not in answer.text.lower()


def test_several_runs_share_a_chart(ui: Site) -> None:
    ids = [ui.id_of("runs/one"), ui.id_of("deeper/two")]
    text = ui.ask(f"/chart?run={ids[0]}&run={ids[1]}&key=d/real").text
    assert re.findall(r'data-series="(\w+)"', text) == ["one", "two"]


# -- what it follows ---------------------------------------------------------------------------------------------------


def test_a_run_that_grows_is_seen(place: Path, ui: Site) -> None:
    folder = place / "runs" / "one"
    run = ui.id_of("runs/one")
    news = ui.ask(f"/parts/run/{run}").json()
    same = ui.ask(f"/parts/run/{run}?version={news['version']}").json()
    assert same == {"version": news["version"], "parts": {}}
    with (folder / "stats.jsonl").open("a") as file:
        file.write(line(11))
    grid(folder, 22_000)
    started = time.monotonic()
    while (later := ui.ask(f"/parts/run/{run}?version={news['version']}").json())["version"] == news["version"]:
        assert time.monotonic() - started < PATIENCE_S
    assert "22,000" in later["parts"]["summary"]
    assert f"/run/{run}/samples/22000.png" in later["parts"]["pictures"]


def test_a_new_run_appears_and_one_that_vanishes_goes(place: Path, ui: Site) -> None:
    folder = write_run(place / "runs" / "new")
    started = time.monotonic()
    while "runs/new" not in ui.ask("/parts/runs").text:
        assert time.monotonic() - started < PATIENCE_S
    run = ui.id_of("runs/new")
    folder.rename(place / "moved")
    while ui.ask(f"/run/{run}").status == 200:
        assert time.monotonic() - started < PATIENCE_S
    answer = ui.ask(f"/parts/run/{run}", Accept="application/json")
    assert (answer.status, answer.json()["error"]) == (404, "no such run, or it is gone")


def test_a_name_that_is_not_utf8_is_shown_escaped(place: Path, ui: Site) -> None:
    write_run(place / "runs" / os.fsdecode(b"bad\xff"))
    started = time.monotonic()
    while "runs/bad\\udcff" not in ui.ask("/parts/runs").text.replace("\\\\", "\\"):
        assert time.monotonic() - started < PATIENCE_S
    run = re.findall(r'href="/run/(\w+)">runs/bad', ui.ask("/").text)[0]
    assert ui.ask(f"/run/{run}").status == ui.ask(f"/parts/run/{run}").status == 200
    assert ui.ask(f"/chart?run={run}&key=d/real").status == 200
    refused = ui.ask(f"/run/{run}/stop", method="POST", Origin=ui.origin)
    assert (refused.status, "bad\\udcff" in refused.json()["error"]) == (400, True)
    gone = place / "gone"
    (place / "runs" / os.fsdecode(b"bad\xff")).rename(gone)


def test_numbers_that_are_not_finite_leave_valid_json(place: Path, ui: Site) -> None:
    folder = write_run(place / "runs" / "nan", lines=2)
    with (folder / "stats.jsonl").open("a") as file:
        file.write('{"step": 3, "images_seen": 6000, "images_per_s": NaN, "d/real": Infinity, "wall_s": -Infinity}\n')
    write_json(folder / "status.json", {"state": "diverged", "images_seen": float("nan"), "train_s": float("inf")})
    while "runs/nan" not in ui.ask("/parts/runs").text:
        time.sleep(0.1)
    assert "diverged" in ui.ask(f"/parts/run/{ui.id_of('runs/nan')}").json()["parts"]["summary"]


def test_two_hundred_requests_at_once_are_answered(ui: Site) -> None:
    run = ui.id_of("deeper/two")
    paths = ["/", f"/parts/run/{run}", f"/chart?run={run}&key=d/real", f"/run/{run}/samples/2000.png"] * 50

    def files() -> int:
        return len(list(Path(f"/proc/{ui.process.pid}/fd").iterdir()))

    ui.ask("/")
    before = files()
    with ThreadPoolExecutor(200) as many:
        assert {answer.status for answer in many.map(ui.ask, paths)} == {200}
    started = time.monotonic()
    while files() > before + 5:
        assert time.monotonic() - started < 20, "connections or files stay open"
        time.sleep(0.1)


# -- the command -------------------------------------------------------------------------------------------------------


def test_a_busy_port_is_one_line(place: Path, ui: Site) -> None:
    done = gankit("ui", "--port", ui.port, "--no-browser", cwd=place)
    assert done.returncode == 4
    assert f"port {ui.port} cannot be used" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("path", "words"), [("nowhere", "no such file or folder"), ("secret.png", "is not a .safetensors file")]
)
def test_what_cannot_be_shown_is_one_line(path: str, words: str, place: Path) -> None:
    done = gankit("ui", path, "--no-browser", "--port", "0", cwd=place)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_the_extra_it_says_what_to_install(place: Path, tmp_path: Path) -> None:
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError(name='starlette')")
    done = gankit("ui", "--no-browser", cwd=place, site=tmp_path)
    assert (done.returncode, "pip install 'gankit[web]'" in done.stderr) == (4, True), done.stderr


def test_one_run_is_opened_at_once(place: Path) -> None:
    with site("runs/one", cwd=place) as running:
        assert re.fullmatch(rf"{running.origin}/run/\w+\?token=.+", running.address)
        assert "<h1>one</h1>" in running.ask(running.address.removeprefix(running.origin)).text


@pytest.mark.slow
def test_a_training_run_goes_on_while_hundreds_of_requests_come(tmp_path: Path) -> None:
    command = [
        GANKIT,
        "train",
        "--data",
        "ring8",
        "--z-dim",
        "2",
        "--images",
        "500M",
        "--device",
        "cpu",
        "--out",
        "runs/long",
    ]
    with site(cwd=tmp_path) as ui, subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as training:
        try:
            stats = tmp_path / "runs" / "long" / "stats.jsonl"

            def lines() -> int:
                assert training.poll() is None
                return stats.read_bytes().count(b"\n") if stats.exists() else 0

            while lines() < 2 or "runs/long" not in ui.ask("/").text:
                time.sleep(0.1)
            run = ui.id_of("runs/long")
            paths = [f"/parts/run/{run}", f"/chart?run={run}&key=d/real"] * 100
            before = lines()
            with ThreadPoolExecutor(200) as many:
                assert {answer.status for answer in many.map(ui.ask, paths)} == {200}
            started = time.monotonic()
            while lines() == before:
                assert time.monotonic() - started < 20
                time.sleep(0.1)
        finally:
            training.kill()


def test_stop_does_what_a_signal_does_and_only_to_the_process_of_the_run(tmp_path: Path) -> None:
    command = [
        GANKIT,
        "train",
        "--data",
        "ring8",
        "--z-dim",
        "2",
        "--images",
        "500M",
        "--device",
        "cpu",
        "--out",
        "runs/long",
    ]
    with (
        site(cwd=tmp_path) as ui,
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as training,
    ):
        try:
            stats = tmp_path / "runs" / "long" / "stats.jsonl"
            while not (stats.exists() and stats.stat().st_size):
                assert training.poll() is None, training.communicate()
                time.sleep(0.1)
            while "runs/long" not in ui.ask("/").text:
                time.sleep(0.1)
            stop = f"/run/{ui.id_of('runs/long')}/stop"
            assert ui.ask(stop, method="POST", Origin=ui.origin).status == 303
            again = ui.ask(stop, method="POST", Origin=ui.origin)  # a second signal would end it without saving
            assert again.status == 400
            said = training.communicate(timeout=60)[1]
        finally:
            training.kill()
        assert training.returncode == 128 + signal.SIGTERM, said
        assert "state saved" in said
        status = json.loads((tmp_path / "runs" / "long" / "status.json").read_text())
        assert status["state"] == "stopped"
        # Whatever the files say now: nobody holds the lock, so nobody is sent a signal, this process least of all.
        write_json(tmp_path / "runs" / "long" / "status.json", {**status, "state": "running", "pid": ui.process.pid})
        host = status["host"]
        (tmp_path / "runs" / "long" / "LOCK").write_text(f"process {ui.process.pid} on {host}\n")
        refused = ui.ask(stop, method="POST", Origin=ui.origin)
        assert (refused.status, "no process of this machine" in refused.text) == (400, True)
        assert ui.ask("/").status == 200
