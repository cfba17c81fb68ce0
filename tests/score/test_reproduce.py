"""`gankit reproduce`: trains, scores by the recipe's protocol, and says whether that was expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gankit.errors import InputError
from gankit.host import recipes
from gankit.score import reproduce as module
from gankit.score.reproduce import reproduce

RECIPE = """
title = "Points"
[settings]
variant = "lsgan"
data = "ring8"
steps = 4
batch = 16
z_dim = 2
[expect]
features = "points"
metrics = ["fid"]
n = 200
source = "measured in a test"
"""
CPU = {"device": "cpu"}


def recipe(scores: str, text: str = RECIPE) -> str:
    Path("mine.toml").write_text(text + ("[expect.scores]\n" + scores if scores else ""))
    return "./mine.toml"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stored(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text())


def test_a_recipe_is_trained_scored_and_judged() -> None:
    result = reproduce(recipe("fid = { low = 0, high = 1e9, value = 5 }"), seeds=2, settings=CPU)
    assert (result.within, result.images_seen) == (True, (64, 64))
    (fid,) = result.scores.values()
    assert len(fid.values) == 2
    assert fid.mean == pytest.approx(sum(fid.values) / 2)
    assert fid.values[0] != fid.values[1]
    summary = stored("runs/reproduce-mine/reproduce.json")
    assert summary == json.loads(json.dumps(result.record()))
    for seed in (0, 1):
        run = Path(f"runs/reproduce-mine/seed-{seed}")
        one = stored(str(run / "reproduce.json"))
        assert (one["seed"], one["scores"]["fid"]) == (seed, fid.values[seed])
        assert one["protocol"]["features"] == "points"
        assert json.loads((run / "run.json").read_text())["recipe"]["digest"] == result.recipe["digest"]
        assert len((run / "metrics.jsonl").read_text().splitlines()) == 1


def test_outside_is_a_verdict_and_no_error() -> None:
    result = reproduce(recipe("fid = { high = 1e-9 }"), settings=CPU)
    assert result.within is False
    assert stored("runs/reproduce-mine/reproduce.json")["within"] is False


def test_without_an_expectation_there_is_no_verdict() -> None:
    assert reproduce(recipe(""), settings=CPU, out=Path("here")).within is None
    assert Path("here/seed-0/reproduce.json").is_file()


def test_the_same_call_continues_and_repeats_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    name = recipe("fid = { low = 0 }")
    with monkeypatch.context() as patch:
        patch.setattr(module, "_score", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            reproduce(name, settings=CPU)
    first = reproduce(name, settings=CPU)  # trained already
    with monkeypatch.context() as patch:
        patch.setattr(module, "train_layers", lambda *_, **__: pytest.fail("trained again"))
        assert reproduce(name, settings=CPU) == first
    more = reproduce(name, settings=CPU, seeds=2)
    assert more.scores["fid"].values[0] == first.scores["fid"].mean


def test_another_recipe_in_the_same_folder_is_refused() -> None:
    reproduce(recipe("fid = { low = 0 }"), settings=CPU)
    with pytest.raises(InputError, match="is another run: batch 16 -> 8"):
        reproduce(recipe("fid = { low = 0 }", RECIPE.replace("batch = 16", "batch = 8")), settings=CPU)


def test_scores_of_other_data_are_not_taken_for_these() -> None:
    name = recipe("fid = { low = 0 }", RECIPE.replace('data = "ring8"\n', ""))
    reproduce(name, settings={**CPU, "data": "ring8"})
    with pytest.raises(InputError, match="seed-0 was trained on ring8, not on grid25"):
        reproduce(name, settings={**CPU, "data": "grid25"})


def test_a_score_that_one_seed_has_not_is_outside_and_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    name = recipe("fid = { low = 0 }\n")
    reproduce(name, settings=CPU, seeds=2)
    first = Path("runs/reproduce-mine/seed-0/reproduce.json")
    first.write_text(json.dumps(stored(str(first)) | {"scores": {"held": 1.0}}))
    result = reproduce(name, settings=CPU, seeds=2)
    assert result.within is False
    assert result.scores["fid"].values[0] is None
    assert (result.scores["fid"].mean, result.scores["held"].values) == (None, (1.0, None))
    assert stored("runs/reproduce-mine/reproduce.json")["scores"]["fid"]["mean"] is None


@pytest.mark.parametrize(
    ("scores", "text", "message"),
    [
        ("fidd = { low = 0 }", RECIPE, "expects fidd, which its protocol does not compute"),
        ("fid = { low = 0 }", RECIPE.replace('"points"', '"pints"'), "unknown feature space 'pints'"),
    ],
)
def test_a_wrong_protocol_is_one_line(scores: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reproduce(recipe(scores, text), settings=CPU)


def test_features_are_sought_before_the_training() -> None:
    with pytest.raises(InputError):
        reproduce(recipe("", RECIPE.replace('"points"', '"pints"')), settings=CPU)
    assert not Path("runs").exists()


def test_the_expectations_of_the_shipped_recipes_name_their_source() -> None:
    for found in recipes.discover():
        expect = found.recipe.expect
        assert expect is None or not expect.scores or expect.source.startswith(("measured", "https://")), found.name
