"""Recipes are found in any package, without importing it; a broken one breaks only itself."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from gankit.errors import InputError, PluginError
from gankit.host import recipes
from gankit.settings.layers import Layer

RECIPE = 'title = "Mine"\n[settings]\nvariant = "gan"\ndata = "digits"\nimages = 1000\n'


def package(site: Path, dist: str, files: dict[str, str], folder: str = "") -> None:
    """A distribution whose package holds recipes, and raises when it is imported."""
    module = dist.replace("-", "_")
    place = site / module / folder
    place.mkdir(parents=True, exist_ok=True)
    (site / module / "__init__.py").write_text("raise RuntimeError('imported')\n")
    for name, text in files.items():
        (place / name).write_text(text)
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    value = f"{module}.{folder}" if folder else module
    (info / "entry_points.txt").write_text(f"[gankit.recipes]\n{module} = {value}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_any_package_adds_recipes_without_being_imported(site: Path) -> None:
    package(site, "one-pack", {"Mine_Too.toml": RECIPE, "README.md": "x"})
    package(site, "two-pack", {"deep.toml": RECIPE}, folder="files")
    found = {recipe.name: recipe for recipe in recipes.discover()}
    assert (found["mine-too"].origin, found["deep"].origin) == ("one-pack 1.0", "two-pack 1.0")
    assert "digits" in found  # those of gankit itself
    assert not {"one_pack", "two_pack"} & sys.modules.keys()


def test_a_broken_recipe_breaks_only_itself(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    package(site, "one-pack", {"good.toml": RECIPE, "bad.toml": "title = ", "huge.toml": "#" * (1 << 21)})
    package(site, "gone-pack", {})
    (site / "gone_pack" / "__init__.py").unlink()
    (site / "gone_pack").rmdir()
    with caplog.at_level(logging.WARNING, "gankit"):
        names = [recipe.name for recipe in recipes.discover()]
    assert "good" in names
    assert not {"bad", "huge"} & set(names)
    assert len(caplog.messages) == 3
    assert all(any(word in line for line in caplog.messages) for word in ("bad.toml", "huge.toml", "gone-pack"))
    assert recipes.find("good").recipe.title == "Mine"
    with pytest.raises(InputError, match=r"bad\.toml is not valid TOML"):
        recipes.find("bad")


def test_one_name_in_two_packages_is_chosen_by_its_package(site: Path) -> None:
    package(site, "one-pack", {"mine.toml": RECIPE})
    package(site, "two-pack", {"mine.toml": RECIPE.replace("Mine", "Theirs")})
    with pytest.raises(PluginError, match=r"recipe 'mine' is offered by one-pack 1\.0 and two-pack 1\.0") as caught:
        recipes.find("mine")
    assert caught.value.hint == "say which one: one-pack:mine or two-pack:mine"
    assert recipes.find("two-pack:mine").recipe.title == "Theirs"


@pytest.mark.parametrize(
    ("requested", "message", "hint"),
    [
        ("digist", "unknown recipe 'digist'", "did you mean 'digits'?"),
        ("../secret", "no such recipe file: ../secret", ".toml"),
        ("/etc/passwd", "no such recipe file", ".toml"),
        ("./none.toml", "no such recipe file", ".toml"),
        ("..", "unknown recipe '..'", ""),
        ("other:digits", "unknown recipe 'other:digits'", ""),
        ("a\x1bb", "unknown recipe 'a\\x1bb'", ""),
    ],
)
def test_what_is_no_recipe_is_one_line(site: Path, requested: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        recipes.find(requested)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_file_is_a_recipe_too(site: Path) -> None:
    Path("Own_one.toml").write_text(RECIPE)
    found = recipes.find("./Own_one.toml")
    assert (found.name, found.dist, found.origin) == ("own-one", None, "Own_one.toml")


def test_the_last_layer_names_the_recipe_and_data_may_be_left_open(site: Path) -> None:
    Path("open.toml").write_text('title = "x"\n[settings]\nbatch = 4\n[data]\nabout = "faces, 64x64"\n')
    layers, found = recipes.with_recipe([Layer("run.toml", {"recipe": "digits"}), Layer("flag", {"recipe": None})])
    assert (found.name if found else None, layers[0].source) == ("digits", "recipe digits")
    assert all("recipe" not in layer.settings for layer in layers)
    with pytest.raises(InputError, match=r"recipe 'open' needs data of yours: faces, 64x64") as caught:
        recipes.with_recipe([Layer("flag", {"recipe": "open.toml"})])
    assert caught.value.hint == "--data DATA"
    layers, _ = recipes.with_recipe([Layer("flag", {"recipe": "open.toml", "data": "digits"})])
    assert [layer.source for layer in layers] == ["recipe open", "flag"]
