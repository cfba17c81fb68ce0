"""The recipes that installed packages ship, found by their entry points without importing any package."""

from __future__ import annotations

import importlib.util
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from gankit.base.files import expanded
from gankit.base.text import did_you_mean, printable
from gankit.errors import InputError, PluginError
from gankit.host.discovery import Plugin, installed, normalise
from gankit.settings.layers import RECIPE, Layer, below
from gankit.settings.recipes import SUFFIX, Recipe, read_recipe

RECIPES = "gankit.recipes"

log = logging.getLogger("gankit")


@dataclass(frozen=True)
class RecipeFile:
    """A recipe and where it comes from."""

    name: str
    path: Path
    recipe: Recipe
    digest: str
    """sha256 (hex) of the file."""
    dist: str | None = None
    """The package that ships it; None for a file of the user."""
    version: str | None = None

    @property
    def origin(self) -> str:
        """The package with its version, 'gankit 0.2.0', or the file."""
        return f"{self.dist} {self.version}" if self.dist else str(self.path)

    @property
    def layer(self) -> Layer:
        """Its settings, as a layer whose source is 'recipe NAME'."""
        return Layer(f"{RECIPE} {self.name}", self.recipe.settings)

    @property
    def identity(self) -> dict[str, str]:
        """What a run remembers of it."""
        return {"name": self.name, "origin": self.origin, "digest": self.digest}


@dataclass(frozen=True)
class _Place:
    """A recipe file that was found and is not yet read."""

    name: str
    path: Path
    plugin: Plugin

    def read(self) -> RecipeFile:
        recipe, digest = read_recipe(self.path)
        return RecipeFile(self.name, self.path, recipe, digest, self.plugin.dist, self.plugin.version)


def discover() -> list[RecipeFile]:
    """All recipes of the installed packages, sorted by name; one line of warning names each that is broken."""
    found = []
    for place in _places():
        try:
            found.append(place.read())
        except InputError as error:
            log.warning("left out a recipe of %s: %s", place.plugin.origin, error.message)
    return found


def find(requested: str) -> RecipeFile:
    """The recipe meant by NAME, DIST:NAME or ./file.toml; InputError, or PluginError if several packages have it."""
    if os.sep in requested or requested.endswith(SUFFIX):
        path = expanded(requested)
        if path.suffix != SUFFIX or not path.is_file():
            raise InputError(
                f"no such recipe file: {printable(requested)}", hint="give a .toml file, or a recipe's name"
            )
        recipe, digest = read_recipe(path)
        return RecipeFile(normalise(path.stem), path, recipe, digest)
    dist, _, name = requested.rpartition(":")
    places = _places()
    matches = [
        place
        for place in places
        if place.name == normalise(name) and (not dist or normalise(place.plugin.dist or "") == normalise(dist))
    ]
    if not matches:
        hint = did_you_mean(requested, [place.name for place in places]) + "`gankit recipes` lists them"
        raise InputError(f"unknown recipe '{printable(requested)}'", hint=f"{hint}; a file works too: ./my.toml")
    if len(matches) > 1:
        owners = " and ".join(place.plugin.origin for place in matches)
        choices = " or ".join(f"{place.plugin.dist}:{place.name}" for place in matches)
        raise PluginError(f"recipe '{matches[0].name}' is offered by {owners}", hint=f"say which one: {choices}")
    return matches[0].read()


def with_recipe(layers: list[Layer]) -> tuple[list[Layer], RecipeFile | None]:
    """The layers without the setting `recipe`, and that recipe's own layer below them."""
    named = [layer.settings["recipe"] for layer in layers if layer.settings.get("recipe") is not None]
    rest = [Layer(x.source, {k: v for k, v in x.settings.items() if k != "recipe"}) for x in layers]
    if not named:
        return rest, None
    requested = os.fspath(named[-1]) if isinstance(named[-1], os.PathLike) else named[-1]
    if not isinstance(requested, str):
        raise InputError(f"recipe={requested!r} is not a name", hint="`gankit recipes` lists them")
    found = find(requested)
    if "data" not in found.recipe.settings and not any("data" in layer.settings for layer in rest):
        about = found.recipe.data.about or "images of yours"
        raise InputError(f"recipe '{found.name}' needs data of yours: {about}", hint="--data DATA")
    return below(found.layer, rest), found


def _places() -> list[_Place]:
    places = []
    for plugin in installed(RECIPES):
        folder = _folder(plugin.entry_point.module if plugin.entry_point else "")
        if folder is None:
            log.warning("the recipes of %s are not found: its entry point names no folder", plugin.origin)
            continue
        files = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())
        places += [_Place(normalise(path.stem), path, plugin) for path in files]
    return sorted(places, key=lambda place: (place.name, place.plugin.dist or ""))


def _folder(module: str) -> Path | None:
    """The folder of a package, found without importing it; a sub-package or any folder in it is 'package.folder'."""
    top, *below_top = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        folder = Path(location, *below_top)
        if folder.is_dir():
            return folder
    return None
