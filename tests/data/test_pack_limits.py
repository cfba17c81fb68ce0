"""Packing with little memory and little disk."""

from __future__ import annotations

import errno
import os
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support_data import assert_same_data, load, pack, photos

from gankit.data.formats import limits, packing
from gankit.errors import ResourceError


def test_a_full_disk_is_noticed_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("usage", (), {"free": 100})
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ResourceError, match="100 are free"):
        pack("digits", tmp_path / "x.gkpack")


@pytest.mark.parametrize("room", [500, 1200, 2400])  # bytes: within the first part, a later one, the header
def test_a_disk_that_fills_up_ends_it_in_one_line_and_it_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(packing, "PART_ROWS", 4)
    monkeypatch.setattr(packing, "PART_BYTES", 1)
    source, out = photos(tmp_path / "photos", 12), tmp_path / "x.gkpack"
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(ResourceError, match="cannot write"):
            pack(source, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not out.exists()
    pack(source, out)
    assert_same_data(load(source), load(out))


def test_memory_does_not_grow_with_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """25 MB of pixels in parts of 3 MB, then in the file's map: no more than a part is ever held."""
    monkeypatch.setattr(packing, "PART_BYTES", 1 << 20)
    (tmp_path / "photos").mkdir()
    for number in range(128):
        Image.new("RGB", (256, 256), (number, 0, 0)).save(tmp_path / "photos" / f"{number:03d}.png")
    out = tmp_path / "x.gkpack"
    pack("digits", tmp_path / "warm.gkpack")
    tracemalloc.start()
    try:
        pack(tmp_path / "photos", out)
        packed = load(out)
        assert packed.samples[torch.tensor([7, 127]), 0, 0, 0].tolist() == [7, 127]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert out.stat().st_size > 25_000_000
    assert peak < 6_000_000  # a part has 16 images at least: 3.1 MB


@pytest.mark.parametrize("form", ["uint8 [N, H, W, C]", "uint8 [N, C, H, W]", "int64", "float32"])
def test_large_arrays_are_put_on_the_disk_while_they_are_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(limits, "SMALL_BYTES", 1000)
    monkeypatch.setattr(packing, "PART_BYTES", 1 << 20)
    source, out = tmp_path / "x.npz", tmp_path / "x.gkpack"
    pixels = np.random.default_rng(3).integers(0, 256, (512, 128, 128, 1), np.uint8)
    images = {"int64": pixels.astype(np.int64), "float32": pixels.astype(np.float32) / 255}.get(form, pixels)
    np.savez(source, images=images.transpose(0, 3, 1, 2).copy() if "[N, C" in form else images)
    pack("digits", tmp_path / "warm.gkpack", size=(2, 2))
    del images
    tracemalloc.start()
    try:
        pack(source, out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000  # of 8 MiB of pixels, in parts of 1 MiB
    assert sorted(path.name for path in tmp_path.iterdir()) == ["warm.gkpack", "x.gkpack", "x.npz"]
    assert torch.equal(load(out).samples, torch.from_numpy(pixels.transpose(0, 3, 1, 2)))
    assert_same_data(load(source), load(out))


def test_too_little_disk_for_large_arrays_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((9, 5, 6, 3), np.float32))
    monkeypatch.setattr(limits, "SMALL_BYTES", 100)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ResourceError, match="No space left"):
        pack(tmp_path / "x.npz", tmp_path / "x.gkpack")
