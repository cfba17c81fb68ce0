"""Precision and recall on the polygons: what lies on the manifold is found there, what does not is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support import gankit
from torch import Tensor, nn

from gankit import train
from gankit.base import progress
from gankit.data.formats import Array
from gankit.data.sets.polygons import SPLITS, PolygonFamily, grey, parameters, polygons, rasterise
from gankit.errors import InputError
from gankit.game.latent import LatentSpace
from gankit.measure.record import FILE, read_lines
from gankit.modality import Images
from gankit.sample.generator import TrainedGenerator
from gankit.score.manifold import FAMILIES, ManifoldScore, distances, evaluate_manifold, f1, family_of, invert, score
from gankit.store.generator_file import GeneratorHeader, PluginRef

TRIANGLES = PolygonFamily(3)
PAPER_DELTA = 0.75


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Nothing here draws from the global streams of random numbers."""
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    yield
    assert torch.equal(before, torch.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()


def corners(family: PolygonFamily, n: int) -> Array:
    return family.vertices(parameters(family)[SPLITS["test"]][:n])


def drawn(points: Array) -> Tensor:
    return torch.from_numpy(grey(rasterise(points))[:, None])


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_real_polygons_are_on_the_manifold_and_shuffled_ones_are_not(family: PolygonFamily) -> None:
    real = drawn(corners(family, 48))
    near = distances(real, family)
    assert near.dtype == torch.float64
    assert float(near.max()) < 0.1
    order = torch.randperm(784, generator=torch.Generator().manual_seed(0))
    assert float(distances(real.reshape(48, 784)[:, order].reshape(real.shape)[:16], family).min()) > 10


def test_other_shapes_are_off_the_manifold() -> None:
    points = corners(TRIANGLES, 32)
    assert float(distances(drawn(14 + 0.6 * (points - 14)), TRIANGLES).min()) > 2
    assert float(distances(drawn(points + 1), TRIANGLES).min()) > 2
    assert float(distances(drawn(corners(PolygonFamily(4), 32)), TRIANGLES).min()) > 10
    flat = torch.stack([torch.full((1, 28, 28), value, dtype=torch.uint8) for value in (0, 128, 255)])
    assert float(distances(flat, TRIANGLES).min()) > 5


def test_the_distance_is_the_squared_norm_and_restarts_only_help() -> None:
    real = drawn(corners(TRIANGLES, 16))
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(0)) * 0.05
    noisy = ((real / 255 + noise).clamp(0, 1) * 255).round().to(torch.uint8)
    to_real = ((noisy.double() - real) / 255).square().flatten(1).sum(dim=1)
    found = distances(noisy, TRIANGLES)
    assert (found < to_real + 0.02).all()  # there may be a nearer triangle than the one it came from
    assert (found > 0.8 * to_real).all()
    assert (found <= distances(noisy, TRIANGLES, restarts=0)).all()
    assert torch.equal(found, distances(noisy, TRIANGLES))


def test_both_searches_tell_their_progress() -> None:
    calls: list[tuple[str, int, int]] = []
    with progress.to(lambda *call: calls.append(call)):
        distances(drawn(corners(TRIANGLES, 70)), TRIANGLES, restarts=0)
    assert calls == [("precision", 64, 70), ("precision", 70, 70)]
    calls.clear()
    images = torch.zeros(3, 1, 4, 4)
    with progress.to(lambda *call: calls.append(call)):
        invert(linear(2), images, LatentSpace(2), restarts=2, steps=2, device="cpu")
    assert [call for call in calls if call[0] == "recall"] == [("recall", 3, 6), ("recall", 6, 6), ("recall", 6, 6)]
    assert calls[0] == ("samples to start from", 256, 4096)


def linear(z_dim: int) -> nn.Module:
    """A generator of 4x4 images whose inverse is known."""
    layer = nn.utils.skip_init(nn.Linear, z_dim, 16)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(16, z_dim, generator=torch.Generator().manual_seed(1)))
        layer.bias.zero_()
    return nn.Sequential(layer, nn.Dropout(0.5), nn.Unflatten(1, (1, 4, 4)))


def test_inversion_finds_what_the_generator_can_make_and_the_true_distance_of_the_rest() -> None:
    generator = linear(3)
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        made = generator.eval()(z)
    found = invert(generator.train(), made, LatentSpace(3), device="cpu")
    assert found.dtype == torch.float64
    assert float(found.max()) < 1e-3

    weight = generator[0].weight.detach().double()
    other = torch.randn(20, 16, generator=torch.Generator().manual_seed(3)).double()
    nearest = (weight @ torch.linalg.lstsq(weight, other.T).solution).T
    exact = (nearest - other).square().sum(dim=1) / 4
    found = invert(generator, other.float().reshape(20, 1, 4, 4), LatentSpace(3), device="cpu")
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-3)
    assert generator.training
    assert all(p.requires_grad and p.grad is None for p in generator.parameters())


def test_inversion_stops_where_it_is_near_enough_and_repeats_itself() -> None:
    generator = linear(3)
    z = torch.randn(30, 3, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        made = generator.eval()(z)
    calls: list[int] = []
    with progress.to(lambda what, done, total: calls.append(done) if what == "recall" else None):
        early = invert(generator, made, LatentSpace(3), device="cpu", tolerance=0.01)
    assert (early < 0.01).all()
    assert float(early.max()) > 1e-3  # not worked on further
    assert calls == sorted(calls)
    assert calls[-2:] == [30, 150]  # the second restart had nothing left to do
    assert torch.equal(early, invert(generator, made, LatentSpace(3), device="cpu", tolerance=0.01))


class OnePicture(nn.Module):
    """A collapsed generator: the same image whatever z is."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = nn.Parameter(Images().floats(image))

    def forward(self, z: Tensor) -> Tensor:
        return self.image + 0 * z.sum(dim=1).reshape(-1, 1, 1, 1)


def trained(module: nn.Module, shape: tuple[int, ...] = (1, 28, 28)) -> TrainedGenerator:
    header = GeneratorHeader(
        gankit="0",
        torch="0",
        variant=PluginRef(name="tiny", dist=None, version=None),
        extensions=(),
        core_generator=False,
        shape=shape,
        classes=(),
        data="triangles",
        data_fingerprint="0",
        z_dim=2,
        config={},
        options={},
        images_seen=0,
        step=0,
        seed=0,
        tensors_sha256="0",
        preview_png=None,
    )
    return TrainedGenerator(module.eval().requires_grad_(False), header, torch.device("cpu"))


def test_a_collapsed_generator_is_precise_and_recalls_one_polygon() -> None:
    real = drawn(corners(TRIANGLES, 8))
    calls: list[str] = []
    with progress.to(lambda what, done, total: calls.append(what)):
        result = score(trained(OnePicture(real[3])), TRIANGLES, n=8)
    assert result == ManifoldScore(precision=1, recall=1 / 8, f1=pytest.approx(2 / 9), n=8, delta=PAPER_DELTA)
    assert [*dict.fromkeys(calls)] == ["precision", "samples to start from", "recall"]
    grey_picture = trained(OnePicture(torch.full((1, 28, 28), 128, dtype=torch.uint8)))
    assert score(grey_picture, TRIANGLES, n=8) == ManifoldScore(0, 0, 0, 8, PAPER_DELTA)


def test_f1_is_the_harmonic_mean() -> None:
    assert f1(0.5, 1) == pytest.approx(2 / 3)
    assert f1(1, 1) == 1
    assert f1(0, 0) == f1(1, 0) == 0


def test_families_are_found_by_the_name_of_the_data() -> None:
    assert family_of("squares-fixed") == PolygonFamily(4, as_published=False)
    assert all(family_of(name).name == name for name in FAMILIES)
    with pytest.raises(InputError, match="the manifold of 'triangle' is not known") as refused:
        family_of("triangle")
    assert refused.value.hint is not None
    assert refused.value.hint.startswith("did you mean 'triangles'? ")


def test_generators_of_other_things_and_silly_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="the generator makes 3x32x32, polygons are 1x28x28"):
        score(trained(nn.Identity(), (3, 32, 32)), TRIANGLES)
    with pytest.raises(InputError, match="the generator makes 2, polygons"):
        score(trained(nn.Identity(), (2,)), TRIANGLES)
    for n in (0, 10_001):
        with pytest.raises(InputError, match=f"{n} polygons to score"):
            score(trained(OnePicture(drawn(corners(TRIANGLES, 1))[0])), TRIANGLES, n=n)


@pytest.mark.slow
def test_the_three_numbers_of_a_checkpoint_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train("gan", data="triangles", steps=2, out="run")
    done = gankit("manifold", "run", "-n", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("manifold of triangles", "precision ↑", "recall ↑", "F1 ↑"):
        assert word in done.stdout
    (line,) = read_lines(tmp_path / "run" / FILE)
    assert (line.scores["precision"].value, line.scores["precision"].floor, line.scores["recall"].floor) == (0, 1, None)
    assert line.protocol.metrics["manifold"]["delta"] == 0.75
    assert line.images_seen == 64


def test_only_polygons_have_a_manifold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train("gan", steps=1, out="run")
    with pytest.raises(InputError, match="the manifold of 'digits' is not known"):
        evaluate_manifold("run")
    np.save(tmp_path / "triangles.npy", polygons(PolygonFamily(3), "test").samples[:200].numpy())
    train("gan", data=tmp_path / "triangles.npy", steps=1, out="other")
    with pytest.raises(InputError, match="was trained on other data that is named 'triangles'"):
        evaluate_manifold("other")
    with pytest.raises(InputError, match="not a safetensors file"):
        evaluate_manifold("triangles.npy")
