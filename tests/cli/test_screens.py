"""Screens for people: within the columns of the terminal, nothing cut; help with words and an example."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main
from support import gankit
from typer.testing import CliRunner

import gankit as api
from gankit.cli import app


def commands(command: object, words: list[str]) -> list[list[str]]:
    """Every command and group below this one."""
    below = getattr(command, "commands", {})
    return [words, *(found for name, child in below.items() for found in commands(child, [*words, name]))]


ALL = commands(typer.main.get_command(app), [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny run that has a score."""
    path = tmp_path_factory.mktemp("screens")
    small = {"data": "ring8", "images": 4_096, "batch": 64, "z_dim": 2, "device": "cpu"}
    api.train("gan", out=path / "demo", **small)  # type: ignore[arg-type]
    api.evaluate(path / "demo", n=200, n_real=400)
    return path


SCREENS = [
    "",
    "variants",
    "variants show gan",
    "recipes",
    "recipes show hands",
    "doctor",
    "plugin list",
    "verify gan",
    "data info hands",
    "train --variant gan --data ring8 --z-dim 2 --images 640 --dry-run",
    "train --variant gan --g-lr linear(1e-3,0,50%-100%) --print-config",
    "diagnose demo",
    "compare demo",
    "modes demo -n 200",
    "sample demo -n 4 -o points.npz",
]


@pytest.mark.parametrize("typed", SCREENS)
def test_a_screen_fits_its_columns_and_nothing_is_cut(typed: str, folder: Path) -> None:
    wide = gankit(*typed.split(), cwd=folder, COLUMNS="400")
    assert wide.returncode == 0, wide.stderr
    for columns in (80, 60):
        narrow = gankit(*typed.split(), cwd=folder, COLUMNS=str(columns))
        assert narrow.returncode == 0, narrow.stderr
        lines = [line.rstrip() for line in narrow.stdout.splitlines()]
        assert lines
        assert max(map(len, lines)) <= columns
        assert "…" in wide.stdout or not any("…" in line for line in lines)


def test_a_pipe_gets_whole_lines(folder: Path) -> None:
    built_by = "built by    generator core, discriminator core, loss gan, training loop core, sample grid core"
    assert built_by in gankit("variants", "show", "gan", cwd=folder, COLUMNS="").stdout.splitlines()


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_fits_with_every_flag_whole(words: list[str], columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = CliRunner().invoke(app, [*words, "--help"]).output
    assert max(map(len, shown.splitlines())) <= columns
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]
    flags = {flag for parameter in command.params for flag in parameter.opts if flag.startswith("-")}
    assert {flag for flag in flags if not re.search(rf"{flag}[\s,]", shown)} <= {"--install-completion"}  # typer's own
    assert not re.search("<(str|int|float|list)", shown.partition("─ Options ─")[2])
    assert len(shown.splitlines()) <= (100 if columns == 80 else 170)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_has_an_example_that_can_be_typed_and_paragraphs_that_wrap(words: list[str]) -> None:
    root = typer.main.get_command(app)
    command = root
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]
    paragraphs = (command.help or "").split("\n\n")
    examples = [line for line in paragraphs[-1].splitlines() if line.startswith("gankit ")]
    assert examples == paragraphs[-1].splitlines()
    for paragraph in paragraphs[1:-1]:  # typer joins the lines of the first one only
        assert "\n" not in paragraph
    for example in examples:
        found, rest = root, shlex.split(example)[1:]
        while rest and rest[0] in getattr(found, "commands", {}):
            found, rest = found.commands[rest[0]], rest[1:]  # type: ignore[attr-defined]
        assert not hasattr(found, "commands") or not rest
        known = {flag for parameter in found.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in rest if word.startswith("-")} <= known
