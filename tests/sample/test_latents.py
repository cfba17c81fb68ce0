"""Latents: truncation, the file, and samples that are made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import gankit
from support_sample import Linear, Styled, trained, two_classes

import gankit as api
from gankit.errors import InputError
from gankit.sample.generator import TrainedGenerator
from gankit.sample.latent_file import read_latents, write_latents
from gankit.sample.latents import Latents, styles_of
from gankit.sample.walks import with_conditions


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("latents")
    for name, conditional in (("plain", False), ("told", True)):
        api.train("gan", out=base / name, z_dim=4, steps=1, batch=4, device="cpu", conditional=conditional)
    return base


def plain(dim: int = 3) -> TrainedGenerator:
    return trained(Linear(torch.eye(16)[:, :dim]), dim)


# -- truncation --------------------------------------------------------------------------------------------------------


def test_truncation_draws_z_to_its_mean() -> None:
    latents = Latents(torch.tensor([[2.0, -1.0, 0.5]]))
    assert plain().truncated(latents, 0.5).z.tolist() == [[1.0, -0.5, 0.25]]
    assert plain().truncated(latents, 1) is latents
    for psi in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="it lies between 0 and 1"):
            plain().truncated(latents, psi)


def test_truncation_draws_styles_to_the_mean_of_w() -> None:
    generator = trained(Styled(), 3)
    latents = next(generator.latents(range(64)))
    half = generator.truncated(latents, 0.5)
    whole = styles_of(generator.module, latents, generator.device)
    assert half.z is None
    every = styles_of(generator.module, Latents(generator.space.draw(4096, 0)[0]), generator.device)
    torch.testing.assert_close(half.ws, (every.mean((0, 1)) + whole) / 2)
    generator.module.register_buffer("w_average", torch.full((5,), 2.0))  # a mean that it keeps is the one that counts
    torch.testing.assert_close(generator.truncated(latents, 0.25).ws, 2 + (whole - 2) / 4)


def test_samples_of_every_generator_can_be_truncated(run: Path) -> None:
    generator = api.load(run / "plain")
    z = generator.space.z(range(3))
    expected = generator.array(generator.render(Latents(0.5 * z)))
    assert np.abs(generator.sample(3, truncation=0.5).astype(int) - expected).max() <= 1
    done = gankit("sample", "plain", "-n", 3, "--truncation", 0.5, "-o", "half.npz", cwd=run)
    assert done.returncode == 0, done.stderr
    assert np.abs(np.load(run / "half.npz")["samples"].astype(int) - expected).max() <= 1
    done = gankit("sample", "plain", "-n", 1, "--truncation", 0.5, "-o", "half.png", cwd=run)
    with Image.open(run / "half.png") as image:
        assert json.loads(image.text["gankit"])["truncation"] == 0.5


# -- the file ----------------------------------------------------------------------------------------------------------


def test_a_file_of_latents_gives_the_samples_of_the_seeds(run: Path) -> None:
    for name in ("plain", "told"):
        generator = api.load(run / name)
        seeds = [5, 2, 9]
        (latents,) = generator.latents(seeds)
        write_latents(Latents(latents.z, latents.y, names=("a.png", "b.png", "c.png")), run / f"{name}.npz", generator)
        done = gankit("sample", name, "--latents", f"{name}.npz", "-o", f"again-{name}.npz", cwd=run)
        assert done.returncode == 0, done.stderr
        again = np.load(run / f"again-{name}.npz")
        assert np.abs(again["samples"].astype(int) - generator.sample(seeds=seeds)).max() <= 1
        assert again["latents"].tolist() == [0, 1, 2]
        if name == "told":
            assert again["labels"].tolist() == latents.y.argmax(1).tolist()
        for out in ("folder", "all.zip", "sheet.png"):
            done = gankit("sample", name, "--latents", f"{name}.npz", "--captions", "-o", f"{name}-{out}", cwd=run)
            assert done.returncode == 0, done.stderr
        assert len(list((run / f"{name}-folder").rglob("latent00000?.png"))) == 3
        assert read_latents(run / f"{name}.npz", generator).names == ("a.png", "b.png", "c.png")


def test_a_class_takes_the_place_of_that_of_latents(run: Path) -> None:
    generator = api.load(run / "told")
    (latents,) = generator.latents([1, 2])
    write_latents(latents, run / "two.npz", generator)
    done = gankit("sample", "told", "--latents", "two.npz", "--class", "3", "--class", "7", "-o", "ab.npz", cwd=run)
    assert done.returncode == 0, done.stderr
    arrays = np.load(run / "ab.npz")
    assert arrays["labels"].tolist() == [3, 3, 7, 7]
    assert np.abs(arrays["samples"][2:].astype(int) - generator.sample(seeds=[1, 2], label=7)).max() <= 1


def test_styles_hold_the_class() -> None:
    with pytest.raises(InputError, match="which hold the class already"):
        Latents(ws=torch.zeros(1, 2, 5)).given(torch.zeros(1, 2))


def test_a_plain_array_is_z(run: Path) -> None:
    np.save(run / "z.npy", np.ones((2, 4)))
    assert read_latents(run / "z.npy", api.load(run / "plain")).z.tolist() == [[1] * 4] * 2


def test_latents_of_other_weights_are_said(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    generator = api.load(run / "plain")
    write_latents(Latents(torch.zeros(1, 4)), run / "mine.npz", generator)
    assert read_latents(run / "mine.npz", generator)
    assert not caplog.records
    np.savez(run / "mine.npz", z=np.zeros((1, 4)), weights="0" * 64)
    read_latents(run / "mine.npz", generator)
    assert "made for a generator of other weights" in caplog.text


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"z": np.zeros((2, 5))}, "z is [2, 5], the generator takes [N, 4]"),
        ({"z": np.zeros(4)}, "z is [4], the generator takes [N, 4]"),
        ({"z": np.zeros((0, 4))}, "0 latents"),
        ({"z": np.full((1, 4), np.nan)}, "z holds something else than finite numbers"),
        ({"z": np.full((1, 4), 1e300)}, "z holds something else than finite numbers of float32"),
        ({"z": np.array([["a"] * 4])}, "z holds something else than finite numbers"),
        ({"z": np.array([[None] * 4], object)}, "holds no arrays that can be read"),
        ({"images": np.zeros((1, 4))}, "holds images: z or ws"),
        ({"z": np.zeros((1, 4)), "y": np.zeros((1, 10))}, "holds conditions, which the generator does not take"),
        ({"ws": np.zeros((1, 2, 4))}, "holds styles, which the generator does not take"),
        ({"z": np.zeros((1, 4)), "ws": np.zeros((1, 2, 4))}, "z or ws"),
    ],
)
def test_latents_that_do_not_fit_are_refused(
    run: Path, tmp_path: Path, refusal: Callable[..., str], arrays: dict[str, object], said: str
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    (tmp_path / "plain").symlink_to(run / "plain")
    assert said in refusal("sample plain --latents bad.npz", tmp_path)
    assert not (tmp_path / "samples.png").exists()


def test_files_that_are_no_latents_are_refused(run: Path, tmp_path: Path, refusal: Callable[..., str]) -> None:
    (tmp_path / "plain").symlink_to(run / "plain")
    (tmp_path / "text.npz").write_text("no arrays")
    (tmp_path / "cut.npz").write_bytes((run / "plain" / "generator.safetensors").read_bytes()[:100])
    for name, said in (("text.npz", "holds no arrays"), ("cut.npz", "holds no arrays"), ("none.npz", "No such file")):
        assert said in refusal(f"sample plain --latents {name}", tmp_path)
    assert "exclude each other" in refusal("sample plain --latents text.npz --seeds 1", tmp_path)


def test_latents_are_not_overwritten_by_their_samples(run: Path, refusal: Callable[..., str]) -> None:
    np.savez(run / "dear.npz", z=np.zeros((2, 4)))
    before = (run / "dear.npz").read_bytes()
    assert "is what is read" in refusal("sample plain --latents dear.npz -o plain/../dear.npz", run)
    assert (run / "dear.npz").read_bytes() == before


def test_walks_of_z_without_y_have_conditions_by_number_as_samples_have(run: Path) -> None:
    np.savez(run / "bare.npz", z=np.random.default_rng(0).standard_normal((2, 4)))
    done = gankit("interpolate", "told", "--latents", "bare.npz", "--steps", 2, "-o", "walk.png", cwd=run)
    assert done.returncode == 0, done.stderr
    assert gankit("directions", "told", "--latents", "bare.npz", "-n", 1, cwd=run).returncode == 0
    generator = api.load(run / "told")
    given = with_conditions(generator, read_latents(run / "bare.npz", generator))
    assert torch.equal(given.y, generator.conditions([0, 1]))


def test_a_conditional_generator_takes_conditions_of_a_file_or_of_the_data(tmp_path: Path) -> None:
    generator = trained(Linear(torch.eye(16)[:, :3], classes=2), 3, conditions=two_classes(), classes=("a", "b"))
    np.savez(tmp_path / "z.npz", z=np.zeros((2, 3)), y=[[0, 1], [1, 0]])
    assert read_latents(tmp_path / "z.npz", generator).y.tolist() == [[0, 1], [1, 0]]
    np.savez(tmp_path / "z.npz", z=np.zeros((2, 3)), y=[[0, 1]])
    with pytest.raises(InputError, match="2 latents with 1 conditions"):
        read_latents(tmp_path / "z.npz", generator)
