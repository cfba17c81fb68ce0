"""The film of a run: its pictures in their order, captions, lengths, and what is refused."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from support import gankit

import gankit as api


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("film")
    for name, more in (("digits", {}), ("points", {"data": "ring8"})):
        api.train("gan", out=base / name, steps=6, batch=4, sample_every=8, device="cpu", **more)  # type: ignore[arg-type]
    return base


@pytest.mark.parametrize("suffix", ["webp", "gif"])
@pytest.mark.parametrize("run", ["digits", "points"])
def test_a_film_shows_every_picture_of_a_run_once(runs: Path, run: str, suffix: str) -> None:
    done = gankit("film", run, "--seconds", 2, "-o", f"new/{run}.{suffix}", "--json", cwd=runs)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    grids = sorted(path for path in (runs / run / "samples").glob("0*.png"))
    assert facts == {"out": f"new/{run}.{suffix}", "frames": len(grids), "images": [0, 24], "seconds": 4.0}
    with Image.open(runs / "new" / f"{run}.{suffix}") as film, Image.open(grids[-1]) as last:
        assert film.n_frames == len(grids) == 4  # at 0, 8, 16 and 24 images
        assert film.size == (last.width, last.height + 18)
        film.seek(film.n_frames - 1)
        film.load()
        assert film.info["duration"] == pytest.approx(2500, abs=10)
        shown = film.convert("RGB").crop((0, 0, *last.size))
        difference = max(abs(a - b) for a, b in zip(shown.tobytes(), last.convert("RGB").tobytes(), strict=True))
        assert difference <= (0 if suffix == "webp" else 60)  # a GIF has 256 colours


def test_many_pictures_are_thinned_to_the_first_the_last_and_some_between(runs: Path, tmp_path: Path) -> None:
    from gankit.look import film

    assert film._spread(list(range(10)), 4) == [0, 3, 6, 9]
    assert film._spread([1, 2], 4) == [1, 2]
    short = film.film(runs / "digits", tmp_path / "short.webp", seconds=0.05)
    assert (short.frames, short.seconds) == (2, pytest.approx(0.05 + film.HOLD_MS / 1000, abs=0.011))


def test_ffmpeg_is_given_every_picture_and_its_failure_leaves_nothing(
    runs: Path, tmp_path: Path, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nfor out; do :; done\ncat > "$out"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = gankit("film", "digits", "--seconds", 2, "-o", "x.mp4", cwd=runs, PATH=path)
    assert done.returncode == 0, done.stderr
    assert (runs / "x.mp4").read_bytes().count(b"\x89PNG") == 3 * 12 + 62  # 25 pictures in a second
    program.write_text("#!/bin/sh\ncat > /dev/null\necho 'Unknown encoder libx264' >&2\nexit 1\n")
    monkeypatch.setenv("PATH", path)
    assert "ffmpeg ended with 1: Unknown encoder libx264" in refusal("film digits -o y.mp4", runs, code="4")
    monkeypatch.setenv("PATH", str(runs))
    assert "an .mp4 needs ffmpeg" in refusal("film digits -o y.mp4", runs, code="4")
    assert not list(runs.glob("*y.mp4*"))


def test_what_is_no_run_or_has_no_pictures_is_one_line(runs: Path, tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "is not a run" in refusal("film .", tmp_path)
    assert "unknown kind of film '.avi'" in refusal("film digits -o x.avi", runs)
    bad = runs / "digits" / "samples" / "000000012.png"
    bad.write_bytes(b"\x89PNG cut")
    assert "000000012.png cannot be read" in refusal("film digits", runs)
    bad.unlink()
    assert not (runs / "film.webp").exists()
