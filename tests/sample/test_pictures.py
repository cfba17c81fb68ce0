"""From numbers to pixels: exact values, not just shapes."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from gankit.contracts import DataSpec
from gankit.data import Dataset
from gankit.modality import Images
from gankit.modality.images import GAP, grid
from gankit.modality.points import plot
from gankit.sample.pictures import png


def test_pixels_are_the_inverse_of_how_data_is_scaled() -> None:
    every_level = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    real = Dataset.from_arrays("levels", every_level).real(torch.tensor([0]))
    assert real.min() == -1
    assert real.max() == 1
    assert np.array_equal(Images().stored(real)[0, 0].numpy(), every_level[0])


def test_pixels_clamp_and_put_channels_last() -> None:
    images = torch.tensor([-3.0, 0.0, 3.0]).reshape(1, 3, 1, 1)
    assert Images().array(Images().stored(images), DataSpec((3, 1, 1))).tolist() == [[[[0, 128, 255]]]]


def test_a_grid_shows_each_image_at_its_place() -> None:
    levels = np.array([10, 20, 30, 40, 50], dtype=np.uint8)
    pixels = np.broadcast_to(levels[:, None, None, None], (5, 60, 40, 1))
    sheet = np.asarray(grid(np.ascontiguousarray(pixels)))
    assert sheet.shape == (2 * (60 + GAP) + GAP, 3 * (40 + GAP) + GAP)  # five images: three columns, two rows
    centres = [(GAP + 30 + row * (60 + GAP), GAP + 20 + column * (40 + GAP)) for row in range(2) for column in range(3)]
    assert [int(sheet[y, x]) for y, x in centres] == [10, 20, 30, 40, 50, 255]


def test_small_images_are_enlarged_by_a_whole_factor_without_blur() -> None:
    pixels = np.array([[0, 255], [255, 0]], dtype=np.uint8).reshape(1, 2, 2, 1)
    sheet = np.asarray(grid(pixels))[GAP:-GAP, GAP:-GAP]
    assert sheet.shape == (56, 56)
    assert set(np.unique(sheet)) == {0, 255}
    assert (sheet[:28, :28] == 0).all()


def test_colour_and_transparency_survive() -> None:
    for channels, mode in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        assert grid(np.zeros((1, 8, 8, channels), np.uint8)).mode == mode


def test_a_plot_of_points_shows_both_sets_and_survives_infinities() -> None:
    real = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    fake = torch.tensor([[0.5, 0.5], [float("inf"), 0.0]])
    picture = np.asarray(plot(fake, real))
    assert tuple(picture[256, 256]) == (214, 69, 65)  # the fake one in the middle
    assert (picture == 150).all(axis=2).sum() > 20
    nothing = plot(torch.full((3, 2), float("nan")))
    assert nothing.size == (512, 512)
    line = np.asarray(plot(torch.randn(500, 1), torch.randn(500, 1)))
    assert (line != 255).any()


def test_png_bytes_carry_text() -> None:
    data = png(Image.new("L", (2, 2)), text={"gankit": "hello"})
    with Image.open(io.BytesIO(data)) as image:
        assert image.text == {"gankit": "hello"}  # type: ignore[attr-defined]


def test_captions_stand_below_their_cells() -> None:
    pixels = np.full((4, 28, 28, 1), 200, np.uint8)
    plain, told = np.asarray(grid(pixels, 2)), np.asarray(grid(pixels, 2, ["0", "1", "22", "3"]))
    assert told.shape == (plain.shape[0] + 2 * 12, plain.shape[1])
    below = told[2 + 56 : 2 + 56 + 12]
    assert (below < 128).any(axis=0)[:58].any()
    assert (below < 128).any(axis=0)[58:].any()
    assert (told[2 : 2 + 56, 2 : 2 + 56] == 200).all()
