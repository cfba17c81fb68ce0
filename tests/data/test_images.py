"""Folders and zips of images: classes, modes, sizes and rotation, checked by the value of pixels."""

from __future__ import annotations

import io
import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from gankit.base import progress
from gankit.data import Dataset, Preparation, load_dataset
from gankit.data.formats import images, limits
from gankit.data.loading import open_rows
from gankit.errors import InputError, ResourceError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def put(path: Path, mode: str = "RGB", size: tuple[int, int] = (4, 4), color: Any = RED, **how: Any) -> Path:
    """Save an image of one colour; `size` is Pillow's (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **how)
    return path


def load(path: Path, **how: Any) -> Dataset:
    return load_dataset(str(path), {}, how=Preparation(**how))


def zip_of(folder: Path, path: Path, top: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path


def first_pixels(dataset: Dataset) -> list[list[int]]:
    return dataset.samples[:, :, 0, 0].tolist()


@pytest.mark.parametrize("form", ["folder", "zip", "zip with one top folder"])
def test_subfolders_are_classes_in_byte_order(tmp_path: Path, form: str) -> None:
    root = tmp_path / "pets"
    put(root / "é" / "1.png", color=BLUE)
    put(root / "cat" / "deep" / "er" / "2.bmp", color=GREEN)
    put(root / "cat" / "1.ppm", color=RED)
    put(root / "Dog" / "1.webp", color=(7, 7, 7), lossless=True)
    path = root
    if form != "folder":
        path = zip_of(root, tmp_path / "pets.zip", "" if form == "zip" else "top/")
    dataset = load(path)
    assert dataset.name == "pets"
    assert dataset.spec.shape == (3, 4, 4)
    assert dataset.spec.classes == ("Dog", "cat", "é")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 1, 1, 2]
    assert first_pixels(dataset) == [[7, 7, 7], list(RED), list(GREEN), list(BLUE)]
    assert dataset.describe() == "pets: 4 images, RGB 4x4, 3 classes (Dog 1 · cat 2 · é 1)"


def test_a_flat_folder_has_no_labels_and_junk_is_ignored(tmp_path: Path) -> None:
    put(tmp_path / "b.png", color=BLUE)
    put(tmp_path / "a.JPG", color=RED, quality=100)
    put(tmp_path / "._a.png")
    put(tmp_path / ".hidden" / "x.png")
    put(tmp_path / "__MACOSX" / "x.png")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "docs").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "root").symlink_to("/")
    (tmp_path / "loop").symlink_to(tmp_path)
    dataset = load(tmp_path)
    assert len(dataset) == 2
    assert dataset.labels is None
    assert dataset.samples[1, :, 0, 0].tolist() == list(BLUE)
    assert dataset.notes == ("3 other files ignored (.png, .txt)", "2 linked folders not followed")


def test_loose_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    put(tmp_path / "cat" / "a.png")
    with pytest.raises(InputError, match="both directly"):
        load(tmp_path)


def test_grey_images_of_all_kinds_have_one_channel(tmp_path: Path) -> None:
    put(tmp_path / "1.png", "L", color=9)
    put(tmp_path / "2.png", "1", color=1)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 77, 77, 77])
    palette.save(tmp_path / "3.png")
    Image.fromarray(np.full((4, 4), 30_000, np.uint16)).save(tmp_path / "4.png")
    (tmp_path / "5.pgm").write_bytes(b"P5 4 4 65535\n" + b"\x80\x00" * 16)
    dataset = load(tmp_path)
    assert first_pixels(dataset) == [[9], [255], [77], [117], [128]]  # 30000 / 257 = 116.7
    assert dataset.notes == ("2 files of 16 bits scaled to 8 bits",)


def test_mixed_modes_become_rgb_and_every_loss_is_said(tmp_path: Path) -> None:
    put(tmp_path / "1.png", "L", color=9)
    put(tmp_path / "2.png", "LA", color=(8, 3))
    put(tmp_path / "3.png", "RGBA", color=(1, 2, 3, 4))
    put(tmp_path / "4.jpg", "CMYK", color=(0, 255, 255, 0), quality=100)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "5.png")
    palette.save(tmp_path / "6.png", transparency=b"\xff\x40")
    dataset = load(tmp_path)
    pixels = first_pixels(dataset)
    assert pixels[:3] == [[9, 9, 9], [252, 252, 252], [251, 251, 251]]  # 8 * 3/255 + 255 * 252/255, and so on
    np.testing.assert_allclose(pixels[3], [255, 0, 0], atol=3)
    assert pixels[4:] == [[10, 20, 30], [194, 196, 199]]
    assert dataset.notes == ("2 grey files became RGB", "3 transparent files laid on white")


def test_alpha_is_kept_when_all_images_have_it(tmp_path: Path) -> None:
    put(tmp_path / "1.png", "RGBA", color=(1, 2, 203, 4))
    put(tmp_path / "2.png", "LA", color=(8, 5))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "3.png", transparency=b"\xff\x40")
    dataset = load(tmp_path)
    assert first_pixels(dataset) == [[1, 2, 203, 4], [8, 8, 8, 5], [10, 20, 30, 64]]
    assert dataset.notes == ("1 grey file became RGBA",)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_rotation_is_applied(tmp_path: Path, suffix: str) -> None:
    image = Image.new("L", (16, 8), 0)
    image.paste(255, (0, 0, 8, 8))  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a clockwise quarter turn: the left half comes up
    image.save(tmp_path / f"a{suffix}", exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    dataset = load(tmp_path)
    assert dataset.spec.shape[1:] == (16, 8)
    assert dataset.samples[0, 0, :8].min() >= 250
    assert dataset.samples[0, 0, 8:].max() <= 5


def test_broken_exif_counts_as_none(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffgarbage")
    assert load(tmp_path).spec.shape == (3, 4, 4)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_of_an_animation_the_first_frame_is_taken_and_said(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in (GREEN, RED, BLUE)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    dataset = load(tmp_path)
    assert dataset.samples[0, :3, 0, 0].tolist() == list(GREEN)
    assert "1 file of several frames or pages: the first only (--frames all: each)" in dataset.notes


def test_images_need_not_be_square(tmp_path: Path) -> None:
    put(tmp_path / "a.png", size=(5, 3))
    assert load(tmp_path).spec.shape == (3, 3, 5)


def test_mixed_sizes_need_a_size_and_get_a_centre_crop(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / f"{number}.png", size=(8, 4))
    wide = Image.new("RGB", (12, 4), GREEN)
    wide.paste(RED, (4, 0, 8, 4))  # only the middle is red
    wide.save(tmp_path / "3.png")
    with pytest.raises(InputError, match=r"4x8 \(75 %\) and 1 other size") as caught:
        load(tmp_path)
    assert "--size HEIGHTxWIDTH" in str(caught.value.hint)
    for size in ((4, 4), (2, 2)):
        dataset = load(tmp_path, size=size)
        assert dataset.samples.shape == (4, 3, *size)
        assert dataset.samples[3, :, 0, 0].tolist() == list(RED)
        assert dataset.samples[3, :, -1, -1].tolist() == list(RED)
        assert dataset.notes == (f"4x8 and 1 other size -> {size[0]}x{size[1]} centre crop, Lanczos",)


def test_resizing_is_lanczos_of_the_centre_box(tmp_path: Path) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = Image.fromarray(pixels[:, 5:25]).resize((8, 8), Image.Resampling.LANCZOS)
    result = load(tmp_path, size=(8, 8)).samples[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(result, np.asarray(expected))


def soft_photo(path: Path, height: int, width: int, orientation: int = 1) -> None:
    """Smooth colours, as a JPEG."""
    noise = np.random.default_rng(1).integers(0, 256, (4, 5, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=95, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_photograph_is_decoded_at_a_fraction_of_its_size(tmp_path: Path, orientation: int) -> None:
    """The last row and column of such a decoding are filled up: sides that 8 does not divide, turned every way."""
    soft_photo(tmp_path / "set" / "a.jpg", 333, 517, orientation)
    with Image.open(tmp_path / "set" / "a.jpg") as image:
        ImageOps.exif_transpose(image).save(tmp_path / "whole.png")
    with Image.open(tmp_path / "whole.png") as whole:
        square = whole.crop(((whole.width - 333) // 2, (whole.height - 333) // 2, (whole.width + 333) // 2, (whole.height + 333) // 2))  # fmt: skip
        expected = np.asarray(square.resize((16, 16), Image.Resampling.LANCZOS)).astype(int)
    dataset = load(tmp_path / "set", size=(16, 16))
    assert np.abs(dataset.samples[0].permute(1, 2, 0).numpy() - expected).mean() < 1  # 3 if it is shifted
    assert "1 JPEG file decoded at a fraction of the size, 2 times that of the images or more" in dataset.notes


def test_only_a_photograph_four_times_as_large_is_decoded_at_a_fraction(tmp_path: Path) -> None:
    soft_photo(tmp_path / "set" / "a.jpg", 127, 200)
    dataset = load(tmp_path / "set", size=(32, 32))
    assert len(dataset.notes) == 1
    with Image.open(tmp_path / "set" / "a.jpg") as image:
        square = image.crop((36, 0, 163, 127)).resize((32, 32), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(dataset.samples[0].permute(1, 2, 0).numpy(), np.asarray(square))


def test_how_much_is_decoded_belongs_to_the_identity_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft_photo(tmp_path / "set" / "a.jpg", 128, 128)
    identities = set()
    for times in (2, 4):
        monkeypatch.setattr(images, "REDUCED_TO", times)
        with open_rows(str(tmp_path / "set"), {}, Preparation(size=(16, 16))) as rows:
            identities.add(rows.identity())
    assert len(identities) == 2


def broken_set(root: Path) -> Path:
    for number, color in enumerate((RED, GREEN, BLUE)):
        put(root / "a" / f"{number}.png", size=(32, 32), color=color)
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype(np.uint8))
    noise.save(root / "a" / "1cut.jpg")  # its header is fine
    whole = (root / "a" / "1cut.jpg").read_bytes()
    (root / "a" / "1cut.jpg").write_bytes(whole[:-200])
    (root / "b").mkdir()
    (root / "b" / "text\x1b.png").write_text("no image")
    (root / "b" / "empty.jpg").write_bytes(b"")
    return root


def test_unreadable_images_are_named_with_a_reason_and_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 of 6 images cannot be read") as caught:
        load(broken_set(tmp_path))
    assert "b/empty.jpg: empty" in caught.value.message
    assert "b/text\\x1b.png: not an image of a kind that is read (it starts with 'no image')" in caught.value.message
    assert "--on-bad-image skip" in str(caught.value.hint)
    for file in (tmp_path / "b").iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"1 of 4 images cannot be read: a/1cut.jpg: "):
        load(tmp_path)


@pytest.mark.parametrize("zipped", [False, True])
def test_unreadable_images_can_be_skipped_and_are_logged(
    tmp_path: Path, zipped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    root = broken_set(tmp_path / "set")
    path = zip_of(root, tmp_path / "set.zip") if zipped else root
    with caplog.at_level(logging.WARNING, logger="gankit"):
        dataset = load(path, on_bad_image="skip")
    assert first_pixels(dataset) == [list(RED), list(GREEN), list(BLUE)]
    assert dataset.spec.classes == ("a",)  # of b nothing is left
    assert "3 unreadable files skipped" in dataset.notes
    assert all(name in caplog.text for name in ("1cut.jpg", "empty.jpg", "text\\x1b.png"))


def test_skipping_everything_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match="1 of 1 image"):
        load(tmp_path, on_bad_image="skip")


def test_an_empty_folder_says_what_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no images") as caught:
        load(tmp_path)
    assert "read are PNG, JPEG, WebP, AVIF" in str(caught.value.hint)


def test_too_little_memory_is_noticed_before_allocating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a.png", size=(100, 100))
    monkeypatch.setattr(limits, "available_memory", lambda: 10_000)
    with pytest.raises(ResourceError, match="30,000 bytes") as caught:
        load(tmp_path)
    assert "--size" in str(caught.value.hint)
    assert load(tmp_path, size=(8, 8)).spec.shape == (3, 8, 8)


def test_class_names_that_look_alike_are_kept_and_said(tmp_path: Path) -> None:
    put(tmp_path / "cat" / "1.png")
    put(tmp_path / "Cat" / "1.png")
    dataset = load(tmp_path)
    assert dataset.spec.classes == ("Cat", "cat")
    assert "classes 'Cat' and 'cat' differ only by case or Unicode form" in dataset.notes


def test_class_names_that_are_no_utf8_can_be_written_to_json(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    put(folder / "a.png")
    dataset = load(tmp_path)
    assert dataset.spec.classes == ("\\xff",)
    assert dataset.describe().encode("utf-8")


def test_both_passes_tell_their_progress(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    calls: list[tuple[str, int, int]] = []
    with progress.to(lambda *call: calls.append(call)):
        load(tmp_path)
    assert calls == [("reading headers", 1, 1), ("decoding images", 1, 1)]


def test_zip_members_are_never_written_to_disk(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), RED).save(buffer, "PNG")
    folder = tmp_path / "in"
    folder.mkdir()
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for name in ("../../evil/a.png", "/abs/a.png", "C:\\x.png", "ok/b.png"):
            archive.writestr(name, buffer.getvalue())
    assert load(folder / "x.zip").spec.classes == ("C:", "abs", "ok")  # names of classes, and no paths
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "x.zip"]
