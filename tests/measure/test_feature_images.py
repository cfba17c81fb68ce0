"""Images on their way into a feature network: grey and RGBA as RGB, and the resizing of TensorFlow 1."""

from __future__ import annotations

import pytest
import torch
from support_data import random_images

from gankit.measure.features.inception_graph import resize_tf1
from gankit.measure.features.pixels import as_rgb


def test_grey_is_repeated_and_rgba_is_laid_on_white() -> None:
    grey = random_images(2, 1)
    assert as_rgb(grey).equal(torch.cat([grey] * 3, 1))
    rgba = torch.tensor([[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 51]], dtype=torch.uint8).view(3, 4, 1, 1)
    expected = [[10, 20, 30], [255, 255, 255], [204, 224, 244]]  # 51 / 255 = 0.2: 0.2 * colour + 0.8 * 255
    assert as_rgb(rgba).view(3, 3).tolist() == expected
    assert as_rgb(rgba).dtype == torch.uint8


def test_resize_tf1_by_hand() -> None:
    """Two pixels to four: positions 0, 0.5, 1, 1.5; beyond the last pixel it is repeated."""
    image = torch.tensor([[0.0, 10.0], [100.0, 130.0]]).view(1, 1, 2, 2)
    expected = [[0, 5, 10, 10], [50, 60, 70, 70], [100, 115, 130, 130], [100, 115, 130, 130]]
    assert resize_tf1(image, 4).view(4, 4).tolist() == expected


@pytest.mark.parametrize(("height", "width"), [(3, 5), (13, 9), (7, 1), (1, 30)])
def test_resize_tf1_by_a_slow_loop(height: int, width: int) -> None:
    side = 7
    image = random_images(1, 1, height, width).double()[0, 0]
    expected = torch.zeros(side, side, dtype=torch.float64)
    for i in range(side):
        for j in range(side):
            y, x = i * height / side, j * width / side
            top, left = int(y + 1e-9), int(x + 1e-9)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
            lower = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
            expected[i, j] = upper * (1 - (y - top)) + lower * (y - top)
    result = resize_tf1(image.float()[None, None], side)
    torch.testing.assert_close(result[0, 0].double(), expected, atol=1e-3, rtol=0)
