"""Latent vectors and conditions: a function of the seed, as often as in the data, and refused when they make no sense."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import TINY_VARIANT, gankit

import gankit as api
from gankit.base.files import canonical_json, pack_tensors
from gankit.data import load_dataset
from gankit.errors import InputError
from gankit.game.conditions import STORED_BYTES, Conditions, Vectors
from gankit.game.latent import LatentSpace, draw_z
from gankit.sample.generator import latent_source
from gankit.store.generator_file import read


def test_the_priors() -> None:
    uniform = draw_z(10_000, 3, "uniform", generator=torch.Generator().manual_seed(0))
    assert -1 <= float(uniform.min()) < -0.99
    assert 0.99 < float(uniform.max()) <= 1
    assert uniform.mean(0).abs().max() < 0.03
    normal = draw_z(10_000, 3, "normal", generator=torch.Generator().manual_seed(0))
    assert normal.std(0).tolist() == pytest.approx([1, 1, 1], abs=0.03)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_a_row_depends_on_its_own_seed_alone(prior: str) -> None:
    space = LatentSpace(5, prior, Conditions(counts=(3, 1)))  # type: ignore[arg-type]
    together, apart = space.inputs([4, 9, 2]), space.inputs([9])
    assert torch.equal(together[0][1], apart[0][0])
    assert torch.equal(together[1][1], apart[1][0])


def test_labels_come_as_often_as_in_the_data() -> None:
    conditions = Conditions(counts=(700, 0, 300))
    share = conditions.of_seeds(range(4000)).mean(0)
    assert share.tolist() == pytest.approx([0.7, 0, 0.3], abs=0.03)
    assert conditions.length == 3


def test_condition_vectors_come_as_often_as_in_the_data() -> None:
    rows = torch.tensor([[0.5, -1.0]] * 30 + [[2.0, 3.0]] * 10)
    conditions = Conditions(vectors=Vectors.of(rows))
    assert conditions.complete
    drawn = [tuple(row) for row in conditions.of_seeds(range(4000)).tolist()]
    assert set(drawn) == {(0.5, -1.0), (2.0, 3.0)}
    assert drawn.count((2.0, 3.0)) / 4000 == pytest.approx(0.25, abs=0.03)


def test_more_vectors_than_a_file_holds_are_sampled_and_binary_ones_take_a_bit_each() -> None:
    generator = torch.Generator().manual_seed(0)
    measured, bits = (
        torch.randn(2000, 300, generator=generator),
        (torch.rand(9000, 40, generator=generator) < 0.3).float(),
    )
    some, all_ = Vectors.of(measured), Vectors.of(bits)
    assert (len(some.rows), some.counts) == (STORED_BYTES // 1200, ())
    assert not Conditions(vectors=some).complete
    known = {tuple(row) for row in measured.tolist()}
    assert all(tuple(row) in known for row in some.rows.tolist())
    assert (len(all_.packed), sum(all_.counts)) == (-(-len(all_.rows) * 5 // 3) * 4, 9000)
    weights = torch.tensor(all_.counts, dtype=torch.float32)[:, None]
    torch.testing.assert_close((all_.rows * weights).sum(0) / 9000, bits.mean(0))


def test_what_is_fixed_of_a_vector_stays_and_the_rest_comes_from_vectors_that_agree() -> None:
    rows = torch.tensor([[1.0, 0.0, 0.2], [1.0, 1.0, -0.7], [0.0, 1.0, 0.4], [0.0, 1.0, 0.5]])
    conditions, nan = Conditions(vectors=Vectors.of(rows)), torch.nan
    first = {tuple(row) for row in conditions.of_seeds(range(60), torch.tensor([1.0, nan, nan])).tolist()}
    assert first == {tuple(row) for row in rows[:2].tolist()}
    measured = conditions.of_seeds(range(60), torch.tensor([0.0, nan, 9.0]))
    assert measured.unique(dim=0).tolist() == [[0.0, 1.0, 9.0]]  # no vector has a 9
    nobody = conditions.of_seeds(range(60), torch.tensor([0.0, 0.0, nan]))
    assert set(nobody[:, 2].tolist()) == set(rows[:, 2].tolist())  # the rest of any vector
    assert (conditions.share(torch.tensor([0.0, 1.0, nan])), conditions.share(torch.tensor([0.0, 0.0, nan]))) == (
        0.5,
        0,
    )


def test_scores_draw_from_all_vectors_of_the_data_where_the_file_has_some() -> None:
    """And where it has all of them, as `gankit sample` does."""
    seen: list[torch.Tensor] = []

    class Recorder(torch.nn.Module):
        def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            seen.append(y)
            return z

    rows = torch.arange(3000.0)[:, None].expand(-1, 300).contiguous()
    for conditions in (Conditions(vectors=Vectors.of(rows)), Conditions(vectors=Vectors.of(rows[:40]))):
        space = LatentSpace(2, "normal", conditions)
        latent_source(Recorder(), space, 5, torch.device("cpu"), rows)(0, 1000)
        if conditions.complete:
            assert torch.equal(seen[-1], conditions.of_seeds(range(5, 1005)))
        else:
            assert len(seen[-1].unique()) > 2 * len(conditions.vectors.rows)  # type: ignore[union-attr]


@pytest.mark.parametrize("fields", [{}, {"counts": (1,), "vectors": Vectors.of(torch.ones(1, 1))}, {"counts": (0, 0)}])
def test_conditions_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="neither"):
        Conditions(**fields)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny conditional runs: of labels with names, and of vectors."""
    base = tmp_path_factory.mktemp("conditional")
    for index, name in enumerate(("cat", "dog", "eel")):
        (base / "animals" / name).mkdir(parents=True)
        for picture in range(6):
            pixels = np.full((12, 12), 60 * index + picture, np.uint8)
            Image.fromarray(pixels).save(base / "animals" / name / f"{picture}.png")
    images = np.random.RandomState(0).randint(0, 255, (40, 12, 12)).astype(np.uint8)
    np.savez(base / "vectors.npz", images=images, conditions=np.random.RandomState(1).randn(40, 4).astype(np.float32))
    for out, data in (("labels", "animals"), ("vectors", "vectors.npz")):
        result = gankit(
            *f"train --conditional --data {data} --out {out} --steps 4 --batch 6 --z-dim 8".split(), cwd=base
        )
        assert result.returncode == 0, result.stderr
    result = gankit(
        *[
            "train",
            "--variant",
            "gan",
            "--data",
            "animals",
            "--out",
            "plain",
            "--steps",
            "1",
            "--batch",
            "6",
            "--z-dim",
            "8",
        ],
        cwd=base,
    )
    assert result.returncode == 0, result.stderr
    return base


def test_classes_by_name_by_index_and_all_of_them(folder: Path) -> None:
    for spelling in ("dog", "1"):
        result = gankit("sample", "labels", "--class", spelling, "--seeds", "3,4", "-o", f"{spelling}.npz", cwd=folder)
        assert result.returncode == 0, result.stderr
    assert (np.load(folder / "dog.npz")["samples"] == np.load(folder / "1.npz")["samples"]).all()
    assert np.load(folder / "dog.npz")["labels"].tolist() == [1, 1]
    result = gankit("sample", "labels", "--class", "all", "-n", "4", "-o", "all.png", "--json", cwd=folder)
    assert json.loads(result.stdout)["samples"] == 12
    with Image.open(folder / "all.png") as sheet:
        assert sheet.width > sheet.height  # a row of four for each of three classes
        assert json.loads(sheet.text["gankit"])["label"] == [0, 1, 2]  # type: ignore[attr-defined]
    result = gankit("sample", "labels", "--class", "cat", "--class", "eel", "--seeds", "5", "-o", "two.zip", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert zipfile.ZipFile(folder / "two.zip").namelist() == ["cat/seed000005.png", "eel/seed000005.png"]


@pytest.mark.parametrize("form", ["samples", "samples.zip", "samples.npz"])
def test_labels_of_samples_survive_as_data(folder: Path, form: str) -> None:
    result = gankit("sample", "labels", "-n", "40", "-o", form, cwd=folder)
    assert result.returncode == 0, result.stderr
    data = load_dataset(str(folder / form), {})
    generator = api.load(folder / "labels")
    assert data.labels is not None
    counts = torch.bincount(data.labels).tolist()
    assert counts == torch.bincount(generator.space.inputs(range(40))[1].argmax(1)).tolist()
    assert data.spec.classes == generator.data.classes


def test_without_a_class_each_seed_has_its_own(folder: Path) -> None:
    generator = api.load(folder / "labels")
    y = generator.space.inputs(range(30))[1]
    assert set(y.argmax(1).tolist()) == {0, 1, 2}
    mixed = generator.sample(seeds=[7])
    assert (mixed == generator.sample(seeds=[7], label=int(y[7].argmax()))).all()


def test_vectors_are_given_by_their_numbers(folder: Path) -> None:
    result = gankit("sample", "vectors", "--condition", "0.5,-1,0,2", "-n", "2", "-o", "v.npz", cwd=folder)
    assert result.returncode == 0, result.stderr
    generator = api.load(folder / "vectors")
    assert (np.load(folder / "v.npz")["samples"] == generator.sample(2, condition=[0.5, -1, 0, 2])).all()
    assert generator.sample(3).shape == (3, 12, 12, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sample labels --class dgo", "no class 'dgo' — did you mean 'dog'?"),
        ("sample labels --class 3", "no class '3'"),
        ("sample labels --class dog --class 1", "name a class twice"),
        ("sample labels --condition 1,0", "a condition of 2 numbers: the generator takes vectors of 3"),
        ("sample plain --class dog", "the generator is unconditional"),
        ("sample plain --condition 1", "the generator is unconditional: it takes no vectors"),
        ("sample labels --class all -n 9000000", "27,000,000 samples are more than 10,000,000"),
        ("sample labels --seeds 0-999999,7", "7 is named twice"),
        ("sample plain --class all", "the generator is unconditional"),
        ("sample vectors --class dog", "takes condition vectors, not classes"),
        ("sample vectors --condition 1,2,3", "takes vectors of 4"),
        ("sample vectors --condition 1,nan,3,4", "is not a vector of finite numbers"),
        ("sample vectors --condition a", "'a' is not a vector"),
        ("train --conditional --data plain.npy --out x", "has no labels to train conditionally on"),
        ("train --variant began --conditional --out x", "BEGAN is not trained conditionally"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    folder: Path, arguments: str, message: str, refusal: Callable[..., str]
) -> None:
    np.save(folder / "plain.npy", np.zeros((20, 12, 12), np.uint8))
    assert message in refusal(arguments, folder)


def test_networks_that_cannot_be_told_are_refused(tmp_path: Path) -> None:
    source = TINY_VARIANT + (
        "\nfrom torch import nn\n@hookimpl\ndef gankit_discriminator(data):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, 1), nn.Flatten(0))\n"
    )
    (tmp_path / "deaf.py").write_text(source)
    result = gankit("train", "--variant", "./deaf.py", "--conditional", "--steps", "1", cwd=tmp_path)
    assert result.returncode == 2
    assert "built a network that takes no condition" in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "conditions",
    [
        {"counts": [], "examples": []},
        {"counts": [0, 0, 0]},
        {"counts": [-1, 2, 3]},
        {"counts": [1] * 5000},
        {"counts": [10**400, 1, 1]},
        {"vectors": {"length": 8, "packed": "AAAA", "binary": True, "counts": [10**400, 1, 1]}},
        {"vectors": {"length": 1, "packed": base64.b64encode(struct.pack("<f", float("inf"))).decode()}},
        {"vectors": {"length": 2, "packed": base64.b64encode(struct.pack("<3f", 1, 1, 2)).decode()}},
        {"vectors": {"length": 9, "packed": "AAAA", "binary": True}},  # two bytes for each
        {"vectors": {"length": 1, "packed": ""}},
        {"vectors": {"length": 1, "packed": "=no base64="}},
        {"vectors": {"length": 8, "packed": "AAAA", "binary": True, "counts": [1, 2]}},  # three vectors
        {"vectors": {"length": 8, "packed": "AAAA", "binary": True, "counts": [1, 0, 2]}},
        {"vectors": {"length": 1 << 20, "packed": "AAAA"}},
        {"counts": [1, 2, 3], "vectors": {"length": 8, "packed": "AAAA", "binary": True}},
        [1, 2, 3],
    ],
)
def test_a_file_with_impossible_conditions_is_refused(folder: Path, tmp_path: Path, conditions: object) -> None:
    header, tensors = read(folder / "labels" / "generator.safetensors")
    values = {**dataclasses.asdict(header), "conditions": conditions}
    path = tmp_path / "bad.safetensors"
    path.write_bytes(pack_tensors(tensors, canonical_json(values)))
    with pytest.raises(InputError, match="damaged metadata: conditions"):
        api.load(path)


def test_the_grid_of_a_conditional_run_has_a_row_for_each_class(folder: Path) -> None:
    data = (folder / "labels" / "samples" / "000000024.png").read_bytes()
    with Image.open(io.BytesIO(data)) as grid:
        assert grid.size == (8 * 50 + 2, 3 * 50 + 2)  # cells of 12 x 4 pixels and a gap


def test_long_condition_vectors_are_kept_in_a_file_that_can_be_read(tmp_path: Path) -> None:
    """Of 300 numbers each; 64 of them as JSON were more than a file of a generator may say about itself."""
    random = np.random.RandomState(0)
    images = random.randint(0, 255, (80, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "long.npz", images=images, conditions=random.randn(80, 300).astype(np.float32))
    small = ("--steps", 1, "--batch", 8, "--z-dim", 8)
    trained = gankit(
        "train", "--variant", "gan", "--conditional", "--data", "long.npz", "-o", "run", *small, cwd=tmp_path
    )
    assert trained.returncode == 0, trained.stderr
    result = gankit("sample", "run", "-n", 3, "-o", "x.npz", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    kept = load_dataset(str(tmp_path / "x.npz"), {}).conditions
    given = load_dataset(str(tmp_path / "long.npz"), {}).conditions
    assert kept is not None
    assert given is not None
    assert all(any(torch.equal(row, one) for one in given) for row in kept)
