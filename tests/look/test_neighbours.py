"""The nearest training images: exact, in order, of the run's own data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import gankit

import gankit as api
from gankit.errors import InputError
from gankit.look import neighbours as module
from gankit.look.neighbours import nearest, neighbours


def test_the_nearest_are_exact_and_in_order_also_over_several_parts() -> None:
    torch.manual_seed(0)
    samples, real = torch.randn(3, 6), torch.randn(50, 6)
    real[17] = samples[1]
    expected = torch.cdist(samples.double(), real.double()).topk(4, largest=False)
    for rows in (50, 7, 3):
        distances, indices = nearest(samples, torch.split(real, rows), 4)
        assert torch.equal(indices, expected.indices)
        torch.testing.assert_close(distances.double(), expected.values, atol=1e-5, rtol=1e-5)
    assert distances[1, 0] == 0
    assert indices[1, 0] == 17


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on forty small images of two classes; one of them equals its sample for seed 5."""
    base = tmp_path_factory.mktemp("neighbours")
    images = np.random.RandomState(0).randint(0, 255, (40, 12, 12)).astype(np.uint8)
    np.savez(base / "data.npz", images=images, labels=np.arange(40) % 2)
    settings = {"steps": 1, "batch": 4, "z_dim": 8, "device": "cpu"}
    api.train("gan", data=base / "data.npz", out=base / "run", **settings)  # type: ignore[arg-type]
    images[23] = api.load(base / "run").sample(seeds=[4, 5])[1, :, :, 0]  # in the batch that is asked for below
    np.savez(base / "copied.npz", images=images, labels=np.arange(40) % 2)
    return base


def test_a_copied_image_is_found_at_distance_zero(folder: Path) -> None:
    found = neighbours(folder / "run", [4, 5], 3, settings=module.EvalSettings(against=str(folder / "copied.npz")))
    assert int(found.indices[1, 0]) == 23
    assert float(found.distances[1, 0]) == 0
    assert (found.images[1, 0] == found.samples[1]).all()
    assert float(found.distances[0, 0]) > 1


def test_the_distance_is_that_of_pixels_between_zero_and_one(folder: Path) -> None:
    found = neighbours(folder / "run", [0], 40)
    real = np.load(folder / "data.npz")["images"][found.indices[0].numpy()] / 255
    expected = np.sqrt(((real - found.samples[0, :, :, 0] / 255) ** 2).sum((1, 2)))
    assert found.distances[0].numpy() == pytest.approx(expected, rel=1e-5)
    assert sorted(found.indices[0].tolist()) == list(range(40))


def test_the_command_draws_and_tells(folder: Path, shared_home: Path) -> None:
    result = gankit("neighbours", "run", "--seeds", "0,3", "-k", "2", "--json", "-o", "n.png", cwd=folder)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert [row["seed"] for row in document["neighbours"]] == [0, 3]
    assert [len(row["indices"]) for row in document["neighbours"]] == [2, 2]
    with Image.open(folder / "n.png") as picture:
        assert json.loads(picture.text["gankit"]) == {"seeds": [0, 3], "space": "pixels"}  # type: ignore[attr-defined]


def test_distances_in_a_feature_space(folder: Path) -> None:
    found = neighbours(folder / "run", [0], 2, features="classifier")
    assert found.space == "classifier"
    assert bool((found.distances[0, 0] <= found.distances[0, 1]).item())


def test_refusals(folder: Path) -> None:
    with pytest.raises(InputError, match="41 neighbours of 40"):
        neighbours(folder / "run", [0], 41)
    with pytest.raises(InputError, match="one picture holds 4,096"):
        neighbours(folder / "run", range(3000), 5)
    with pytest.raises(InputError, match="unknown feature space 'pixls'"):
        neighbours(folder / "run", [0], 1, features="pixls")
