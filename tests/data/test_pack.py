"""Packed data sets: the same data as unpacked, whatever the source."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import gankit
from support_data import assert_same_data, load, pack, photos

from gankit.data.formats import packing
from gankit.data.formats.pack import check_pack, read_pack_header
from gankit.errors import InputError


def npz(path: Path) -> Path:
    noise = np.random.default_rng(1)
    pixels = noise.random((9, 5, 6, 3), np.float32)
    np.savez_compressed(path, images=pixels, labels=np.arange(9) % 4, conditions=noise.random((9, 2)))
    return path


def idx(folder: Path) -> Path:
    folder.mkdir()
    pixels = np.random.default_rng(2).integers(0, 256, (7, 4, 5), np.uint8)
    with gzip.open(folder / "train-images-idx3-ubyte.gz", "wb") as file:
        file.write(struct.pack(">4B3I", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes())
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, 7) + bytes([3, 1, 4, 1, 5, 9, 2]))
    return folder


SOURCES: dict[str, Callable[[Path], Path]] = {
    "folder": lambda tmp: photos(tmp / "photos"),
    "flat folder": lambda tmp: photos(tmp / "photos") / "cat",
    "npz": lambda tmp: npz(tmp / "x.npz"),
    "idx": lambda tmp: idx(tmp / "mnist"),
}


@pytest.mark.parametrize("size", [None, (4, 6)])
@pytest.mark.parametrize("kind", SOURCES)
def test_a_packed_set_is_the_set_itself(tmp_path: Path, kind: str, size: tuple[int, int] | None) -> None:
    source, out = SOURCES[kind](tmp_path), tmp_path / "x.gkpack"
    header = pack(source, out, size=size)
    direct, packed = load(source, size=size), load(out)
    assert_same_data(direct, packed)
    assert packed.fingerprint == direct.fingerprint == header.fingerprint
    assert check_pack(out) == header == read_pack_header(out)
    assert [path.name for path in tmp_path.glob("x.gkpack*")] == ["x.gkpack"]


def test_a_packed_set_can_be_resized_and_packed_again(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    pack(source, tmp_path / "a.gkpack")
    pack(tmp_path / "a.gkpack", tmp_path / "b.gkpack", size=(4, 4))
    small = load(tmp_path / "a.gkpack", size=(4, 4))
    assert_same_data(small, load(tmp_path / "b.gkpack"))
    assert torch.equal(small.samples, load(source, size=(4, 4)).samples)
    assert small.fingerprint == load(source, size=(4, 4)).fingerprint


def test_unreadable_images_end_it_or_are_left_out_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header that is sound says nothing of the pixels: such files are found part by part."""
    monkeypatch.setattr(packing, "PART_ROWS", 2)
    monkeypatch.setattr(packing, "PART_BYTES", 1)
    source, out = photos(tmp_path / "photos", 9), tmp_path / "x.gkpack"
    for name in ("cat/00000", "cat/00003", "cat/00006", "été/00005"):
        file = source / f"{name}.png"
        Image.open(file).save(file.with_suffix(".jpg"))
        file.unlink()
        data = file.with_suffix(".jpg").read_bytes()
        file.with_suffix(".jpg").write_bytes(data[: data.index(b"\xff\xda") + 14])
    with pytest.raises(InputError, match=r"cannot be read: cat/00000\.jpg"):
        pack(source, out)
    assert not out.exists()
    header = pack(source, out, on_bad_image="skip")
    assert header.classes == ("Dog", "été")  # one class has lost all its images
    assert_same_data(load(source, on_bad_image="skip"), load(out))
    assert read_pack_header(out).fingerprint == load(source, on_bad_image="skip").fingerprint


def test_points_other_names_and_existing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds points"):
        pack("ring8", tmp_path / "x.gkpack")
    with pytest.raises(InputError, match=r"named \*\.gkpack"):
        pack("digits", tmp_path / "x.bin")
    (tmp_path / "x.gkpack").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        pack("digits", tmp_path / "x.gkpack")
    assert (tmp_path / "x.gkpack").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["x.gkpack"]


def test_training_on_packed_data_is_training_on_the_data(tmp_path: Path) -> None:
    """The same bits, and one may go on with the other."""
    photos(tmp_path / "photos", 24, side=16)
    packed = gankit("data", "pack", "photos", "-o", "p.gkpack", "--json", cwd=tmp_path)
    assert packed.returncode == 0, packed.stderr
    assert json.loads(packed.stdout)["images"] == 24
    common = ["train", "--steps", "3", "--batch", "8", "--device", "cpu", "--precision", "fp32"]
    for data, out in (("photos", "a"), ("p.gkpack", "b")):
        result = gankit(*common, "--data", data, "--out", out, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    a, b = (tmp_path / name for name in "ab")
    state = "checkpoints/step-000000003/state.safetensors"
    assert (a / state).read_bytes() == (b / state).read_bytes()
    identity = [json.loads((folder / "run.json").read_text())["data"]["fingerprint"] for folder in (a, b)]
    assert identity[0] == identity[1]
    resumed = gankit("resume", "a", "--data", "p.gkpack", "--steps", "4", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
