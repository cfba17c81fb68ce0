"""Which value is black and which is white: inferred from all values, said, decided by --range, or refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gankit.data import Dataset, Preparation, load_dataset
from gankit.data.formats.levels import parse_range
from gankit.errors import InputError

RNG = np.random.default_rng(0)
UNIT = RNG.random((20, 8, 8)).astype(np.float32)
UNIT[0, 0, :2] = 0, 1
MANY = RNG.integers(0, 256, (20, 8, 8))


def load(path: Path, **how: Any) -> Dataset:
    return load_dataset(str(path), {}, how=Preparation(**how))


def of_array(tmp_path: Path, array: np.ndarray, **how: Any) -> Dataset:
    np.save(tmp_path / "x.npy", array)
    return load(tmp_path / "x.npy", **how)


def changed(array: np.ndarray, value: float) -> np.ndarray:
    """One pixel of another value."""
    copy = array.copy()
    copy[3, 3, 3] = value
    return copy


@pytest.mark.parametrize("value", [1.0000001, 1.005, -0.001])
def test_an_overshoot_does_not_decide_the_range(tmp_path: Path, value: float) -> None:
    pixels = of_array(tmp_path, changed(UNIT, value)).samples[:, 0].numpy()
    expected = np.rint(np.clip(changed(UNIT, value), 0, 1) * 255)
    assert np.abs(pixels - expected).max() == 0
    assert "was clipped" in of_array(tmp_path, changed(UNIT, value)).describe()


@pytest.mark.parametrize(
    "array",
    [UNIT - 0.5, changed(UNIT, 200.0), changed(UNIT, -1.0), (UNIT - 0.45) / 0.225, UNIT * 2, UNIT * 0.2, UNIT * 300],
    ids=["half", "one pixel of 200", "one pixel of -1", "standardised", "to 2", "dark", "to 300"],
)
def test_floats_that_allow_several_answers_are_refused_with_the_way_out(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(InputError, match="pixel values run from") as caught:
        of_array(tmp_path, array)
    assert "--range LOW,HIGH" in (caught.value.hint or "")
    low, high = float(array.min()), float(array.max())
    assert of_array(tmp_path, array, value_range=(low, high)).samples.amax() == 255


def test_a_range_that_is_given_decides(tmp_path: Path) -> None:
    dataset = of_array(tmp_path, UNIT - 0.5, value_range=(-0.5, 0.5))
    assert np.abs(dataset.samples[:, 0].numpy() - np.rint(UNIT * 255)).max() <= 1
    assert "-0.5 black and 0.5 white (as --range says)" in dataset.describe()
    with pytest.raises(InputError, match="all outside --range 5,6"):
        of_array(tmp_path, UNIT, value_range=(5, 6))
    with pytest.raises(InputError, match="points have no black and white"):
        of_array(tmp_path, UNIT[:, 0], value_range=(0, 1))


@pytest.mark.parametrize(
    ("array", "white", "note"),
    [
        (RNG.integers(0, 17, (20, 8, 8)).astype(np.uint8), 16, "values 0..16 became 8-bit pixels, 0 black and 16 white"),
        (RNG.integers(0, 16, (20, 8, 8)).astype(np.float64), 15, "0 black and 15 white (--range 0,255 leaves them)"),
        (RNG.integers(0, 4096, (20, 8, 8)).astype(np.uint16), 4095, "0 black and 4095 white (--range decides otherwise)"),
        (changed(RNG.integers(0, 4096, (20, 8, 8)), 65_000).astype(np.uint16), 4095, "fewer than 1 in 1,000"),
        (RNG.integers(0, 65_536, (20, 8, 8)).astype(np.uint32), 65_535, "65535 white"),
        (MANY.astype(np.int64), 255, ""),
        (MANY.astype(np.float32), 255, "floats in [0, 255]"),
        ((MANY // 3).astype(np.uint8), 255, ""),  # dark, but not for want of bits
    ],
    ids=["0..16", "0..15 as floats", "12 bits", "a dead pixel", "16 bits", "bytes", "bytes as floats", "dark"],
)  # fmt: skip
def test_a_small_part_of_the_range_is_stretched_and_said(
    tmp_path: Path, array: np.ndarray, white: int, note: str
) -> None:
    dataset = of_array(tmp_path, array)
    expected = np.rint(np.clip(array.astype(np.float64) / white, 0, 1) * 255)
    assert np.abs(dataset.samples[:, 0].numpy() - expected).max() <= 1
    assert note in dataset.describe()
    assert bool(dataset.notes) == bool(note)


def test_the_levels_of_large_images_are_those_of_all_of_them(tmp_path: Path) -> None:
    array = RNG.integers(0, 4096, (4, 600, 600)).astype(np.uint16)
    array[0] //= 14  # the first one is dark
    dataset = of_array(tmp_path, array)
    assert "0 black and 4095 white" in dataset.describe()
    assert np.abs(dataset.samples[:, 0].numpy() - array * (255 / 4095)).max() <= 1


def test_a_range_holds_for_all_channels_of_images_that_are_no_colours() -> None:
    array = np.full((4, 8, 8, 6), 100, np.uint8)
    array[0], array[1] = 50, 0
    named = Dataset.from_arrays("named", array, kind="images")
    ranged = load_dataset("named", {"named": lambda: named}, how=Preparation(value_range=(0, 100)))
    assert ranged.samples[:, :, 0, 0].tolist() == [[128] * 6, [0] * 6, [255] * 6, [255] * 6]


@pytest.mark.parametrize("kind", [np.uint8, np.int64, bool, np.float32])
def test_masks_are_black_and_white(tmp_path: Path, kind: type) -> None:
    mask = RNG.integers(0, 2, (20, 8, 8))
    dataset = of_array(tmp_path, mask.astype(kind))
    assert torch.equal(dataset.samples[:, 0], torch.from_numpy(mask * 255).to(torch.uint8))
    assert "two values, 0 and 1, became black and white" in dataset.describe()
    kept = of_array(tmp_path, mask.astype(np.uint8), value_range=(0, 255))
    assert kept.samples.max() == 1


def folder_of(tmp_path: Path, images: np.ndarray) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    return folder


def test_files_of_masks_and_of_few_levels_are_stretched_too(tmp_path: Path) -> None:
    mask = RNG.integers(0, 2, (6, 8, 8)).astype(np.uint8)
    folder = folder_of(tmp_path, mask)
    assert torch.equal(load(folder).samples[:, 0], torch.from_numpy(mask * 255))
    assert "two values, 0 and 1" in load(folder).describe()
    assert load(folder, value_range=(0, 255)).samples.max() == 1
    assert torch.equal(load(folder, value_range=(0, 1)).samples, load(folder).samples)


def test_twelve_bits_in_files_of_sixteen_keep_their_grey_levels(tmp_path: Path) -> None:
    values = RNG.integers(0, 4096, (6, 8, 8)).astype(np.uint16)
    values[0, 0, :2] = 0, 4095
    folder = folder_of(tmp_path, values)
    dataset = load(folder)
    assert np.abs(dataset.samples[:, 0].numpy() - np.rint(values / 4095 * 255)).max() <= 1
    assert "6 files of 16 bits scaled to 8 bits (values up to 4,095, so 4,095 is white)" in dataset.describe()
    halved = load(folder, value_range=(0, 8191)).samples[:, 0].numpy()
    assert np.abs(halved - np.rint(values / 8191 * 255)).max() <= 1
    Image.fromarray(np.full((8, 8), 9, np.uint8)).save(folder / "byte.png")
    with pytest.raises(InputError, match="6 of 7 files have 16 bits: --range cannot mean both kinds"):
        load(folder, value_range=(0, 4095))


@pytest.mark.parametrize("text", ["", "1", "0,1,2", "1,0", "a,b", "0,inf", "nan,1"])
def test_a_range_is_two_numbers(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"--range {text}: not two numbers")):
        parse_range(text)
    assert parse_range("-0.5,1e3") == (-0.5, 1000.0)


# -- alpha and channels ------------------------------------------------------------------------------------------------


def test_pictures_that_are_white_in_alpha_are_laid_on_black(tmp_path: Path) -> None:
    """Half grey, half RGBA with the picture in alpha: on white all of the latter would be solid squares."""
    ramp = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([np.full((8, 8, 3), 255, np.uint8), ramp])).save(tmp_path / "b.png")
    dataset = load(tmp_path)
    assert torch.equal(dataset.samples[0], dataset.samples[1])
    assert "1 transparent file laid on black" in dataset.describe()


def test_a_colour_key_is_alpha(tmp_path: Path) -> None:
    """tRNS: one colour is transparent, whatever it is."""
    pixels = np.full((8, 8, 3), (10, 200, 30), np.uint8)
    pixels[:4] = 255, 0, 0
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(255, 0, 0))
    assert load(tmp_path).samples[0, :, 0, 0].tolist() == [255, 0, 0, 0]
    Image.fromarray(pixels).save(tmp_path / "b.png")
    mixed = load(tmp_path)
    assert mixed.samples[:, :, 0, 0].tolist() == [[255, 255, 255], [255, 0, 0]]
    assert "1 transparent file laid on white" in mixed.describe()


@pytest.mark.parametrize(("channels", "first"), [(1, [133]), (3, [10, 200, 110]), (4, [10, 200, 110, 255])])
def test_channels_are_as_they_are_asked_for(tmp_path: Path, channels: int, first: list[int]) -> None:
    pixels = RNG.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    pixels[1, 0, 0] = 10, 200, 110
    folder = tmp_path / "files"
    folder.mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png")
    np.save(tmp_path / "x.npy", pixels)
    for path in (folder, tmp_path / "x.npy"):
        dataset = load(path, channels=channels)
        assert dataset.spec.shape == (channels, 8, 8)
        assert dataset.samples[1, :, 0, 0].tolist() == first
    assert torch.equal(load(folder, channels=channels).samples, load(tmp_path / "x.npy", channels=channels).samples)


def test_a_range_beside_the_values_is_refused_for_files_and_named_sets_too(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, MANY[:4].astype(np.uint8))
    with pytest.raises(InputError, match="all outside --range 300,400"):
        load(folder, value_range=(300, 400))
    assert "0 black and 128 white (as --range says)" in load(folder, value_range=(0, 128)).describe()
    named = Dataset.from_arrays("named", MANY.astype(np.uint8))
    with pytest.raises(InputError, match="'named': pixel values run from 0 to 255, all outside --range 300,400"):
        load_dataset("named", {"named": lambda: named}, how=Preparation(value_range=(300, 400)))
