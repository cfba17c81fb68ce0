"""Training from a recipe: precedence, what the run remembers, and a resume without the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support_runs import SMALL

import gankit
from gankit.errors import InputError
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer

RECIPE = """
title = "Mine"
[settings]
variant = "lsgan"
steps = 6
batch = 8
z_dim = 8
g_lr = 1e-3
d_lr = 2e-3
betas = [0.1, 0.9]
[settings.options]
c = 0.9
"""


@pytest.fixture
def recipe(tiny_data: None) -> Path:
    path = Path("mine.toml")
    path.write_text(RECIPE)
    return path


def test_a_recipe_lies_between_the_variant_and_toml(recipe: Path) -> None:
    layers = [
        Layer("run.toml", {"recipe": "mine.toml", "d_lr": 3e-3, "seed": 5}),
        Layer("flag", {"data": "tiny.npz", "seed": 6}),
    ]
    plan = plan_run(layers)
    table = plan.settings_table()
    shown = {
        key: (table[key]["value"], table[key]["source"]) for key in ("g_lr", "d_lr", "seed", "options.c", "z_prior")
    }
    assert shown == {
        "g_lr": (1e-3, "recipe mine"),
        "d_lr": (3e-3, "run.toml"),
        "seed": (6, "flag"),
        "options.c": (0.9, "recipe mine"),
        "z_prior": ("normal", "core"),
    }


def test_a_budget_of_the_user_replaces_that_of_the_recipe(recipe: Path) -> None:
    def total(**settings: object) -> int | None:
        return plan_run([Layer("flag", {"recipe": "mine.toml", "data": "tiny.npz", **settings})]).config.total_images

    assert (total(), total(images=1000), total(steps=10), total(time_s="1h")) == (48, 1000, 80, None)


def test_what_a_recipe_sets_for_another_optimiser_is_no_mistake_of_the_user(recipe: Path) -> None:
    given = {"recipe": "mine.toml", "data": "tiny.npz", "optimizer": "sgd"}
    assert plan_run([Layer("flag", given)]).config.optimizer == "sgd"
    with pytest.raises(InputError, match="betas has no effect"):
        plan_run([Layer("flag", {**given, "betas": "0,0.9"})])


def test_a_wrong_option_names_the_recipe(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("c = 0.9", "cc = 0.9"))
    with pytest.raises(InputError, match=r"unknown option of variant 'lsgan': cc \(recipe mine\)"):
        plan_run([Layer("flag", {"recipe": "mine.toml", "data": "tiny.npz"})])


def test_a_run_resumes_without_the_recipe(recipe: Path) -> None:
    stopped = gankit.train(recipe="mine.toml", data="tiny.npz", device="cpu", out="stopped", steps=3)
    identity = json.loads((stopped.folder / "run.json").read_text())["recipe"]
    assert (identity["name"], identity["origin"], len(identity["digest"])) == ("mine", "mine.toml", 64)
    recipe.unlink()
    resumed = gankit.resume(stopped.folder, steps=6)
    recipe.write_text(RECIPE)
    whole = gankit.train(recipe=recipe, data="tiny.npz", device="cpu", out="whole")
    assert resumed.generator.read_bytes()[-1000:] == whole.generator.read_bytes()[-1000:]
    config = json.loads((stopped.folder / "config.json").read_text())
    assert (config["config"]["g_lr"], config["options"]["c"], "recipe" in config["config"]) == (1e-3, 0.9, False)


def test_a_run_without_a_recipe_says_so(recipe: Path) -> None:
    result = gankit.train("lsgan", data="tiny.npz", steps=1, out="plain", **SMALL)
    assert json.loads((result.folder / "run.json").read_text())["recipe"] is None
