"""What README.md and docs/ show is what happens: every block and every command in them, and the site that is built of them."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import griffe
import pytest
import typer.main
from support import ROOT
from support_docs import BLOCK, DOCUMENTS, IN_CI, README, WITH_BLOCKS, blocks, named, run_blocks

from gankit import hookspecs, plugin
from gankit.cli import app


@pytest.mark.parametrize("path", [path for path in WITH_BLOCKS if named(path) in IN_CI], ids=named)
def test_every_block_runs(path: Path, tmp_path: Path) -> None:
    run_blocks(path, tmp_path)


def command_of(words: list[str]) -> tuple[object, list[str]]:
    """['gankit', 'data', 'pack', 'x', '--size'] -> the command 'data pack' and the words after it."""
    found, rest = typer.main.get_command(app), words[1:]
    while rest and hasattr(found, "commands") and not rest[0].startswith("-"):
        assert rest[0] in found.commands, f"no such command: {' '.join(words)}"
        found, rest = found.commands[rest[0]], rest[1:]
    return found, rest


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_within_the_text_exist_with_their_flags(path: Path) -> None:
    text = BLOCK.sub("", path.read_text())
    for quoted in re.findall(r"`((?:gankit|python) [^`]+)`", text):
        words = shlex.split(" ".join(quoted.split()).replace("…", "").replace("'", ""))
        flags = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        if words[0] == "gankit":
            command, _ = command_of(words)
            known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}  # type: ignore[attr-defined]
            assert set(flags) <= known | {"--help", "-h"}, quoted
        elif words[1] == "-m":
            assert importlib.util.find_spec(words[2]) is not None, quoted
        else:
            source = (ROOT / words[1]).read_text()
            assert all(f'"{flag}"' in source for flag in flags), quoted


def test_the_readme_is_short_and_shows_the_example_as_it_is() -> None:
    assert len(README.read_text().splitlines()) <= 150
    (shown,) = [block["text"] for block in blocks(README) if block["kind"] == "python"]
    assert shown.strip() == (ROOT / "examples" / "relativistic.py").read_text().strip()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\]\(([^)#]+)\)", README.read_text()))))
def test_links_of_the_readme_lead_somewhere(name: str) -> None:
    assert name.startswith("http") or (ROOT / name).exists()


# -- the site ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a link that leads nowhere, or a page that is in no menu, is an error."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", ROOT / ".mkdocs.yml", "-d", folder]
    variables = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_reference_has_every_hook_contract_and_command(site: Path) -> None:
    hooks, api, commands = (
        (site / "reference" / f"{page}.html").read_text() for page in ("hooks", "plugin", "commands")
    )
    for name in vars(hookspecs):
        if name.startswith("gankit_"):
            assert f'id="gankit.hookspecs.{name}"' in hooks
            arguments = ", ".join(f"`{argument}`" for argument in inspect.signature(vars(hookspecs)[name]).parameters)
            assert f"| `{name}` | {arguments or '–'} | " in (ROOT / "docs" / "reference" / "hooks.md").read_text()
    for name in plugin.__all__:
        assert f'id="gankit.plugin.{name}"' in api

    def walk(command: object, words: str) -> None:
        for name, child in getattr(command, "commands", {}).items():
            assert f"<code>{words} {name}</code>" in commands
            walk(child, f"{words} {name}")

    walk(typer.main.get_command(app), "gankit")


def test_every_part_of_a_contract_says_what_it_is() -> None:
    package = griffe.load("gankit", resolve_aliases=True)
    silent = []
    for name in plugin.__all__:
        exported = package["plugin"][name].final_target
        silent += [] if exported.docstring else [exported.path]
        if exported.is_class and exported.path.rpartition(".")[0] not in (
            "gankit.game.networks",
            "gankit.game.vectors",
        ):
            parts = (
                part
                for part in exported.members.values()
                if part.is_public and not part.is_special and not part.is_alias
            )
            silent += [
                part.path for part in parts if not part.docstring and "option(" not in str(getattr(part, "value", ""))
            ]
    allowed = r"gankit\.(settings\.option\.(Choice|LogUniform|Uniform|SameAs)\.\w+|errors\.\w+\.exit_code)"
    assert [path for path in silent if not re.fullmatch(allowed, path)] == []


def test_formulas_are_mathml_and_nothing_is_asked_of_other_machines(site: Path) -> None:
    assert (site / "maths.html").read_text().count("<math") > 40
    assert "arithmatex" not in (site / "maths.html").read_text()
    for page in site.rglob("*.html"):
        assert not re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="https?://(?!squidfunk)[^"]+"', page.read_text()
        ), page


def test_every_variant_has_its_maths() -> None:
    text = (ROOT / "docs" / "maths.md").read_text()
    entries = re.findall(r"^([\w-]+) = \"gankit_variants", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert len(entries) == 14
    for name in entries:
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert "https://arxiv.org/abs/" in section, name
