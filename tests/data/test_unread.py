"""What is not read is named with its reason and the way to convert it, and never taken for another kind."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from support import gankit


def zipped() -> bytes:
    """As `torch.save` writes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02.")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said", "way"),
    [
        ("x.h5", b"\x89HDF\r\n\x1a\n", "HDF5 files are not read", "h5py.File('x.h5')"),
        ("x.data", b"\x89HDF\r\n\x1a\n", "HDF5 files are not read", "np.savez('x.npz'"),
        ("train_32x32.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "SciPy reads them", "np.savez('train_32x32.npz', images=d['X']"),
        ("x.pt", zipped(), "PyTorch files are not read", "torch.load('x.pt')"),
        ("x", b"\x80\x04\x95", "pickle files are not read, for they can run any program", "pickle.load"),
        ("a film.mp4", b"\0\0\0\x20ftypisom", "they are films", "ffmpeg"),
        ("x.tar.xz", b"\xfd7zXZ\x00", "only zip, tar and tar.gz", "unpack it and give the folder"),
        ("x.7z", b"7z\xbc\xaf\x27\x1c", "only zip, tar and tar.gz", "unpack it"),
        ("x.npz", b"<!DOCTYPE html><html>", "what a server answered", "download it again"),
        ("x.zip", b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer", "git lfs pull"),
        ("a.jxl", b"\xff\x0a", "JPEG XL files are not read", "magick mogrify -format png a.jxl"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_read_is_named_with_the_way(
    tmp_path: Path, refusal: Callable[..., str], name: str, content: bytes, said: str, way: str
) -> None:
    (tmp_path / name.replace(" ", "_")).write_bytes(content)
    line = refusal(f"train --data {name.replace(' ', '_')}", tmp_path)
    assert said in line
    assert way in line


def test_a_folder_says_which_of_its_files_are_not_read_and_how_they_could_be(tmp_path: Path) -> None:
    folder = tmp_path / "photos.raw"  # a folder is not judged by its suffix
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    for name in ("b.jxl", "c.jxl", "d.psd", "e.txt"):
        (folder / name).write_bytes(b"x")
    notes = json.loads(gankit("data", "info", "photos.raw", "--json", cwd=tmp_path).stdout)["notes"]
    assert notes[:2] == [
        "4 other files ignored (.jxl, .psd, .txt)",
        "2 .jxl files not read, for their decoder is not part of gankit; convert: magick mogrify -format png '*.jxl'",
    ]
    assert notes[2].startswith("1 .psd file not read, for they are documents; convert: magick")
    (folder / "a.png").unlink()
    result = gankit("data", "info", "photos.raw", cwd=tmp_path)
    assert result.returncode == 2
    assert "holds no images" in result.stderr
    assert "magick mogrify" in result.stderr
