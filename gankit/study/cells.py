"""The settings of a cell: checked, scaled, and a name that they make."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gankit.base.files import canonical_json, sha256
from gankit.base.text import short_name
from gankit.errors import InputError
from gankit.settings.config import ALIASES, BUDGETS, DEFAULT_IMAGES, RunConfig
from gankit.settings.option import to_json
from gankit.settings.validate import validate

MAX_NAME = 80  # characters of the name of a cell, which is part of the names of folders
NAMING = ("variant", "recipe", "data")
"""Settings by which a cell is named where it sets no other."""

NOT_IN_A_STUDY = {
    "seed": "the seeds of a study are [repeat] seeds",
    "device": "it belongs to the machine: give --device",
    "checkpoint_every": "it belongs to the machine",
}
"""Settings that no cell may hold, with the reason."""


def checked_settings(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings as JSON values in one spelling: 100000 for '100k'. Options are checked when their plugin is known."""
    given = {ALIASES.get(key, key): os.fspath(v) if isinstance(v, os.PathLike) else v for key, v in table.items()}
    for name, reason in NOT_IN_A_STUDY.items():
        if name in given:
            raise InputError(f"{where}: '{name}' cannot be part of a study: {reason}", hint="leave it out")
    if not isinstance(given.get("options", {}), Mapping):
        raise InputError(f"{where}: 'options' must be a table", hint="options = { NAME = VALUE }")
    if isinstance(given.get("extensions", []), str):
        given["extensions"] = [given["extensions"]]
    others: dict[str, Any] = {key: given[key] for key in ("options", "recipe") if key in given}
    plain = {key: value for key, value in given.items() if key not in others and value is not None}
    config = to_json(validate(RunConfig, plain, what="setting", where=where))
    checked = {key: config[key] for key in plain}
    for key in ("variant", "recipe", "data", "init_from"):
        if key in {**checked, **others}:
            target = checked if key in checked else others
            target[key] = _absolute(str(target[key]))
    if "extensions" in checked:
        checked["extensions"] = [_absolute(name) for name in checked["extensions"]]
    return {**checked, **others}


def _absolute(name: str) -> str:
    """A file as an absolute path, so that the study goes on from any folder; other names as they are."""
    path = Path(name)
    is_path = os.sep in name or name.startswith(".") or path.suffix in (".py", ".toml", ".zip", ".npz", ".npy")
    return str(path.absolute()) if is_path and path.exists() else name


def scaled(settings: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """The settings with every budget multiplied by `scale`; that of a recipe, or the default, where none is given."""
    if scale == 1:
        return dict(settings)
    budgets = {key: settings[key] for key in BUDGETS if settings.get(key) is not None}
    if not budgets and "recipe" in settings:
        from gankit.host import recipes

        of_recipe = recipes.find(settings["recipe"]).recipe.settings
        plain = {key: of_recipe[key] for key in BUDGETS if of_recipe.get(key) is not None}
        budgets = checked_settings(plain, "the recipe")
    budgets = budgets or {"images": DEFAULT_IMAGES}
    smaller = {key: v * scale if key == "time_s" else max(1, round(v * scale)) for key, v in budgets.items()}
    return {**settings, **smaller}


def name_of(own: Mapping[str, Any]) -> str:
    """A name for the cell with these settings: 'hinge-digits-g_lr=0.0001'."""
    words = []
    for key, value in own.items():
        text = word(value)
        if os.sep in text:
            text = short_name(Path(text))
        words.append(text if key in NAMING else f"{key.removeprefix('options.')}={text}")
    name = re.sub(r"[^A-Za-z0-9._=,+-]+", "-", "-".join(words)).strip("-.,=+") or "all"
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 7]}-{sha256(canonical_json(dict(own)).encode())[:6]}"


def word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return ",".join(map(word, value)) if isinstance(value, list | tuple) else str(value)
