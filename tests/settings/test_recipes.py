"""Recipe files: what they may hold, and one line for each mistake, which names the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gankit.errors import InputError
from gankit.settings.recipes import Condition, DataFacts, Interval, read_recipe

WHOLE = """
title = "Everything"
about = \"\"\"Two
lines.\"\"\"

[settings]
variant = "gan"
with = ["diffaugment"]
data = "digits"
steps = "1k"
batch = 10
g_lr = "linear(2e-4, 0, 50%-100%)"
[settings.options]
label_smoothing = 0.1
[settings.options.diffaugment]
policy = "color"

[data]
about = "digits"
shape = [1, 28, 28]
images = "10k"
classes = 10

[expect]
command = "eval"
features = "classifier"
metrics = ["fid"]
n = "5k"
n_real = "all"
source = "measured"
[expect.scores]
fid = { value = 2, low = 1, high = 3.5 }
recall = { low = 0.5 }

[[published]]
score = "FID"
value = "6.8 ± 0.5"

[[cost]]
hours = 0.5
machine = "a laptop"

[advise]
kind = "images"
min_images = "1k"
sides = [32, 64]
[[advise.rules]]
when = { max_images = "10k" }
settings = { with = ["ada"] }
because = "few images"
"""


def read(path: Path, text: str | bytes) -> object:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_recipe(path)[0]


def test_every_part_of_a_recipe_is_read(tmp_path: Path) -> None:
    recipe = read(tmp_path / "whole.toml", WHOLE)
    assert (recipe.title, recipe.about, recipe.images, recipe.state) == ("Everything", "Two lines.", 10_000, "measured")
    assert recipe.settings["extensions"] == ["diffaugment"]  # `with` in the file
    assert recipe.settings["g_lr"] == "linear(2e-4, 0, 50%-100%)"
    assert recipe.expect.n == 5_000
    assert recipe.expect.scores == {"fid": Interval(low=1, high=3.5, value=2), "recall": Interval(low=0.5)}
    assert (recipe.data.shape, recipe.data.images) == ((1, 28, 28), 10_000)
    assert recipe.advise.rules[0].when == Condition(max_images=10_000)


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    read(one, WHOLE), read(other, WHOLE + "# a comment\n")
    assert len({read_recipe(path)[1] for path in (one, other)}) == 2


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("title = ", "is not valid TOML", "docs/recipes.md"),
        (b"title = '\xff'", "is not valid TOML", ""),
        ("a = " + "[" * 5_000, "is not valid TOML", ""),
        ("#" * (1 << 20) + "\n", "larger than 1048576 bytes", ""),
        ("about = 'x'", "a recipe needs a title", "title"),
        ("title = 3", "title=3", "what it is, in one line"),
        ("title = 'x'\ntilte = 'y'", "unknown key of bad.toml: tilte", "did you mean 'title'?"),
        ("title = 'x'\n[setings]\nbatch = 2", "unknown key of bad.toml: setings", "did you mean 'settings'?"),
        ("title = 'x'\nsettings = 3", "'settings' must be a table", "[settings]"),
        ("title = 'x'\n[settings]\nbacth = 2", "unknown setting of [settings] of bad.toml: bacth", "'batch'"),
        ("title = 'x'\n[settings]\nbatch = 'many'", "batch='many'", "batch"),
        ("title = 'x'\n[settings]\nrecipe = 'digits'", "unknown setting of [settings] of bad.toml: recipe", ""),
        ("title = 'x'\n[settings]\nwith = 'ada'", "'with' must be a list of names", "with = ["),
        ("title = 'x'\n[settings]\noptions = 2", "'options' must be a table", "[settings.options]"),
        ("title = 'x'\n[settings]\nvariant = './evil.py'", "'./evil.py' is a path", "package"),
        ("title = 'x'\n[settings]\nwith = ['evil.py']", "'evil.py' is a path", "package"),
        ("title = 'x'\n[settings]\ndata = '../../etc'", "'../../etc' is a path", "leave `data` out"),
        ("title = 'x'\n[settings]\ndata = '..'", "'..' is a path", ""),
        ("title = 'x'\n[settings]\ndata = 'C:\\secret'", "is a path", ""),
        ("title = 'x'\n[settings]\ninit_from = 'x'", "'init_from' cannot be part of a recipe", "leave it out"),
        ("title = 'x'\n[settings]\ndevice = 'cpu'", "'device' cannot be part of a recipe", "leave it out"),
        ("title = 'x'\n[data]\nshape = [1, 'a']", "shape.1='a'", "shape"),
        ("title = 'x'\n[expect]\ncommand = 'rm'", "command='rm'", "command"),
        ("title = 'x'\n[expect]\nsource = 'x'\n[expect.scores]\nfid = 3", "'fid' is no interval", "low = 1"),
        ("title = 'x'\n[expect]\nsource = 'x'\n[expect.scores]\nfid = {low = 3, high = 2}", "low above high", ""),
        ("title = 'x'\n[expect]\nsource = 'x'\n[expect.scores]\nfid = {low = nan}", "low=nan", "low"),
        ("title = 'x'\n[expect.scores]\nfid = {low = 3}", "the scores have no source", "source"),
        ("title = 'x'\n[cost]\nhours = 1", "'cost' must be a list of tables", "[[cost]]"),
        ("title = 'x'\n[advise]\nkindd = 'images'", "unknown key of [advise] of bad.toml: kindd", "'kind'"),
        ("title = 'x'\n[advise]\nlabels = true", "labels=True", "two classes or more"),
        ("title = 'x'\n[[advise.rules]]\nif = 3", "unknown key of [[advise.rules]] in [advise] of bad.toml: if", ""),
        ("title = 'x'\n[[advise.rules]]\nsettings = {variant = 'gan'}", "neither variant, data nor size", ""),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | bytes, message: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        read(Path("bad.toml"), text)
    assert message in caught.value.message
    assert "bad.toml" in caught.value.message
    assert hint in (caught.value.hint or "")
    assert "\n" not in caught.value.message


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(InputError, match="not a regular file"):
        read_recipe(tmp_path / "pipe.toml")


def test_a_condition_holds_for_the_data_it_describes() -> None:
    facts = DataFacts(name="", kind="images", images=500, side=64, colour="rgb", classes=5, per_class=100)
    for holding in ({}, {"max_images": 500}, {"min_side": 64}, {"labels": "yes"}, {"min_per_class": 100}):
        assert Condition(**holding).holds(facts), holding
    for failing in (
        {"kind": "points"},
        {"data": ("digits",)},
        {"min_images": 501},
        {"max_side": 63},
        {"labels": "no"},
        {"min_per_class": 101},
        {"colour": "grey"},
    ):
        assert not Condition(**failing).holds(facts), failing
