"""A plugin that works goes on working: those written for an older API, and those that use what will go."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pluggy
import pytest
from support import TINY_VARIANT, install

import gankit
from gankit import hookspecs, plugin
from gankit.cli import main
from gankit.host.composition import SUPPORTED_API
from gankit.testing import Subject, parametrize_checks

DATA = Path(__file__).parent / "frozen"
VARIANT, EXTENSION = DATA / "api1" / "everything.py", DATA / "api1" / "watching.py"

# Plugins as authors wrote them for each API that is still spoken. They were frozen when it was released: an API that
# breaks one of them needs another number, and a folder of its own here.
FROZEN = {
    1: {
        "everything.py": "69aadd7b67fe6b84dcc336a3edd83265cf5e60b8c4d79b4c1c6a99decebf6d6c",
        "watching.py": "f84d32da4ac2698aec0054b1f6c9caf672d93ac4edc13ab6b7a8360a6e187741",
    }
}

LATER = {
    "Attribute",
    "FrozenLite0",
    "PixelNorm",
    "PowerEma",
    "Terms",
    "finite_differences",
    "scores_of",
}  # names that came after these plugins were frozen


def test_every_api_that_is_spoken_has_frozen_plugins_and_they_are_as_they_were() -> None:
    assert set(FROZEN) == SUPPORTED_API
    for api, files in FROZEN.items():
        folder = DATA / f"api{api}"
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.py")}
        assert found == files


def test_they_use_every_hook_and_every_name() -> None:
    """As of the release; what is added later is tested elsewhere."""
    trees = [ast.parse(path.read_text()) for path in (VARIANT, EXTENSION)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    implemented = {node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("gankit_")}
    imported = {name.name for node in nodes if isinstance(node, ast.ImportFrom) for name in node.names}
    assert implemented == {name for name in vars(hookspecs) if name.startswith("gankit_")}
    assert set(plugin.__all__) - LATER <= imported


@parametrize_checks(str(VARIANT), extensions=(str(EXTENSION),))
def test_they_keep_the_rules(check: Callable[[], None]) -> None:
    check()


def test_they_train_are_scored_and_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own: dict[str, Any] = {"variant": str(VARIANT), "extensions": [str(EXTENSION)]}
    options = {"weight": 2.0, "watching": {"scale": 0.5}}
    gankit.train(**own, options=options, data="ramps", steps=3, device="cpu", out="run")
    result = gankit.resume("run", **own, steps=6)
    assert Path("run/watched.txt").read_text() == "6 48 8 run None\n"
    scores = gankit.evaluate(result.folder, **own, features="small-pixels", metrics="mean-feature", n=100).scores
    assert 0 <= scores["mean-feature"].value <= 1


# -- what will go ------------------------------------------------------------------------------------------------------


@pytest.fixture
def deprecations(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a hook and an argument of another one were to go."""
    spec = pluggy.HookspecMarker(hookspecs.PROJECT)
    going = DeprecationWarning("gankit_loss goes in 0.9: implement gankit_objective")
    argument = {"options": DeprecationWarning("the argument 'options' goes in 0.9: ask for 'settings'")}

    def gankit_loss(data: object, options: object) -> None: ...

    def gankit_discriminator(data: object, options: object, output: object) -> None: ...

    monkeypatch.setattr(hookspecs, "gankit_loss", spec(firstresult=True, warn_on_impl=going)(gankit_loss))
    marked = spec(firstresult=True, warn_on_impl_args=argument)(gankit_discriminator)
    monkeypatch.setattr(hookspecs, "gankit_discriminator", marked)


OLD = (
    TINY_VARIANT
    + """
from torch import nn

@hookimpl
def gankit_discriminator(data, options):
    return nn.Sequential(nn.Flatten(), nn.Linear(2, 1), nn.Flatten(0))
"""
)
LINES = [
    "variant 'old' from gankit-old 1.2.3: the argument 'options' goes in 0.9: ask for 'settings'",
    "variant 'old' from gankit-old 1.2.3: gankit_loss goes in 0.9: implement gankit_objective",
]


def run(arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gankit", *arguments.split()])
    with pytest.raises(SystemExit, match="0"):
        main()


@pytest.mark.usefixtures("deprecations")
def test_who_uses_what_will_go_trains_and_is_told(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "gankit-old", OLD, variants=("old",))
    monkeypatch.chdir(tmp_path)
    run("train --variant old --data ring8 --steps 2 --device cpu --out run", monkeypatch)
    said = capsys.readouterr().err
    assert [line.removeprefix("warning: ") for line in said.splitlines() if "goes in" in line] == LINES

    run("plugin list --load --json", monkeypatch)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["old"]["state"], rows["old"]["reason"]) == ("ok", "; ".join(LINES))

    assert list(Subject.of("old").deprecated) == LINES


def test_who_uses_nothing_of_it_hears_nothing(site: Path) -> None:
    install(site, "gankit-new", TINY_VARIANT, variants=("new",))
    assert Subject.of("new").deprecated == ()
