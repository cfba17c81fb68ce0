"""Directions against matrices that are known, their file, and the commands that move along them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import gankit
from support_sample import SIDE, Linear, Styled, trained, two_classes
from torch import Tensor, nn

import gankit as api
from gankit.errors import InputError
from gankit.modality.images import pixels_of
from gankit.sample.directions import Direction, Edit, parse_moves, read_directions, write_directions
from gankit.sample.latents import Latents
from gankit.sample.search import from_scores, ganspace, sampled, sefa
from gankit.sample.walks import along


def rotated(*strengths: float) -> tuple[Tensor, Tensor]:
    """A = U diag(strengths) Vᵀ [16, D] of random rotations, and V, whose columns are its directions."""
    generator = torch.Generator().manual_seed(3)
    dim = len(strengths)
    u, _ = torch.linalg.qr(torch.randn(16, dim, generator=generator))
    v, _ = torch.linalg.qr(torch.randn(dim, dim, generator=generator))
    return u @ torch.diag(torch.tensor(strengths)) @ v.T, v


def same_line(found: Direction, wanted: Tensor, cosine: float = 0.9999) -> bool:
    return abs(float(torch.dot(found.vector, wanted) / found.vector.norm() / wanted.norm())) > cosine


# -- SeFa and GANSpace -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [0, 2])
def test_sefa_finds_the_directions_of_the_first_layer_strongest_first(classes: int) -> None:
    matrix, v = rotated(3.0, 2.0, 1.0, 0.5)
    told = {"conditions": two_classes(), "classes": ("a", "b")} if classes else {}
    found = sefa(trained(Linear(matrix, classes), 4, **told), 3)
    assert [d.name for d in found] == ["sefa0", "sefa1", "sefa2"]
    assert all(same_line(d, v[:, k]) for k, d in enumerate(found))
    squares = np.array([9, 4, 1, 0.25])
    assert [d.strength for d in found] == pytest.approx((squares / squares.sum())[:3], rel=1e-3)
    assert [float(d.vector.norm()) for d in found] == pytest.approx([1, 1, 1], abs=0.03)  # one deviation of N(0, I)


def test_sefa_looks_through_concatenation_and_convolution() -> None:
    matrix, v = rotated(2.0, 1.0, 0.5)

    class Concatenated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.ConvTranspose2d(5, 1, SIDE)  # two numbers of y, three of z
            self.layer.weight.data.copy_(torch.cat([torch.randn(16, 2), matrix], 1).T.reshape(5, 1, SIDE, SIDE))

        def forward(self, z: Tensor, y: Tensor) -> Tensor:
            image: Tensor = self.layer(torch.cat([y, z], 1)[:, :, None, None])
            return image.tanh()

    found = sefa(trained(Concatenated(), 3, conditions=two_classes(), classes=("a", "b")), 3)
    assert all(same_line(d, v[:, k]) for k, d in enumerate(found))


def test_a_uniform_z_has_a_shorter_deviation() -> None:
    matrix, _ = rotated(2.0, 1.0)
    (first,) = sefa(trained(Linear(matrix), 2, z_prior="uniform"), 1)
    assert float(first.vector.norm()) == pytest.approx(1 / 3**0.5, rel=0.03)


def test_sefa_of_styles_joins_the_layers_that_take_them() -> None:
    module = Styled()
    both = torch.cat([module.first.weight, module.second.weight]).detach()
    _, _, v = torch.linalg.svd(both.double())
    found = sefa(trained(module, 3), 2)
    assert all(same_line(d, v[k].float()) for k, d in enumerate(found))
    assert found[0].vector.shape == (5,)


def test_sefa_refuses_a_generator_without_a_matrix() -> None:
    class Sines(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z.sin().repeat(1, 4).reshape(-1, 1, SIDE, SIDE)

    generator = trained(Sines(), 4)
    with pytest.raises(InputError, match="no layer with a matrix takes z"):
        sefa(generator, 2)
    assert len(ganspace(generator, 2)) == 2  # of the samples themselves


def test_ganspace_carries_components_of_activations_back_to_z() -> None:
    matrix, v = rotated(4.0, 2.0, 1.0)
    layer = nn.Linear(3, 16)
    layer.weight.data.copy_(matrix)
    module = nn.Sequential(layer, nn.Linear(16, 16), nn.Unflatten(1, (1, SIDE, SIDE)))
    found = ganspace(trained(module, 3), 2)
    assert same_line(found[0], v[:, 0], 0.999)
    assert same_line(found[1], v[:, 1], 0.999)
    assert [d.strength for d in found] == pytest.approx([16 / 21, 4 / 21], abs=0.02)


def test_ganspace_of_styles_are_the_components_of_w() -> None:
    generator = trained(Styled(), 3)
    w = generator.module.map(generator.space.draw(10_000, 0)[0])[:, 0]
    _, spread, v = torch.linalg.svd(w - w.mean(0), full_matrices=False)
    first, _ = ganspace(generator, 2)
    assert same_line(first, v[0], 0.999)
    assert float(first.vector.norm()) == pytest.approx(float(spread[0]) / 10_000**0.5, rel=0.01)


def test_scores_name_the_direction_in_which_they_grow() -> None:
    generator = trained(Linear(torch.eye(16)[:, :4]), 4)
    z = generator.space.draw(10_000, 0)[0][:2_000]
    noise = torch.randn(2_000, generator=torch.Generator().manual_seed(0))
    scores = torch.stack([z[:, 1] - z[:, 2], -z[:, 0] + noise], 1)
    up, down = from_scores(generator, scores, ["up", "down"])
    assert torch.allclose(up.vector, torch.tensor([0, 1, -1, 0]) / 2**0.5, atol=0.05)
    assert up.strength == pytest.approx(1, abs=1e-3)
    assert float(down.vector[0]) == pytest.approx(-1, abs=0.05)  # its sign is that of the score
    assert down.strength == pytest.approx(0.5**0.5, abs=0.05)
    assert torch.cat([*sampled(generator, 300)]).shape == (300, 1, SIDE, SIDE)


# -- moves -------------------------------------------------------------------------------------------------------------


def test_a_move_adds_standard_deviations() -> None:
    generator = trained(Linear(torch.eye(16)[:, :2]), 2)
    known = {"a=b@0-1": Direction("a=b@0-1", torch.tensor([0.5, 0.0]), "sefa", 1.0),
             "up": Direction("up", torch.tensor([0.0, 1.0]), "sefa", 1.0)}  # fmt: skip
    moves = parse_moves(["a=b@0-1=2", "up=-1e0"], known, generator)
    moved = Edit(psi=0.5, moves=moves)(Latents(torch.tensor([[2.0, 2.0]])), generator)
    assert moved.z.tolist() == [[2.0, 0.0]]  # truncated to [1, 1] first
    assert Edit(0.5, moves).facts == {"truncation": 0.5, "moves": ["a=b@0-1=2", "up=-1"]}


def test_a_move_of_styles_may_be_one_of_some_layers() -> None:
    generator = trained(Styled(), 3)
    known = {"d": Direction("d", torch.ones(5), "sefa", 1.0)}
    latents = next(generator.latents([0]))
    still = Edit(moves=parse_moves(["d=0"], known, generator))(latents, generator).ws
    moved = Edit(moves=parse_moves(["d@1-1=2"], known, generator))(latents, generator).ws
    torch.testing.assert_close(moved - still, torch.tensor([[[0.0] * 5, [2.0] * 5]]))
    with pytest.raises(InputError, match="the generator has no layers 1 to 2"):
        parse_moves(["d@1-2=2"], known, generator)


def test_a_file_of_directions_is_read_back_and_others_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generator = trained(Linear(torch.eye(16)[:, :2]), 2)
    names = ["<b>, =x", "é" * 20, "0"]
    written = [Direction(name, torch.randn(2), "labels", 0.25) for name in names]
    file = tmp_path / "d.safetensors"
    write_directions(written, file, generator)
    back = read_directions(file, generator)
    assert [*back] == names
    assert all(torch.equal(back[d.name].vector, d.vector) for d in written)
    assert not caplog.records
    with pytest.raises(InputError, match=r"directions of \[2\], the generator takes \[3\]"):
        read_directions(file, trained(Linear(torch.eye(16)[:, :3]), 3))
    with pytest.raises(InputError, match="has directions of z, the generator is moved in w"):
        read_directions(file, trained(Styled(width=2), 3))
    read_directions(file, trained(Linear(torch.eye(16)[:, :2]), 2, tensors_sha256="2" * 64))
    assert "made for other weights" in caplog.text
    write_directions([Direction("bad", torch.tensor([torch.nan, 0]), "sefa", 0.0)], file, generator)
    with pytest.raises(InputError, match="has directions of"):
        read_directions(file, generator)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(InputError, match="is damaged"):
        read_directions(file, generator)


# -- the commands ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("directions")
    api.train("gan", out=base / "run", z_dim=6, steps=1, batch=4, device="cpu")
    api.train("gan", out=base / "told", z_dim=6, steps=1, batch=4, device="cpu", conditional=True)
    api.train("gan", out=base / "points", z_dim=2, data="ring8", steps=1, batch=4, device="cpu")
    return base


def test_directions_are_found_kept_moved_along_and_drawn(run: Path) -> None:
    done = gankit("directions", "run", "-n", 3, "--seeds", "0,4", "--json", cwd=run)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [d["name"] for d in told["directions"]] == ["sefa0", "sefa1", "sefa2"]
    assert gankit("directions", "run", "--method", "ganspace", "-n", 2, cwd=run).returncode == 0
    listed = gankit("directions", "run", "--list", "--json", cwd=run)
    assert [d["name"] for d in json.loads(listed.stdout)["directions"]] == ["sefa0", "sefa1", "sefa2", "pca0", "pca1"]
    with Image.open(run / "directions.png") as picture:
        assert picture.height > 5 * 28

    generator = api.load(run / "run")
    direction = read_directions(run / "run" / "generator.directions.safetensors", generator)["sefa1"]
    (latents,) = generator.latents([3])
    expected = generator.array(generator.render(Latents(latents.z + 2.5 * direction.vector)))
    done = gankit("sample", "run", "--seeds", 3, "--move", "sefa1=2.5", "-o", "moved.npz", cwd=run)
    assert done.returncode == 0, done.stderr
    assert np.abs(np.load(run / "moved.npz")["samples"].astype(int) - expected).max() <= 1
    done = gankit("interpolate", "run", "--along", "pca0=-2:2", "--seeds", "0,1", "--steps", 5, "--json", cwd=run)
    assert json.loads(done.stdout) == {"out": "interpolation.png", "walks": 2, "seeds": [0, 1]}
    done = gankit("interpolate", "run", "--along", "pca0=-2:2", "-o", "along.webp", cwd=run)
    assert done.returncode == 0, done.stderr
    with Image.open(run / "along.webp") as film:
        assert film.n_frames == 58


def test_moved_samples_never_mix_with_others_in_a_folder(run: Path, refusal: Callable[..., str]) -> None:
    gankit("directions", "run", cwd=run)
    assert gankit("sample", "run", "-n", 2, "-o", "kept", cwd=run).returncode == 0
    assert "holds samples of another condition" in refusal("sample run -n 2 --move sefa0=1 -o kept", run)


def test_points_have_directions_without_a_picture(run: Path) -> None:
    done = gankit("directions", "points", "-n", 1, "--json", cwd=run)
    assert json.loads(done.stdout)["picture"] is None
    done = gankit("directions", "points", "-n", 1, cwd=run)
    assert "next: gankit sample points --move sefa0=2" in done.stderr
    assert "interpolate" not in done.stderr  # which draws images only


def test_a_walk_along_some_layers_moves_these_only() -> None:
    generator = trained(Styled(), 3)
    (start,) = generator.latents([0])
    shape = generator.style_shape
    direction = Direction("d", torch.ones(shape[1:]), "sefa", 1.0)
    some, all_ = (along(generator, start, direction, torch.tensor([3.0]), layers=layers) for layers in ((0, 0), None))
    (moved,) = parse_moves(["d@0-0=3"], {"d": direction}, generator)
    assert np.array_equal(some[0], pixels_of(generator.render(Edit(moves=(moved,))(start, generator))))
    assert not np.array_equal(some[0], all_[0])


def test_labels_name_directions(run: Path) -> None:
    done = gankit("directions", "run", "--method", "labels", "--json", cwd=run)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["directions"]
    assert [d["name"] for d in found] == [str(digit) for digit in range(10)]
    assert min(d["labels"] for d in found) > 0.8  # the probe knows the digits, whatever the generator draws


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("directions told --method labels", "is told its labels"),
        ("directions run --method labels --labels-from run", "--labels-from run: it is unconditional"),
        ("directions run --against digits", "are for --method labels"),
        ("directions run --latents x.npz --seeds 1", "takes the place of --seeds"),
        ("directions told --list", "there is no told/generator.directions.safetensors"),
        ("sample told --move sefa0=1", "there is no told/generator.directions.safetensors"),
        ("sample run --move sefa=1", "no direction 'sefa' — did you mean"),
        ("sample run --move sefa0", "--move sefa0: not NAME=NUMBER"),
        ("sample run --move sefa0@0-1=1", "the generator has no layers 0 to 1 — it has no styles"),
        ("sample run --move sefa0=1 --directions run/generator.safetensors", "is no file of directions"),
        ("interpolate run --along sefa0=2", "--along sefa0=2: not NAME=LOW:HIGH"),
        ("interpolate run --along sefa0=-3:inf", "--along sefa0=-3:inf: not NAME=LOW:HIGH"),
        ("interpolate run --along =-3:3", "--along =-3:3: not NAME=LOW:HIGH"),
        ("interpolate run --along sefa0=-3:1e9", "farther than 1,000 standard deviations"),
        ("interpolate told --along sefa0=-3:3 --class 1 --class 2", "two classes are a walk of their own"),
        ("interpolate run --directions x", "--directions names the file of --move and --along"),
        ("sample run --directions x", "--directions names the file of --move"),
        ("sample run --move sefa0=1e30", "farther than 1,000 standard deviations"),
        ("interpolate run --latents x.npz --seeds 1,2", "takes the place of --seeds"),
        ("mix run --coarse 1,x", "--coarse 1,x: 'x' is not a seed"),
        ("mix run", "has no styles to mix"),
    ],
)
def test_what_cannot_be_done_is_one_line(run: Path, refusal: Callable[..., str], arguments: str, said: str) -> None:
    gankit("directions", "run", cwd=run)
    assert said in refusal(arguments, run)
