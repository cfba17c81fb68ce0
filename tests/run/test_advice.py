"""Advice: the recipe and the settings that fit the data, the same every time, and taken only by who chose nothing else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from gankit.cli import app
from gankit.contracts import DataSpec
from gankit.data.loading import spread, survey
from gankit.errors import InputError
from gankit.host import recipes
from gankit.host.recipes import RecipeFile
from gankit.measure.metrics.duplicates import repeated
from gankit.run.advice import advise, advised, near_duplicates
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer
from gankit.settings.recipes import read_recipe

RECIPES = {
    "plain": 'title = "x"\n[settings]\nvariant = "gan"\nbatch = 64\n[advise]\nkind = "images"\nsides = [8, 16]\n',
    "points": 'title = "x"\n[settings]\nvariant = "gan"\n[advise]\nkind = "points"\n',
    "none": 'title = "x"\n[settings]\nvariant = "gan"\n',
}
FEW = """
title = "x"
[settings]
variant = "lsgan"
with = ["top-k"]
images = 1000
[settings.options]
b = 0.9
[advise]
kind = "images"
max_images = 50
priority = 2
sides = [8, 16]
because = "few"
quality = "poor"
[[advise.rules]]
when = { min_side = 16 }
settings = { with = ["diffaugment"], batch = 32, options = { c = 0.8, diffaugment = { policy = "color" } } }
because = "sixteen"
[[advise.rules]]
when = { max_side = 15 }
settings = { batch = 4 }
because = "eight"
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Only these recipes are installed; photos/ has 40 colour images of several sizes."""
    monkeypatch.chdir(tmp_path)
    for name, text in {**RECIPES, "few": FEW}.items():
        Path(f"{name}.toml").write_text(text)

    def found(name: str) -> RecipeFile:
        recipe, digest = read_recipe(tmp_path / f"{name}.toml")
        return RecipeFile(name, tmp_path / f"{name}.toml", recipe, digest, "test", "1")

    names = ["few", "none", "plain", "points"]
    monkeypatch.setattr(recipes, "discover", lambda: [found(name) for name in names])
    monkeypatch.setattr(recipes, "find", lambda name: found(name.rpartition(":")[2]))
    rng = np.random.default_rng(0)
    Path("photos").mkdir()
    for i in range(40):
        pixels = rng.integers(0, 256, (18 + i % 5, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"photos/{i:02}.png")
    return tmp_path


def arrays(count: int, side: int, labels: np.ndarray | None = None) -> str:
    images = np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)
    np.savez("some.npz", images=images, **({} if labels is None else {"labels": labels}))
    return "some.npz"


def test_files_are_surveyed_by_their_headers() -> None:
    found = survey("photos", {})
    assert (found.count, found.spec.shape[0], found.side, len(found.sizes), found.classes) == (40, 3, 20, 5, ())
    sample = found.sample(16)
    assert sample.samples.shape == (16, 3, 64, 64)
    for folder in ("a", "b"):
        Path("classes", folder).mkdir(parents=True)
    for i in range(5):
        Path(f"photos/{i:02}.png").rename(f"classes/{'a' if i < 2 else 'b'}/{i}.png")
    assert survey("classes", {}).classes == (2, 3)


def test_a_sample_is_spread_in_runs_of_neighbours() -> None:
    assert spread(5, 8) == [0, 1, 2, 3, 4]
    rows = spread(1000, 40)
    assert (len(rows), rows[:8], rows[-1]) == (40, list(range(8)), 999)


def test_advice_follows_the_data() -> None:
    advice = advise("photos")
    assert advice.recipe is not None
    assert advice.settings == {
        "size": "16",
        "extensions": ["top-k", "diffaugment"],
        "batch": 32,
        "options": {"c": 0.8, "diffaugment": {"policy": "color"}},
    }
    reasons = {reason.setting: reason.because for reason in advice.reasons}
    assert (reasons["recipe"], reasons["batch"], reasons["c"]) == ("few", "sixteen", "sixteen")
    assert "5 sizes" in reasons["size"]
    assert advice.quality.startswith("poor 40 images are few")
    assert advise("photos", {"size": "8"}).settings == {"batch": 4}


def test_the_command_is_the_same_as_taking_the_advice() -> None:
    given = Layer("flag", {"data": "photos"})
    words = shlex.split(advise("photos").command)
    assert words[:2] == ["gankit", "train"]
    shown = CliRunner().invoke(app, [*words[1:], "--print-config", "--json"])
    written = {key: row["value"] for key, row in json.loads(shown.stdout)["settings"].items()}
    plan = plan_run(advised([given]))
    assert {key: row["value"] for key, row in plan.settings_table().items()} == written
    assert plan_run(advised([given])).configuration == plan.configuration
    sources = {key: row["source"] for key, row in plan.settings_table().items()}
    assert (sources["size"], sources["options.b"], sources["data"]) == ("advice", "recipe few", "flag")


def test_squares_of_one_size_stay_as_they_are_and_small_ones_are_enlarged() -> None:
    assert "size" not in advise(arrays(60, 12)).settings
    assert advise(arrays(60, 20)).settings["size"] == "16"
    np.save("flat.npy", np.zeros((60, 4, 6, 3), np.uint8))
    advice = advise("flat.npy")
    assert advice.settings["size"] == "8"
    assert "enlarged" in advice.reasons[1].because


@pytest.mark.parametrize(("per_class", "conditional"), [(100, True), (99, False)])
def test_labels_are_used_where_there_are_enough_of_each(per_class: int, conditional: bool) -> None:
    advice = advise(arrays(per_class + 150, 8, np.r_[np.zeros(per_class, int), np.ones(150, int)]))
    assert advice.settings.get("conditional", False) is conditional
    assert [reason.value for reason in advice.reasons if reason.setting == "conditional"] == [conditional]


def test_a_batch_is_not_larger_than_the_data() -> None:
    Path("few.toml").write_text(RECIPES["none"])  # so that 'plain' fits, whose batch is 64
    assert advise(arrays(37, 8)).settings["batch"] == 32
    assert "batch" not in advise(arrays(64, 8)).settings


def test_points_get_the_recipe_for_points() -> None:
    advice = advise("ring8")
    assert (advice.named, advice.facts.kind, advice.facts.name) == ("points", "points", "ring8")
    assert near_duplicates(advice) == (0.0, 0)


def test_without_any_recipe_that_fits_the_core_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "discover", lambda: [])
    advice = advise("photos")
    assert (advice.recipe, advice.command) == (None, "gankit train --data photos --size 32")


@pytest.mark.parametrize(
    "given",
    [
        {"data": "photos", "variant": "gan"},
        {"data": "photos", "recipe": "few"},
        {"data": "photos", "extensions": ["top-k"]},
        {"data": "photos", "options": {"label_smoothing": 0.1}},
        {"data": "photos", "init_from": "x"},
    ],
)
def test_whoever_chooses_a_game_gets_no_advice(given: dict[str, Any]) -> None:
    layers = [Layer("flag", given)]
    assert advised(layers) == layers


def test_flags_override_advice() -> None:
    layers = advised([Layer("flag", {"data": "photos", "batch": 2, "images": 500})])
    config = plan_run(layers).config
    assert (config.batch, config.images, config.size) == (2, 500, "16")


def test_a_budget_of_the_user_replaces_one_of_the_advice() -> None:
    Path("few.toml").write_text(FEW.replace("batch = 32,", "batch = 32, steps = 7,"))
    assert plan_run(advised([Layer("flag", {"data": "photos"})])).config.total_images == 7 * 32
    assert plan_run(advised([Layer("flag", {"data": "photos", "images": 5_000})])).config.total_images == 5_000


def test_a_run_continues_with_its_own_settings_though_the_advice_has_changed() -> None:
    command = ["train", "--data", "photos", "--device", "cpu", "--out", "run", "--steps"]
    first = CliRunner().invoke(app, [*command, "2", "--z-dim", "4"])
    assert first.exit_code == 0, first.stderr
    stored = json.loads(Path("run/config.json").read_text())["config"]
    Path("few.toml").write_text(FEW.replace("batch = 32", "batch = 16"))
    again = CliRunner().invoke(app, [*command, "3", "--z-dim", "4"])
    assert again.exit_code == 0, again.stderr
    config = json.loads(Path("run/config.json").read_text())["config"]
    assert config == {**stored, "steps": 3}
    assert json.loads(Path("run/run.json").read_text())["recipe"]["name"] == "few"


def test_broken_data_is_the_same_error_as_in_training() -> None:
    Path("photos/00.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="1 of 40 images cannot be read"):
        advise("photos")
    assert advise("photos", {"on_bad_image": "skip"}).facts.images == 39
    with pytest.raises(InputError, match="neither a data set nor a path"):
        advise("./nothing")


def test_near_duplicates_within_a_set_are_counted() -> None:
    images = torch.randint(0, 256, (40, 1, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert repeated(DataSpec((1, 12, 12)), images) == 0
    noisy = images[:10].int().add(torch.randint(-3, 4, (10, 1, 12, 12))).clamp(0, 255).to(torch.uint8)
    assert repeated(DataSpec((1, 12, 12)), torch.cat([images, noisy])) == pytest.approx(20 / 50)
    assert repeated(DataSpec((1, 12, 12)), torch.cat([images, images[:5]])) == pytest.approx(10 / 45)
    assert repeated(DataSpec((1, 12, 12)), images[:3]) == 0


def test_the_command_line_prints_one_command_and_a_reason_for_each_choice() -> None:
    shown = CliRunner().invoke(app, ["advise", "photos", "--device", "cpu"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == advise("photos").command
    assert "hours" not in shown.stdout
    document = json.loads(CliRunner().invoke(app, ["advise", "photos", "--no-measure", "--json"]).stdout)
    assert document["command"] == advise("photos").command
    assert document["settings"]["batch"] == {"value": 32, "source": "advice"}
    assert document["data"]["images"] == 40
    assert document["cost"] == {
        "budget": 1000,
        "duplicates": 0.0,
        "looked_at": 40,
        "images_per_s": None,
        "device": None,
        "hours": None,
    }
    assert document["data"]["side"] == 16
