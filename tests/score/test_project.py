"""Projection: photos of a generator whose inverse is known, parts and fractions of them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import LOSS, gankit
from support_sample import Styled, trained

import gankit as api
from gankit.base.seeds import derive_seed
from gankit.data import Dataset
from gankit.errors import InputError
from gankit.game.latent import LatentSpace
from gankit.sample.invert import InStyles, InZ, frozen, invert
from gankit.sample.latents import styles_of
from gankit.score.recovery import kolmogorov_smirnov, recovery

ORTHOGONAL = (
    '"""A generator of 4x4 images that can be inverted."""\nimport torch\nfrom torch import nn\n'
    + LOSS
    + """
@hookimpl
def gankit_variant():
    return VariantInfo(api=1, title="Orthogonal", conditional="optional")

@hookimpl
def gankit_loss():
    return Loss()

class Generator(nn.Module):
    def __init__(self, z_dim, classes):
        super().__init__()
        rows, _ = torch.linalg.qr(torch.randn(16, z_dim, generator=torch.Generator().manual_seed(1)))
        self.layer = nn.Linear(z_dim + classes, 16)
        self.layer.weight.data[:, :z_dim] = 0.3 * rows
        self.layer.bias.data.zero_()

    def forward(self, z, y=None):
        inputs = z if y is None else torch.cat([z, y], 1)
        return self.layer(inputs).reshape(-1, 1, 4, 4)

@hookimpl
def gankit_generator(data, z_dim):
    return Generator(z_dim, data.condition)

@hookimpl
def gankit_discriminator(data):
    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16 + data.condition, 1)

        def forward(self, x, y=None):
            return self.layer(x.flatten(1) if y is None else torch.cat([x.flatten(1), y], 1)).squeeze(1)
    return Critic()
"""
)
WHOLE = 127.5  # grey levels of 1


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the orthogonal generator, one of them told a class, and photos of it."""
    base = tmp_path_factory.mktemp("project")
    (base / "orthogonal.py").write_text(ORTHOGONAL)
    rng = np.random.default_rng(0)
    np.savez(base / "noise.npz", images=rng.integers(0, 256, (60, 4, 4), dtype=np.uint8), labels=np.arange(60) % 2)
    for name, conditional in (("run", False), ("told", True)):
        api.train(
            base / "orthogonal.py", data=base / "noise.npz", out=base / name, z_dim=4, steps=1, batch=4, device="cpu",
            g_lr=1e-6, d_lr=1e-6, conditional=conditional,
        )  # fmt: skip
    images = api.load(base / "run", variant=str(base / "orthogonal.py")).sample(seeds=[5, 6, 7])
    for number, image in enumerate(images):
        Image.fromarray(image[:, :, 0]).save(base / f"photo{number}.png")
    return base


def project(place: Path, *arguments: object) -> dict[str, object]:
    done = gankit("project", *arguments, "--variant", "orthogonal.py", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_latents_of_its_own_samples_are_found_and_give_them_again(place: Path) -> None:
    found = project(place, "run", "photo0.png", "photo1.png", "photo2.png", "-o", "found.npz", "--steps", 400)
    assert [*found["errors"]] == ["photo0.png", "photo1.png", "photo2.png"]
    assert max(found["errors"].values()) < 2 / 255
    arrays = np.load(place / "found.npz")
    assert arrays["names"].tolist() == ["photo0.png", "photo1.png", "photo2.png"]
    z = LatentSpace(4).z([5, 6, 7]).numpy()
    assert np.abs(arrays["z"] - z).max() < 0.1  # pixels are rounded, and clipped ones say less
    assert max(found["beside"]["its own samples"]) < 2 / 255
    assert min(found["beside"]["training data"]) > 10 / 255  # noise has 16 dimensions, the samples four
    done = gankit("sample", "run", "--latents", "found.npz", "--variant", "orthogonal.py", "-o", "again.npz", cwd=place)
    assert done.returncode == 0, done.stderr
    photos = np.stack([np.asarray(Image.open(place / f"photo{i}.png")) for i in range(3)])[..., None]
    assert np.abs(np.load(place / "again.npz")["samples"].astype(int) - photos).max() <= 4
    with Image.open(place / "found-steps.png") as picture:
        assert json.loads(picture.text["gankit"])["photos"] == ["photo0.png", "photo1.png", "photo2.png"]


def test_what_is_masked_or_too_small_is_filled_in_by_the_generator(place: Path) -> None:
    whole = np.asarray(Image.open(place / "photo0.png")).astype(int)
    mask = np.full((4, 4), 255, np.uint8)
    mask[2:] = 0
    Image.fromarray(mask).save(place / "mask.png")
    damaged = np.where(mask > 0, whole, 77).astype(np.uint8)
    Image.fromarray(damaged).save(place / "damaged.png")
    found = project(place, "run", "damaged.png", "--mask", "mask.png", "--alone", "-o", "filled.npz", "--steps", 400)
    assert found["errors"]["damaged.png"] < 2 / 255  # of the known pixels
    generator = api.load(place / "run", variant=str(place / "orthogonal.py"))
    z = torch.from_numpy(np.load(place / "filled.npz")["z"])
    made = generator.array(generator.modality.stored(generator.module(z)))[0, :, :, 0].astype(int)
    assert np.abs(made - whole).max() <= 8  # eight known pixels tell four numbers

    halves = whole.reshape(2, 2, 2, 2).mean((1, 3)).round().astype(np.uint8)
    Image.fromarray(halves).resize((4, 4), Image.Resampling.NEAREST).save(place / "coarse.png")
    found = project(place, "run", "coarse.png", "--factor", 2, "--alone", "-o", "fine.npz", "--steps", 400)
    assert found["errors"]["coarse.png"] < 2 / 255


def test_a_class_is_chosen_or_that_of_the_nearest_sample(place: Path) -> None:
    generator = api.load(place / "told", variant=str(place / "orthogonal.py"))
    Image.fromarray(generator.sample(1, seed=3, label=1)[0, :, :, 0]).save(place / "one.png")
    for flags in (("--class", "1"), ()):
        found = project(place, "told", "one.png", "--alone", "-o", "one.npz", "--steps", 400, *flags)
        assert found["errors"]["one.png"] < 4 / 255
        y = np.load(place / "one.npz")["y"]
        assert y.shape == (1, 2)
        assert sorted(y[0].tolist()) == [0, 1]
        assert not flags or y.tolist() == [[0, 1]]


def test_photos_of_another_size_are_resized_and_it_is_said(place: Path) -> None:
    image = Image.open(place / "photo1.png").resize((40, 48)).convert("RGB")
    image.save(place / "large.jpg")
    done = gankit("project", "run", "large.jpg", "--alone", "-o", "large.npz", "--variant", "orthogonal.py", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "large.jpg: 40x48 -> 4x4 centre crop, Lanczos" in done.stderr or "48x40 -> 4x4" in done.stderr
    assert "large.npz" in done.stdout
    assert "gankit sample run --latents large.npz" in done.stderr
    mask = Image.new("L", (8, 12), 255)
    mask.paste(0, (0, 0, 4, 12))
    mask.save(place / "tall.png")
    done = gankit(
        "project", "run", "large.jpg", "--mask", "tall.png", "--alone", "-o", "part.npz", "--variant", "orthogonal.py",
        "--steps", 2, cwd=place,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "tall.png: 8x12 -> 4x4 centre crop" in done.stderr or "tall.png: 12x8 -> 4x4 centre crop" in done.stderr


def test_photos_of_one_name_are_told_apart(place: Path) -> None:
    for number in range(2):
        (place / f"of{number}").mkdir()
        (place / f"of{number}" / "me.png").write_bytes((place / f"photo{number}.png").read_bytes())
    found = project(place, "run", "of0/me.png", "of1/me.png", "--alone", "-o", "both.npz", "--steps", 2)
    assert [*found["errors"]] == ["of0/me.png", "of1/me.png"]


@pytest.mark.parametrize("each", [False, True])
def test_styles_are_found_where_a_generator_has_some(each: bool) -> None:
    generator = trained(Styled(), 3)
    (latents,) = generator.latents(range(4))
    device = torch.device("cpu")
    within = InStyles(frozen(generator.module, device), generator.space, device, each=each)
    targets = generator.module(latents.z).flatten(1)
    found = invert(targets, within, generator.space, view=lambda made: made.flatten(1), steps=600, device=device)
    assert float(found.errors.max()) < 1e-4
    back = within.latents(found.points, found.y)
    assert back.ws.shape == (4, 2, 5)
    torch.testing.assert_close(generator.module.synthesise(back.ws).flatten(1), targets, atol=2e-2, rtol=0)
    if not each:
        assert torch.equal(back.ws[:, 0], back.ws[:, 1])
    reach = 4 * styles_of(generator.module, type(latents)(generator.space.draw(4096, 0)[0]), device)[:, 0].std(0)
    assert ((back.ws - within.mean).abs() <= reach + 1e-5).all()


def test_a_generator_without_styles_is_searched_in_z_only(place: Path, refusal: Callable[..., str]) -> None:
    assert "has no styles: it takes z only" in refusal(
        "project run photo0.png --space w --variant orthogonal.py", place
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("none.png", "none.png"),
        ("photo0.png x-steps.png -o x.npz", "x-steps.png is a photo, and would be overwritten"),
        ("noise.npz -o run/../noise.npz", "noise.npz is a photo, and would be overwritten"),
        (".", "projected.npz would lie among the photos in ."),
        ("photo0.png --mask x-steps.png -o x.npz", "x-steps.png is what is read"),
        ("none.png --alone", "there is no none.png"),
        ("photo0.png --mask none.png", "there is no none.png"),
        ("empty.png", "empty.png: 1 of 1 image cannot be read: empty.png: empty — fix or remove them"),
        ("photo0.png --mask photo0.png -o x.png", "latents are an .npz file"),
        ("photo0.png --mask white.png", "--mask white.png: one picture with white (known) and black"),
        ("photo0.png --factor 3", "--factor 3 does not divide the sides of 4x4"),
        ("photo0.png --class 1", "the generator is unconditional"),
        ("noise.npz --against none", "none"),
        ("orthogonal.py", "orthogonal.py: not a kind of file that is read"),
    ],
)
def test_what_cannot_be_projected_is_one_line(
    place: Path, refusal: Callable[..., str], arguments: str, said: str
) -> None:
    Image.new("L", (4, 4), 255).save(place / "white.png")
    (place / "empty.png").touch()
    line = refusal(f"project run {arguments} --variant orthogonal.py", place)
    assert said in line
    assert "--on-bad-image" not in line  # is no flag of this command
    assert not (place / "projected.npz").exists()


def test_the_search_repeats_itself_and_a_row_does_not_depend_on_others(place: Path) -> None:
    generator = api.load(place / "run", variant=str(place / "orthogonal.py"))
    within = InZ(generator.module, generator.space)
    targets = torch.randn(5, 16, generator=torch.Generator().manual_seed(0)) * 0.2
    settings = {"view": lambda made: made.flatten(1), "steps": 30, "device": "cpu"}
    together = invert(targets, within, generator.space, **settings)
    alone = [invert(targets[i : i + 1], within, generator.space, **settings).points for i in range(5)]
    torch.testing.assert_close(torch.cat(alone), together.points, atol=1e-4, rtol=0)
    assert torch.equal(invert(targets, within, generator.space, **settings).points, together.points)


# -- memorisation ------------------------------------------------------------------------------------------------------


def test_the_probability_of_two_samples_against_published_values() -> None:
    a = torch.arange(100.0)
    assert kolmogorov_smirnov(a, a) == 1
    assert kolmogorov_smirnov(a, a + 50) < 1e-9
    # D = 0.2 of 100 and 100: Stephens' x = (sqrt(50) + 0.12 + 0.11 / sqrt(50)) 0.2 = 1.4413, Q(1.4413) = 0.03141
    assert kolmogorov_smirnov(a, a + 20) == pytest.approx(0.0314, abs=2e-4)
    values = torch.randn(400, 50, generator=torch.Generator().manual_seed(0))
    small = [kolmogorov_smirnov(x[:25], x[25:]) < 0.1 for x in values]
    assert 0.05 < sum(small) / len(small) < 0.15


def test_training_images_that_a_generator_knows_by_heart_are_found(place: Path) -> None:
    generator = api.load(place / "run", variant=str(place / "orthogonal.py"))
    seeds = [derive_seed(1, number) for number in range(40)]
    known = Dataset.from_arrays("known", generator.sample(seeds=seeds)[..., 0])
    rng = np.random.default_rng(1)
    others = Dataset.from_arrays("others", rng.integers(0, 256, (40, 4, 4), dtype=np.uint8))
    protocol, scores = recovery(generator, known, others, split="train", n=None, seed=0)
    assert protocol.n == 40
    assert scores["recovery_p"].value < 1e-6
    assert scores["recovery_gap"].value > 0.8
    protocol, scores = recovery(generator, others, known, split="train", n=None, seed=0)
    assert scores["recovery_gap"].value < 0
    with pytest.raises(InputError, match="compares training images with others"):
        recovery(generator, known, known, split="train", n=None, seed=0)
    with pytest.raises(InputError, match="recovery of 41 of 40 training images and 40 others"):
        recovery(generator, known, others, split="train", n=41, seed=0)


def test_eval_stores_recovery_with_its_protocol(place: Path, refusal: Callable[..., str]) -> None:
    rng = np.random.default_rng(2)
    np.savez(place / "new.npz", images=rng.integers(0, 256, (40, 4, 4), dtype=np.uint8))
    done = gankit(
        "eval",
        "run",
        "--metrics",
        "recovery",
        "--against",
        "new.npz",
        "--variant",
        "orthogonal.py",
        "--json",
        cwd=place,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert set(record["scores"]) == {"recovery_p", "recovery_gap", "recovery_train", "recovery_other"}
    assert record["protocol"]["n"] == 40
    assert json.loads((place / "run" / "metrics.jsonl").read_text())["scores"] == record["scores"]
    assert "there are none" in refusal("eval run --metrics recovery --variant orthogonal.py", place)
    assert "scored by itself" in refusal("eval run --metrics recovery,fid --variant orthogonal.py", place)
