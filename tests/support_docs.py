"""The blocks of README.md and docs/ as shell scripts that are short, and the environment in which they run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from support import ROOT, environment_in

README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [README, *PAGES]
BLOCK = re.compile(r"^```(?P<kind>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

# Run by .ci/run: the Makefile's targets, and the installation by tests/wheel_test.sh.
RUN_BY_CI = ("make ", "python3 -m venv", "pip install -c", "pip install .")
IMAGES = 64, 192  # of a training budget, at least and at most: 64 for each 100,000 of the page
SAMPLES = 100
STEPS = 4


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> list[re.Match[str]]:
    return list(BLOCK.finditer(path.read_text()))


def shortened(command: str) -> str:
    """The same command with a training budget of a few steps, and fewer samples."""

    def budget(found: re.Match[str]) -> str:
        number, unit = float(found[2].replace("_", "")), {"k": 1e3, "M": 1e6}.get(found[3], 1)
        least, most = IMAGES
        return f"{found[1]}{min(max(least, round(number * unit / 100_000 * least)), most)}"

    short = re.sub(r"((?:--images|--eval-every) |\bimages=)([\d_]+)([kM]?)", budget, command)
    short = re.sub(r"( -n | --eval-n )(\d+)", lambda found: f"{found[1]}{min(int(found[2]), SAMPLES)}", short)
    short = re.sub(r"( --steps )(\d+)", lambda found: f"{found[1]}{min(int(found[2]), STEPS)}", short)
    for pattern, less in (
        (r"^gankit eval(?!.* -n )", f" -n {SAMPLES}"),
        (r"--eval-every \d+(?!.*--eval-n)", f" --eval-n {SAMPLES}"),
        (r"evaluate\(result.folder", f", n={SAMPLES}"),
        (r"^gankit bench", " --steps 1"),
        (r"^gankit manifold.*", " -n 2"),  # the last of two counts
    ):
        short = re.sub(pattern, rf"\g<0>{less}", short)
    return short


def script(path: Path) -> str:
    """A document as a shell script: files with a title are written, commands and Python run, all in their order."""
    lines = ["set -eu"]
    for block in blocks(path):
        kind, title, text = block["kind"], block["title"], block["text"]
        if title:
            lines += [f"cat > {shlex.quote(title)} <<'END-OF-BLOCK'", text + "END-OF-BLOCK"]
        elif kind in ("python", "py"):
            lines += ["python - <<'END-OF-BLOCK'", shortened(text) + "END-OF-BLOCK"]
        elif kind == "console":
            commands = [line[2:] for line in text.replace("\\\n", "").splitlines() if line.startswith("$ ")]
            for command in commands:
                if not command.startswith(RUN_BY_CI):
                    lines += [f"echo {shlex.quote('$ ' + command)} >&2", shortened(command.partition("  #")[0])]
        else:
            assert kind == "text", f"{named(path)}: a block that is neither run nor marked as output: {text[:80]}"
    return "\n".join(lines)


def environment(tmp_path: Path) -> dict[str, str]:
    """Variables for an environment of its own that sees the packages of this one, so that a page may install something."""
    binaries = environment_in(tmp_path / "venv").parent
    programs = {name: f'#!/bin/sh\nexec "{binaries}/python" -m {name} "$@"\n' for name in ("gankit", "pip", "pytest")}
    for name, text in programs.items():
        (binaries / name).write_text(text)
        (binaries / name).chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GANKIT", "PYTEST", "COV"))}
    quiet = {
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_QUIET": "1",
        "PIP_NO_INPUT": "1",
    }
    path = f"{binaries}:{os.environ['PATH']}"
    return {
        **kept,
        **quiet,
        "PATH": path,
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
        "GANKIT_HOME": os.environ["GANKIT_HOME"],
    }


IN_CI = ("README.md", "docs/adversary.md")
"""Whose blocks the tests run; those of the other pages are run by `make reliability`."""
WITH_BLOCKS = [path for path in DOCUMENTS if blocks(path)]


def run_blocks(path: Path, tmp_path: Path) -> None:
    """Run the blocks of a document in their order, in a new environment."""
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copytree(ROOT / "examples", folder / "examples")
    done = subprocess.run(
        ["bash", "-c", script(path)],
        cwd=folder,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-2000:]
