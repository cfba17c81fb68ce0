"""The convex polygons: the numbers of the published program, its raster, its two slips."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gankit.data.formats import Array
from gankit.data.sets.polygons import POLYGONS, SPLITS, PolygonFamily, grey, parameters, polygons, rasterise
from gankit.errors import InputError
from gankit.score.polygon_fit import derivatives

TRIANGLES = PolygonFamily(3)
NAMED = {
    "triangles": TRIANGLES,
    "triangles-fixed": PolygonFamily(3, as_published=False),
    "squares": PolygonFamily(4),
    "squares-fixed": PolygonFamily(4, as_published=False),
}
ALL = list(NAMED.values())


def uniform(family: PolygonFamily, n: int, seed: int = 0) -> Array:
    return np.random.RandomState(seed).random_sample((n, family.n_vertices + 1))


def slow_raster(corners: Array) -> Array:
    """White sub-pixels of one polygon [n, 2], in counter-clockwise order: half-planes, then a box filter."""
    x, y = np.mgrid[0:224, 0:224]
    inside = np.ones((224, 224), dtype=bool)
    for (ax, ay), (bx, by) in zip(corners * 8, np.roll(corners, -1, axis=0) * 8, strict=True):
        inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0
    white = np.pad((~inside).astype(int), ((3, 4), (3, 4)), constant_values=1)
    return np.array([[white[8 * i : 8 * i + 8, 8 * j : 8 * j + 8].sum() for j in range(28)] for i in range(28)])


def test_the_first_polygons_are_the_published_ones() -> None:
    u = uniform(TRIANGLES, 2)
    np.testing.assert_allclose(np.degrees(TRIANGLES.angles(u))[0], [70.369485, 208.67083, 316.303971], atol=1e-6)
    assert np.degrees(u[0, -1] * TRIANGLES.rotation) == pytest.approx(3.423602, abs=1e-6)
    expected = [
        [(17.525223, 24.498501), (3.916424, 10.358568), (20.558353, 7.142931)],
        [(20.437787, 23.604884), (3.708959, 12.648663), (17.853254, 5.746453)],
    ]
    np.testing.assert_allclose(TRIANGLES.vertices(u), expected, atol=1e-6)
    image = rasterise(TRIANGLES.vertices(u))[0] / 64
    assert (1 - image).sum() == 139.5
    assert image[14].sum() == 15.515625
    assert len(np.unique(image)) == 36


@pytest.mark.parametrize("family", [*ALL, PolygonFamily(7)], ids=lambda f: f.name)
def test_the_fast_raster_is_the_slow_one(family: PolygonFamily) -> None:
    corners = family.vertices(uniform(family, 12, seed=5))
    np.testing.assert_array_equal(rasterise(corners), np.stack([slow_raster(one) for one in corners]))


def test_polygons_over_the_edge_and_along_the_grid_are_cut_and_counted() -> None:
    triangle = np.array([[-4.3, 3.1], [31.7, -2.2], [20.4, 33.3]])
    np.testing.assert_array_equal(rasterise(triangle[None])[0], slow_raster(triangle))
    box = np.array([[2.06, 3.06], [6.06, 3.06], [6.06, 8.06], [2.06, 8.06]])
    np.testing.assert_array_equal(rasterise(box[None])[0], slow_raster(box))
    assert (64 - rasterise(box[None])).sum() == 4 * 5 * 64


def test_grey_levels_are_rounded_and_span_the_range() -> None:
    assert grey(np.array([0, 1, 32, 63, 64])).tolist() == [0, 4, 128, 251, 255]
    assert grey(np.arange(65)).dtype == np.uint8


@pytest.mark.parametrize("family", ALL, ids=lambda f: f.name)
def test_quirks(family: PolygonFamily) -> None:
    u = uniform(family, 20_000)
    degrees = np.degrees(family.angles(u))
    gaps = np.diff(degrees, axis=1, append=degrees[:, :1] + 360)
    least, turn = (10, 6.2832) if family.as_published else (20, 360)
    assert least <= gaps.min() < least + 2
    assert np.degrees(family.rotation) == pytest.approx(turn, abs=1e-4)
    corners = family.vertices(u)
    np.testing.assert_allclose(corners.mean(axis=1), 14)
    radius = np.linalg.norm(corners - corners.mean(axis=1, keepdims=True), axis=-1)
    assert radius.max() < 21
    assert corners.min() > 0
    assert corners.max() < 28


def test_the_splits_are_slices_of_one_shuffled_set() -> None:
    u = parameters(TRIANGLES)
    drawn = uniform(TRIANGLES, POLYGONS)
    assert u.shape == (80_000, 4)
    assert not (u[:100] == drawn[:100]).all()
    np.testing.assert_array_equal(np.sort(u[:, 0]), np.sort(drawn[:, 0]))
    assert [i for part in SPLITS.values() for i in range(POLYGONS)[part]] == list(range(POLYGONS))
    for split, size in (("train", 60_000), ("test", 10_000), ("holdout", 10_000)):
        data = polygons(TRIANGLES, split)
        assert len(data) == size
        expected = grey(rasterise(TRIANGLES.vertices(u[SPLITS[split]][[0, -1]])))
        assert torch.equal(data.samples[[0, -1], 0], torch.from_numpy(expected))
        if split == "train":
            mean = data.samples[:5000].double().mean() / 255
            assert float(mean) == pytest.approx(0.867, abs=0.002)


@pytest.mark.parametrize(("name", "family"), NAMED.items(), ids=NAMED)
def test_data_sets_are_named_and_have_no_labels(name: str, family: PolygonFamily) -> None:
    data = polygons(family, "test")
    assert data.name == family.name == name
    assert data.labels is None
    assert data.samples.dtype == torch.uint8
    assert data.samples.shape == (10_000, 1, 28, 28)
    assert data.describe() == f"{name}: 10,000 images, grey 28x28"


@pytest.mark.parametrize("family", ALL, ids=lambda f: f.name)
def test_derivatives_point_where_the_image_goes(family: PolygonFamily) -> None:
    u, size = 0.1 + 0.8 * uniform(family, 8, seed=3), 0.02  # about half a pixel: less, and the sub-pixels show
    weights, speeds = derivatives(family, u)
    analytic = np.einsum("pex,pek->pkx", weights, speeds)
    for k in range(family.n_vertices + 1):
        shift = np.zeros(family.n_vertices + 1)
        shift[k] = size * (1 if k < family.n_vertices else 2 / family.rotation)
        tiny = shift / 1000
        change = family.vertices(u + tiny) - family.vertices(u - tiny)
        np.testing.assert_allclose(change / (2 * tiny[k]), family.velocity(u)[..., k], atol=1e-4)
        images = [rasterise(family.vertices(u + sign * shift)).reshape(8, -1) / 64 for sign in (1, -1)]
        measured = (images[0] - images[1]) / (2 * shift[k])
        for a, b in zip(analytic[:, k], measured, strict=True):
            assert a @ b > 0.9 * np.linalg.norm(a) * np.linalg.norm(b)


def test_unknown_splits_and_impossible_polygons_are_refused() -> None:
    with pytest.raises(InputError, match="triangles: no split 'tests'") as refused:
        polygons(TRIANGLES, "tests")
    assert refused.value.hint == "did you mean 'test'? there are train, test, holdout"
    for n in (2, 19):
        with pytest.raises(InputError, match=f"polygons with {n} vertices"):
            PolygonFamily(n)
