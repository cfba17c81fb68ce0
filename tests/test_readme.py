"""Every command of the README runs; long trainings are shortened, what CI itself runs is listed."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from support import gankit

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

# Run by .ci/run: the Makefile's targets by name, the pip lines by tests/wheel_test.sh and the Makefile.
RUN_BY_CI = ("make ", "python3 -m venv", ". .venv/bin/activate", "pip install", "git clone", "cd ")


def commands() -> list[str]:
    """Lines that begin with '$ ' inside fenced blocks, continuation lines joined."""
    blocks = re.findall(r"^```(?:console|sh)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    return [line[2:] for block in blocks for line in block.replace("\\\n", "").splitlines() if line.startswith("$ ")]


def shortened(command: str) -> list[str]:
    """The words of a command without comment, with a training budget that takes seconds."""
    words = shlex.split(command, comments=True)
    return ["640" if words[i - 1] == "--images" else word for i, word in enumerate(words)]


def test_the_readme_is_short_and_has_commands() -> None:
    assert len(README.splitlines()) <= 150
    assert len([command for command in commands() if command.startswith("gankit")]) >= 8


def test_every_command_of_the_readme_runs_in_order(tmp_path: Path, shared_home: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for command in commands():
        if command.startswith(RUN_BY_CI):
            continue
        words = shortened(command)
        assert words[0] == "gankit", f"a command that nothing runs: {command}"
        result = gankit(*words[1:], cwd=tmp_path, GANKIT_HOME=str(shared_home))
        assert result.returncode == 0, f"{command}\n{result.stderr}"


def test_the_variant_in_the_readme_is_the_example() -> None:
    """The lines shown are those of the file."""
    shown = re.search(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert shown is not None
    example = (ROOT / "examples" / "relativistic.py").read_text()
    assert shown[1].strip() == example.strip()


@pytest.mark.parametrize("name", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_to_files_lead_somewhere(name: str) -> None:
    if not name.startswith("http"):
        assert (ROOT / name).exists()


def test_this_runs_inside_the_environment_that_is_tested() -> None:
    assert (Path(sys.executable).parent / "gankit").exists()
