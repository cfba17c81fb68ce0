"""`gankit plugin new`: what it makes works from the first minute to the last, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import TINY_VARIANT, environment_in, install

from gankit.errors import InputError, ResourceError
from gankit.host.scaffold import compatible, create
from gankit.testing import Subject, run_checks

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> Run:
    """A virtual environment of its own, which sees the packages of this one; runs commands in it, in `tmp_path`."""
    python = environment_in(tmp_path / "venv")
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "GANKIT_PLUGINS")}

    def run(*command: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [python, *map(str, command)],
            cwd=tmp_path,
            env={**variables, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def test_a_new_variant_is_built_installed_checked_trained_sampled_and_missed(tmp_path: Path, environment: Run) -> None:
    run = environment
    made = run("-m", "gankit", "plugin", "new", "MyGAN", "--licence", "apache-2.0")
    assert "gankit-mygan/gankit_mygan.py" in made.stdout
    assert "pip install --editable '.[test]'" in made.stderr

    at_hand = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    pip = ["-m", "pip", "--disable-pip-version-check", "--quiet"]
    outside = [sys.executable, *pip, "wheel", "--no-deps", *at_hand, "-w", tmp_path, tmp_path / "gankit-mygan"]
    subprocess.run(outside, check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    run(*pip, "install", "--no-deps", "--no-index", wheel)

    rows = json.loads(run("-m", "gankit", "plugin", "list", "--json").stdout)
    mine = {"kind": "variant", "name": "mygan", "dist": "gankit-mygan", "version": "0.1.0", "state": "ok", "reason": ""}
    assert mine in rows
    checked = json.loads(run("-m", "gankit", "plugin", "check", "mygan", "--device", "cpu", "--json").stdout)
    assert (checked["plugin"], checked["origin"], checked["ok"]) == ("mygan", "gankit-mygan 0.1.0", True)
    run("-m", "pytest", "-q", "-k", "metadata or terms", "gankit-mygan/tests")
    run("-m", "gankit", "train", "--variant", "mygan", "--steps", "3", "--device", "cpu", "--out", "run")
    run("-m", "gankit", "sample", "run", "--seeds", "0-3", "-o", "grid.png")
    assert (tmp_path / "grid.png").exists()

    run(*pip, "uninstall", "--yes", "gankit-mygan")
    said = run("-m", "gankit", "resume", "run", "--steps", "6", code=3).stderr
    assert "run needs variant 'mygan' from gankit-mygan 0.1.0 — gankit install gankit-mygan==0.1.0" in said


@pytest.mark.usefixtures("warm_processes")
def test_a_new_extension_passes_the_checks(tmp_path: Path) -> None:
    made = create("noisy", extension=True, licence="bsd-3-clause", folder=tmp_path / "a folder")
    assert made.commands[0] == f"cd '{tmp_path}/a folder'"
    assert "gankit train --with noisy --images 20k" in made.commands
    assert (
        '[project.entry-points."gankit.extensions"]\nnoisy = "gankit_noisy"'
        in (made.folder / "pyproject.toml").read_text()
    )
    subject = Subject.of(str(made.folder / "gankit_noisy.py"))
    assert subject.extensions
    assert [(outcome.check.name, outcome.reason) for outcome in run_checks(subject) if outcome.reason] == []


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0", "BSD-3-Clause"])
@pytest.mark.parametrize("extension", [True, False])
def test_every_file_is_complete(licence: str, extension: bool, tmp_path: Path) -> None:
    made = create("my_gan", licence=licence, extension=extension, folder=tmp_path / "new")
    texts = {path: (made.folder / path).read_text() for path in made.files}
    assert {path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*") if path.is_file()} == set(texts)
    assert f'license = "{licence}"' in texts["pyproject.toml"]
    assert 'my-gan = "gankit_my_gan"' in texts["pyproject.toml"]
    assert "WARRANT" in texts["LICENSE"]
    assert "${{ matrix.python }}" in texts[".github/workflows/test.yml"]
    for path, text in texts.items():
        for meant in ("${{ matrix.python }}", "${GITHUB_REF_NAME#v}", "$ pip", "$ gankit", "$ pytest"):
            text = text.replace(meant, "")
        assert "$" not in text, path
        compile(text, path, "exec") if path.endswith(".py") else None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("LSGAN", "variant 'lsgan' is there already, from gankit"),
        ("Spectral_Norm", "extension 'spectral-norm' is there already, from gankit"),
        ("variants", "there is a module 'gankit_variants' already"),
        ("core", "the name 'core' is gankit's own"),
        ("gankit-mine", "the name 'gankit-mine' is gankit's own"),
        ("my gan", "'my gan' cannot be the name of a package"),
        ("../mine", "cannot be the name"),
        ("-mine", "cannot be the name"),
        ("größe", "cannot be the name"),
        ("", "cannot be the name"),
        ("x" * 65, "cannot be the name"),
    ],
)
def test_names_that_would_not_work_are_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        create(name, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_name_that_another_package_has_taken_is_refused(site: Path, tmp_path: Path) -> None:
    install(site, "someones-gan", TINY_VARIANT, variants=("my_gan",))
    with pytest.raises(InputError, match=r"variant 'my-gan' is there already, from someones-gan 1\.2\.3"):
        create("My-GAN", folder=tmp_path / "new")


def test_nothing_is_overwritten_and_an_unknown_licence_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already and is not empty"):
        create("mygan", folder=tmp_path / "full")
    with pytest.raises(InputError, match="is there already"):
        create("mygan", folder=tmp_path / "full" / "mine.txt")
    with pytest.raises(ResourceError, match="cannot write"):
        create("mygan", folder=tmp_path / "full" / "mine.txt" / "below")
    with pytest.raises(InputError, match="--licence GPL") as caught:
        create("mygan", licence="GPL", folder=tmp_path / "new")
    assert caught.value.hint == "Apache-2.0, BSD-3-Clause, MIT"
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]


def test_the_range_of_gankits_versions_is_honest() -> None:
    assert compatible("0.2.0") == ">=0.2.0,<0.3"
    assert compatible("0.9.3") == ">=0.9.3,<0.10"
    assert compatible("2.4.1") == ">=2.4.1,<3"
