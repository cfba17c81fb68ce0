"""`gankit report`: one file, whole, bounded, and the same facts as the run has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import gankit
from support_web import write_run

import gankit as api


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run with scores and a schedule."""
    folder = tmp_path_factory.mktemp("report") / "demo"
    settings = {"data": "ring8", "images": 8_192, "batch": 64, "z_dim": 2, "device": "cpu", "sample_every": 2_048}
    api.train("gan", out=folder, eval_every=4_096, eval_n=100, g_lr="linear(1e-3, 0, 50%-100%)", **settings)  # type: ignore[arg-type]
    return folder


def test_the_report_tells_what_was_trained_and_needs_no_other_file(trained: Path) -> None:
    done = gankit("report", "demo", "-o", "page.html", cwd=trained.parent)
    assert (done.returncode, done.stdout) == (0, "page.html\n"), done.stderr
    page = (trained.parent / "page.html").read_text()
    for said in ("gan on ring8", "8,192 of 8,192", "linear(0.001, 0.0, 50%-100%)", "floor: real data", "finished"):
        assert said in page
    last = json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])
    assert f"{last['protocol']['n']} samples, {last['protocol']['features']}" in page
    assert page.count("data:image/png;base64,") == len(list((trained / "samples").glob("0*.png"))) + 1
    links = re.findall(r"(?:src|href|action)\s*=\s*[\"']?([^\"' >]+)", page)
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert not re.findall(r"https?://(?!www\.w3\.org)", re.sub(r"data:[^\"]+", "", page))


def test_json_names_the_file(trained: Path) -> None:
    done = gankit("report", "demo", "--json", cwd=trained.parent)
    assert json.loads(done.stdout) == {"out": "report.html"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "nowhere"), "nowhere is not the folder of a run"),
        (("report", "demo", "-o", "x.pdf"), "-o x.pdf: the report is an HTML page"),
        (("report", "demo", "-o", "no/x.html"), "its folder does not exist"),
        (("report", "demo", "-o", ""), "-o is empty"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], words: str, trained: Path) -> None:
    done = gankit(*arguments, cwd=trained.parent)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_many_large_pictures_are_thinned(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    noise = np.random.default_rng(0)
    for images in range(0, 300_000, 10_000):
        pixels = noise.integers(0, 256, (600, 600, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(run / "samples" / f"{images:09d}.png")
    assert gankit("report", "run", cwd=tmp_path).returncode == 0
    page = tmp_path / "report.html"
    assert page.stat().st_size < 10 << 20
    assert 'alt="290,000 images"' in page.read_text()


def test_neither_torch_nor_a_server_is_imported(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    code = (
        "import sys; from gankit.cli import main\n"
        "sys.modules['starlette'] = sys.modules['uvicorn'] = None\n"
        "sys.argv = ['gankit', 'report', 'run']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code in (0, None), end.code\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
