"""Definitions: the same object from every spelling, ids that stay, and what may grow."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from gankit.errors import InputError
from gankit.study.definition import SEARCH_SEEDS, Definition, make_trial
from gankit.study.reading import from_flags, from_table
from gankit.study.tables import nested

FULL = """
title = "Losses"
scale = 0.5
[settings]
data = "digits"
images = "100k"
with = ["lucic-nets"]
[grid]
variant = ["gan", "lsgan"]
g_lr = [1e-4, 2e-4]
[[cell]]
name = "minimax"
variant = "gan"
options = { objective = "minimax", ada = { target = 0.6 } }
[search]
trials = 5
[search.ranges]
d_lr = { low = 1e-5, high = 1e-2, log = true }
d_steps = [1, 5]
[repeat]
seeds = [4, 0, 2]
[score]
metric = "precision"
metrics = ["pr", "fid"]
"""


def small(**parts: Any) -> Definition:
    given = {"variants": ["gan", "lsgan"], "data": ["ring8"], "seeds": 2, **parts}
    return from_flags({"images": "1k", "batch": 64}, **given)


def test_a_definition_survives_being_written_and_read() -> None:
    definition = from_table(tomllib.loads(FULL))
    assert from_table(tomllib.loads(definition.to_toml())) == definition
    assert [cell.name for cell in definition.cells] == [
        "gan-g_lr=0.0001",
        "gan-g_lr=0.0002",
        "lsgan-g_lr=0.0001",
        "lsgan-g_lr=0.0002",
        "minimax",
    ]
    assert definition.cell("minimax").settings == {
        "data": "digits",
        "images": 50_000,
        "extensions": ["lucic-nets"],
        "variant": "gan",
        "options": {"objective": "minimax", "ada": {"target": 0.6}},
    }
    assert definition.seeds == (0, 2, 4)


def test_flags_make_what_a_file_makes() -> None:
    file = {
        "settings": {"images": 1_000, "batch": 64},
        "grid": {"variant": ["gan", "lsgan"], "data": ["ring8"]},
        "repeat": {"seeds": 2},
    }
    assert small() == from_table(file)
    assert small(file={"title": "x", "settings": {"batch": 7}}).settings["batch"] == 64


def test_ids_say_what_a_trial_is_and_stay_when_the_study_grows() -> None:
    ids = [trial.id for trial in small().grid_trials()]
    larger = small(variants=["hinge", "gan", "lsgan"], seeds=4)
    assert len(set(ids)) == 4
    assert set(ids) < {trial.id for trial in larger.grid_trials()}
    assert small().differences(larger) == []
    assert small().digest == larger.digest
    assert not set(ids) & {trial.id for trial in small(scale=2).grid_trials()}


def test_no_repetition_has_the_seed_of_a_search() -> None:
    definition = small(search={"ranges": "wide", "trials": 3})
    cell = definition.cells[0]
    trials = [definition.search_trial(cell, number, {"g_lr": 0.1, "options.x": 2}) for number in range(3)]
    assert [trial.seed for trial in trials] == [SEARCH_SEEDS, SEARCH_SEEDS + 1, SEARCH_SEEDS + 2]
    assert trials[1].settings["options"] == {"x": 2}
    with pytest.raises(InputError, match="seeds"):
        small(seeds=[SEARCH_SEEDS])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": 1}, "seed 1 is gone"),
        ({"variants": ["gan"]}, "cell 'lsgan-ring8' is gone"),
        ({"score": {"n": 100}}, "score.n 2000 -> 100"),
        ({"scale": 0.5}, "scale"),
        ({"search": {"ranges": "wide"}}, "search.ranges None -> wide"),
    ],
)
def test_what_is_not_growth_is_said(change: dict[str, Any], said: str) -> None:
    assert any(said in difference for difference in small().differences(small(**change)))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"setings": {}}, "unknown key 'setings'"),
        ({"settings": {"variant": "gan", "imagess": 1}}, "unknown setting"),
        ({"settings": {"variant": "gan", "images": "many"}}, "images"),
        ({"settings": {"variant": "gan", "seed": 1}}, "'seed' cannot be part of a study"),
        ({"settings": {"variant": "gan", "device": "cpu"}}, "'device' cannot be part of a study"),
        ({"settings": {"data": "ring8"}}, "names no variant"),
        ({"grid": {"variant": []}}, "'variant' has no values"),
        ({"grid": {"variant": ["gan", "gan"]}}, "'variant' has a value twice"),
        ({"settings": {"variant": "gan"}, "grid": {"variant": ["lsgan"]}}, "in [settings] as well"),
        ({"cell": [{"name": "a/b", "variant": "gan"}]}, "a cell is called 'a/b'"),
        ({"cell": [{"name": "a", "variant": "gan"}] * 2}, "two cells are called 'a'"),
        ({"settings": {"variant": "gan"}, "search": {"trials": 3}}, "has no ranges"),
        ({"settings": {"variant": "gan"}, "search": {"ranges": "wide", "prune": True}}, "prune is for"),
        ({"settings": {"variant": "gan"}, "search": {"ranges": "wide", "sampler": "best"}}, "sampler"),
        ({"settings": {"variant": "gan"}, "repeat": {"seeds": 0}}, "seeds = 0"),
        ({"settings": {"variant": "gan"}, "repeat": {"seeds": [1, 1]}}, "seeds = [1, 1]"),
        ({"settings": {"variant": "gan"}, "scale": 0}, "scale = 0"),
        ({"settings": {"variant": "gan"}, "score": {"report_seed": 0}}, "choose_seed and report_seed are both 0"),
    ],
)
def test_a_bad_definition_is_refused_in_one_line(table: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        from_table(table)
    assert said in caught.value.message


def test_options_of_extensions_are_tables_in_tables() -> None:
    assert nested({"g_lr": 1, "options.gamma": 2, "options.ada.p": 3}) == {
        "g_lr": 1,
        "options": {"gamma": 2, "ada": {"p": 3}},
    }


def test_an_option_of_a_flag_is_that_of_a_file() -> None:
    """`-s gamma=1` has the text '1', TOML the number 1.0: one study, and one trial."""

    def study(gamma: object) -> Definition:
        settings = {"variant": "r3gan", "data": "ring8", "images": 100, "options": {"gamma": gamma}}
        return from_table({"settings": settings, "repeat": {"seeds": 1}})

    text, number, other = study("1.0"), study(1), study(2)
    assert text.digest == number.digest
    assert text.differences(number) == []
    assert text.differences(other) == ["options.gamma of cell 'r3gan-ring8' 1 -> 2"]
    first, second, third = (make_trial("c", "grid", 0, 0, each.cells[0].settings).id for each in (text, number, other))
    assert first == second != third
