"""`--background`: the colour on which transparent pictures are laid, wherever data are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import gankit

from gankit.data import Dataset, Preparation, load_dataset
from gankit.data.formats.colour import parse_colour
from gankit.errors import InputError

ORANGE = (255, 128, 0)


def half(path: Path, green: int = 0, side: int = 8) -> Path:
    """A blue picture whose right half is transparent and whose middle column is half so."""
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[..., 1:3] = green, 200
    pixels[:, : side // 2, 3] = 255
    pixels[:, side // 2, 3] = 128
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def load(path: Path, **how: Any) -> Dataset:
    return load_dataset(str(path), {}, how=Preparation(**how))


@pytest.mark.parametrize(
    ("text", "colour"),
    [("white", (255, 255, 255)), (" Orange ", (255, 165, 0)), ("#ff8000", ORANGE), ("rgb(1,2,3)", (1, 2, 3))],
)
def test_a_colour_is_a_name_of_css_or_hexadecimal(text: str, colour: tuple[int, int, int]) -> None:
    assert parse_colour(text) == colour


def test_a_picture_is_laid_on_the_colour_that_was_asked_for(tmp_path: Path) -> None:
    half(tmp_path / "set" / "a.png")
    assert load(tmp_path / "set").spec.shape[0] == 4  # all files have alpha, so it stays
    dataset = load(tmp_path / "set", background=ORANGE)
    pixels = dataset.samples[0].permute(1, 2, 0).numpy()
    assert (pixels[:, :4] == (0, 0, 200)).all()
    assert (pixels[:, 5:] == ORANGE).all()
    share = 128 / 255
    assert np.abs(pixels[:, 4] - np.array([255 * (1 - share), 128 * (1 - share), 200 * share])).max() <= 0.5
    assert "1 transparent file laid on #ff8000" in dataset.notes
    grey = load(tmp_path / "set", background=ORANGE, channels=1)
    assert int(grey.samples[0, 0, 0, 7]) == round(0.299 * 255 + 0.587 * 128)


def test_arrays_are_laid_on_it_too_and_it_is_said(tmp_path: Path) -> None:
    pixels = np.zeros((3, 8, 8, 4), np.uint8)
    pixels[..., 0] = np.arange(3)[:, None, None]
    np.save(tmp_path / "x.npy", pixels)
    dataset = load(tmp_path / "x.npy", background=ORANGE)
    assert (dataset.samples[:, :, 0, 0].numpy() == ORANGE).all()
    assert "RGBA became RGB on #ff8000" in dataset.notes
    assert "RGBA became RGB on white" in load(tmp_path / "x.npy", channels=3).notes


def test_it_belongs_to_the_identity_of_the_data(tmp_path: Path) -> None:
    half(tmp_path / "set" / "a.png")
    fingerprints = {load(tmp_path / "set", background=colour).fingerprint for colour in (ORANGE, (0, 0, 0), None)}
    assert len(fingerprints) == 3
    for colour in ("orange", "black"):
        result = gankit("data", "pack", "set", "--background", colour, "-o", f"{colour}.gkpack", "--json", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    sources = {json.loads(gankit("data", "check", f"{c}.gkpack", "--json", cwd=tmp_path).stdout)["source"] for c in ("orange", "black")}  # fmt: skip
    assert len(sources) == 2


def test_every_command_takes_it(tmp_path: Path) -> None:
    for number in range(100):
        half(tmp_path / "set" / f"{number}.png", green=2 * number)
    facts = json.loads(gankit("data", "info", "set", "--background", "#ff8000", "--json", cwd=tmp_path).stdout)
    assert facts["shape"] == [3, 8, 8]
    assert "100 transparent files laid on #ff8000" in facts["notes"]
    preview = gankit("data", "preview", "set", "--background", "#ff8000", "-o", "p.png", cwd=tmp_path)
    assert "gankit train --data set --background='#ff8000'" in preview.stderr
    with Image.open(tmp_path / "p.png") as image:
        assert ORANGE in {colour for _, colour in image.convert("RGB").getcolors(1 << 16) or ()}
    tiny = ("--variant", "gan", "--steps", 1, "--batch", 4, "--out", "run")
    train = gankit("train", "--data", "set", "--background", "#ff8000", *tiny, cwd=tmp_path)
    assert train.returncode == 0, train.stderr
    assert "set: 100 images, RGB 8x8" in train.stderr
    scores = gankit("eval", "run", "-n", 50, "--metrics", "duplicates", cwd=tmp_path)  # the run knows its background
    assert scores.returncode == 0, scores.stderr
    other = gankit("eval", "run", "--background", "black", "-n", 50, "--metrics", "duplicates", cwd=tmp_path)
    assert other.returncode == 2
    assert "is not the data that" in other.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--background nocolour", "--background nocolour: not an opaque colour — a name of CSS or #rrggbb"),
        ("--background #ff800080", "not an opaque colour"),
        ("--background white --channels rgba", "--channels rgba lays nothing on it"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, refusal: Callable[..., str], flags: str, said: str) -> None:
    half(tmp_path / "set" / "a.png")
    for command in ("train --data set", "data info set"):
        assert said in refusal(f"{command} {flags}", tmp_path)


def test_without_anything_transparent_it_is_said_that_it_has_no_use(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "set" / "a.png")
    assert "no file is transparent, so --background is not used" in load(tmp_path / "set", background=ORANGE).notes
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8), np.uint8))
    assert "nothing is transparent, so --background is not used" in load(tmp_path / "x.npy", background=ORANGE).notes
    np.save(tmp_path / "points.npy", np.zeros((3, 2)))
    with pytest.raises(InputError, match="'points' holds points: --background is for images"):
        load(tmp_path / "points.npy", background=ORANGE)
