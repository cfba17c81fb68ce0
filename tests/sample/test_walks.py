"""Walks and arithmetic of latent vectors against values worked out by hand, and the pictures made of them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import gankit
from support_sample import Styled
from support_sample import trained as trained_toy
from torch import Tensor, nn

import gankit as api
from gankit.errors import InputError
from gankit.game.conditions import Conditions
from gankit.sample.generator import TrainedGenerator
from gankit.sample.latents import Latents
from gankit.sample.walks import arithmetic, interpolate, slerp, stops_of, there_and_back


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_half_way_between_orthogonal_vectors() -> None:
    middle = slerp(double(1, 0), double(0, 1), double(0, 0.5, 1))
    assert middle[1].tolist() == pytest.approx([math.sqrt(0.5)] * 2)
    assert middle[0].tolist() == [1, 0]
    assert middle[2].tolist() == pytest.approx([0, 1], abs=1e-15)


def test_an_arc_keeps_the_length_and_a_third_of_the_angle() -> None:
    a, b = double(2, 0), double(2 * math.cos(1.2), 2 * math.sin(1.2))
    path = slerp(a, b, torch.linspace(0, 1, 7, dtype=torch.float64))
    assert path.norm(dim=1).tolist() == pytest.approx([2.0] * 7)
    assert path[2].tolist() == pytest.approx([2 * math.cos(0.4), 2 * math.sin(0.4)])


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0, 0.0])
def test_parallel_opposite_and_zero_vectors_stay_finite(factor: float) -> None:
    a = double(0.6, 0.8)
    path = slerp(a, factor * a, torch.linspace(0, 1, 5, dtype=torch.float64))
    assert bool(torch.isfinite(path).all())
    assert path[-1].tolist() == pytest.approx((factor * a).tolist(), abs=1e-9)


class Shown(nn.Module):
    """z [N, 4] as an image [N, 1, 2, 2], y in its place; remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[Tensor, ...]] = []

    def forward(self, *inputs: Tensor) -> Tensor:
        self.seen.append(inputs)
        return inputs[0].reshape(-1, 1, 2, 2).clamp(-1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tiny runs: plain, conditional, points."""
    base = tmp_path_factory.mktemp("walks")
    small = {"steps": 1, "batch": 4, "device": "cpu"}
    api.train("gan", out=base / "plain", z_dim=4, **small)  # type: ignore[arg-type]
    api.train("gan", out=base / "told", z_dim=4, conditional=True, **small)  # type: ignore[arg-type]
    api.train("gan", out=base / "points", z_dim=2, data="ring8", **small)  # type: ignore[arg-type]
    return base


def shown(folder: Path, prior: str = "normal", conditions: Conditions | None = None) -> tuple[TrainedGenerator, Shown]:
    trained, module = api.load(folder / "plain"), Shown()
    header = dataclasses.replace(trained.header, z_prior=prior, conditions=conditions, classes=("a", "b"))  # type: ignore[arg-type]
    return dataclasses.replace(trained, module=module, header=header), module


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_walks_begin_and_end_at_the_seeds_and_go_as_the_prior_wants(folder: Path, prior: str) -> None:
    trained, module = shown(folder, prior)
    walks = interpolate(trained, stops_of(trained, [3, 8, 3]), 5)
    assert [len(walk) for walk in walks] == [5, 5]
    assert np.array_equal(walks[0], walks[1][::-1])
    z, path = trained.space.z([3, 8]), module.seen[0][0]
    assert torch.equal(path[0], z[0])
    assert torch.equal(path[-1], z[1])
    middle = (z[0] + z[1]) / 2 if prior == "uniform" else slerp(z[0], z[1], torch.tensor([0.5]))[0]
    torch.testing.assert_close(path[2], middle)
    film = list(there_and_back(walks))
    assert len(film) == 9 + 7
    assert all((film[i] != film[i - 1]).any() for i in range(len(film)))


def test_a_conditional_walk_keeps_its_class_or_goes_from_one_to_the_other(folder: Path) -> None:
    trained, module = shown(folder, conditions=Conditions(counts=(1, 1)))
    interpolate(trained, stops_of(trained, [0, 1], ["b"]), 3)
    assert module.seen[-1][1].tolist() == [[0, 1]] * 3
    interpolate(trained, stops_of(trained, [0, 1, 2], ["a", 1]), 3)
    assert module.seen[-2][1].tolist() == [[1, 0], [0.5, 0.5], [0, 1]]
    assert module.seen[-1][1].tolist() == [[0, 1], [0.5, 0.5], [1, 0]]  # and back, without a jump
    interpolate(trained, stops_of(trained, [0, 1]), 3)
    assert module.seen[-1][1].tolist() == trained.space.inputs([0])[1].tolist() * 3


def test_styles_go_along_lines_of_every_layer() -> None:
    generator = trained_toy(Styled(), 3)
    ws = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(0))
    (walk,) = interpolate(generator, Latents(ws=ws), 3)
    middle = generator.render(Latents(ws=ws.mean(0, keepdim=True)))
    assert np.array_equal(walk[1], middle.movedim(1, -1).numpy()[0])


def told(seen: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
    return [inputs[0] for inputs in seen]


def test_the_result_is_the_signed_sum_of_the_means(folder: Path) -> None:
    trained, module = shown(folder, "uniform")
    equation = arithmetic(trained, [[1, 4, 7], [3]], [[2, 5]], seed=9)
    z = trained.space.z
    means = [z([1, 4, 7]).mean(0), z([3]).mean(0), z([2, 5]).mean(0)]
    block = told(module.seen)[-1]
    torch.testing.assert_close(block[4], (means[0] + means[1] - means[2]).clamp(-1, 1))
    around = (block - block[4]).abs()
    assert float(around.max()) <= 0.25
    assert float(around[[0, 1, 2, 3, 5, 6, 7, 8]].max(1).values.min()) > 0.01
    assert [(group.sign, group.seeds) for group in equation.groups] == [(1, (1, 4, 7)), (1, (3,)), (-1, (2, 5))]
    assert equation.results.shape == (9, 2, 2, 1)


def test_normal_vectors_are_added_as_they_are(folder: Path) -> None:
    trained, module = shown(folder)
    arithmetic(trained, [[1, 4, 7]], [[2, 3]])
    z, block = trained.space.z, told(module.seen)[-1]
    torch.testing.assert_close(block[4], z([1, 4, 7]).mean(0) - z([2, 3]).mean(0))


def test_what_cannot_be_drawn_is_refused(folder: Path) -> None:
    plain, points = api.load(folder / "plain"), api.load(folder / "points")
    with pytest.raises(InputError, match="needs images"):
        interpolate(points, stops_of(points, [0, 1]), 3)
    with pytest.raises(InputError, match="needs images"):
        arithmetic(points, [[0]])
    with pytest.raises(InputError, match="a walk through 1 samples"):
        interpolate(plain, stops_of(plain, [0]), 3)
    with pytest.raises(InputError, match="unconditional"):
        stops_of(plain, [0, 1], ["7"])
    with pytest.raises(InputError, match="a group of seeds to begin with"):
        arithmetic(plain, [], [[1]])


def test_the_commands_draw(folder: Path) -> None:
    result = gankit("interpolate", "plain", "--seeds", "0,1,2", "--steps", "4", "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"out": "interpolation.png", "walks": 2, "seeds": [0, 1, 2]}
    with Image.open(folder / "interpolation.png") as strip:
        assert strip.size == (4 * 58 + 2, 2 * 60)
        assert json.loads(strip.text["gankit"])["seed"] == [0, 2, 3]  # type: ignore[attr-defined]
    film = ("--seeds", "0,1,0", "--steps", "3", "--class", "7", "--class", "1", "-o", "f.webp")
    result = gankit("interpolate", "told", *film, cwd=folder)
    assert result.returncode == 0, result.stderr
    with Image.open(folder / "f.webp") as frames:
        assert frames.n_frames == 8  # type: ignore[attr-defined]
    result = gankit("arithmetic", "told", "--plus", "1,2,3", "--minus", "4-6", "--class", "3", cwd=folder)
    assert result.returncode == 0, result.stderr
    with Image.open(folder / "arithmetic.png") as picture:
        assert np.asarray(picture.convert("L")).min() < 64  # ink


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("interpolate plain -o x.jpg", "unknown kind of output '.jpg'"),
        ("interpolate told --class 1 --class 2 --class 3", "3 classes"),
        ("interpolate plain --seeds 4", "a walk through 1 samples"),
        ("interpolate plain --seeds 0-99999", "a walk of 999,990 samples: one picture holds 4,096"),
        ("arithmetic plain --plus 0-4999", "of 5,000 samples: one picture holds 4,096"),
        ("interpolate plain -o points/status.json/x.png", "x.png"),
        ("arithmetic plain --plus 1,1", "1 is named twice"),
        ("arithmetic plain --plus 1 -o x.gif", "the picture is a PNG"),
        ("interpolate nothing", "cannot read checkpoint"),
    ],
)
def test_refusals_are_one_line(folder: Path, arguments: str, message: str, refusal: Callable[..., str]) -> None:
    assert message in refusal(arguments, folder, code="[24]")
