"""`gankit data info` and `gankit data preview`: what is there, and what the discriminator will see."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from support import gankit

RNG = np.random.default_rng(0)


def photos(folder: Path) -> Path:
    """Two classes of different sizes and kinds, a text file, and one image that is none."""
    for number, size in enumerate([(8, 8), (8, 8), (8, 8), (16, 12)]):
        path = folder / ("cat" if number < 3 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels if number else pixels[..., 0]).save(path)
    (folder / "dog" / "broken.jpg").write_bytes(b"no image")
    (folder / "labels.txt").write_text("x")
    return folder


def test_a_folder_is_described_and_what_is_left_out_is_named(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    result = gankit("data", "info", "photos", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert (facts["kind"], facts["count"], facts["shape"]) == ("images", 4, [3, 8, 8])
    assert facts["sizes"] == [[8, 8], [16, 12]]
    assert facts["kinds"] == {"RGB": 3, "grey": 1}
    assert facts["classes"] == {"cat": 3, "dog": 1}
    assert list(facts["left_out"]) == ["dog/broken.jpg"]
    assert "1 other file ignored (.txt)" in facts["notes"]
    assert facts["bytes"] == 4 * 3 * 64
    text = gankit("data", "info", "photos", cwd=tmp_path, COLUMNS="80").stdout
    assert "left out 1  dog/broken.jpg: not an image of a kind that is read" in text
    assert "classes     2: cat 3, dog 1" in text


def test_points_arrays_and_named_sets_are_described_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=RNG.integers(0, 17, (30, 8, 8), np.uint8), labels=np.arange(30) % 3)
    facts = json.loads(gankit("data", "info", "x.npz", "--json", cwd=tmp_path).stdout)
    assert facts["classes"] == {"0": 10, "1": 10, "2": 10}
    assert "0 black and 16 white" in " ".join(facts["notes"])
    assert facts["values"] == [0, 255]
    dark = json.loads(gankit("data", "info", "x.npz", "--range", "0,255", "--json", cwd=tmp_path).stdout)
    assert (dark["values"], dark["notes"]) != (facts["values"], facts["notes"])
    points = json.loads(gankit("data", "info", "ring8", "--json", cwd=tmp_path).stdout)
    assert (points["kind"], points["shape"], points["near_duplicates"]) == ("points", [2], None)


def test_a_preview_shows_what_the_discriminator_is_shown(tmp_path: Path) -> None:
    pixels = np.full((40, 16, 16, 3), 200, np.uint8)
    pixels[:, :8] = 40
    pixels[:, 0, 0] = np.arange(40)[:, None]
    np.save(tmp_path / "x.npy", pixels)
    plain = gankit("data", "preview", "x.npy", "-n", 16, "-o", "plain.png", cwd=tmp_path)
    assert plain.returncode == 0, plain.stderr
    cut = gankit("data", "preview", "x.npy", "-n", 16, "--with", "diffaugment", "-o", "cut.png", "--json", cwd=tmp_path)
    assert json.loads(cut.stdout)["out"] == "cut.png"
    with Image.open(tmp_path / "plain.png") as image:
        sheet = np.asarray(image)
        assert image.text["gankit"] == '{"data": "x.npy"}'  # type: ignore[attr-defined]
    scale = 3  # 56 // 16
    cell = sheet[2 : 2 + 16 * scale : scale, 2 : 2 + 16 * scale : scale]
    assert (cell[8:] == 200).all()
    assert (cell[1:8] == 40).all()
    with Image.open(tmp_path / "cut.png") as image:
        assert not np.array_equal(sheet, np.asarray(image))
    small = gankit("data", "preview", "x.npy", "--size", "8", "--channels", "grey", "-o", "s.png", cwd=tmp_path)
    assert small.returncode == 0, small.stderr
    with Image.open(tmp_path / "s.png") as image:
        assert image.mode == "L"
    assert gankit("data", "preview", "ring8", "-o", "points.png", cwd=tmp_path).returncode == 0
