"""The data a run trains on: images of any size, points, constant samples, data sets of extensions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support_runs import SMALL, stats_of, train

import gankit
from gankit.errors import PluginError

pytestmark = pytest.mark.usefixtures("tiny_data")


@pytest.mark.parametrize("name", ["gaussian1d", "ring8"])
@pytest.mark.parametrize("variant", ["gan", "lsgan"])
def test_points_train_as_images_do(name: str, variant: str) -> None:
    result = gankit.train(variant, data=name, steps=3, **SMALL)
    generator = gankit.load(result.generator)
    dimensions = generator.data.shape[0]
    samples = generator.sample(5)
    assert samples.shape == (5, dimensions)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("shape", [(9, 13), (16, 12, 3), (8, 8, 4)])
def test_any_size_and_channels_train(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    np.save("x.npy", rng.integers(0, 256, (24, *shape), dtype=np.uint8))
    result = gankit.train("lsgan", data="x.npy", steps=2, **SMALL)
    height, width, channels = (*shape, 1)[:3]
    assert gankit.load(result.generator).sample(3).shape == (3, height, width, channels)


def test_data_without_any_difference_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sample has no variance; a hundred equal ones have 0."""
    for name, images in (("one", np.full((1, 8, 8), 9, np.uint8)), ("equal", np.full((9, 8, 8), 9, np.uint8))):
        np.save(f"{name}.npy", images)
        result = gankit.train("lsgan", data=f"{name}.npy", steps=1, **SMALL)
        assert "diversity" not in stats_of(result.folder)[-1]


def test_an_extension_may_bring_a_data_set() -> None:
    Path("sets.py").write_text(
        "import numpy as np\n"
        "from gankit.plugin import Dataset, hookimpl\n"
        "@hookimpl\n"
        "def gankit_datasets():\n"
        "    return {'ramp': lambda: Dataset.from_arrays('ramp', np.arange(640, dtype=np.uint8).reshape(10, 8, 8))}\n"
    )
    result = gankit.train("gan", data="ramp", extensions=["./sets.py"], steps=2, **SMALL)
    assert result.folder.name == "gan-ramp-0001"


def test_a_catalogue_that_is_no_mapping_is_a_plugin_error() -> None:
    Path("sets.py").write_text(
        "from gankit.plugin import hookimpl\n@hookimpl\ndef gankit_datasets():\n    return ['mine']\n"
    )
    with pytest.raises(PluginError, match="gankit_datasets returned list"):
        train(steps=2, extensions=["./sets.py"])
