"""Installing plugins: by the tool of the environment, without replacing PyTorch, and out again."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import environment_in

from gankit.errors import InputError, ResourceError
from gankit.host import install

CONSTRAINTS = Path("constraints.txt")


def test_the_tool_is_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = install.install_command(["a", "b==1"], CONSTRAINTS, tmp_path)
    assert command == [sys.executable, "-m", "pip", "install", "--constraint", "constraints.txt", "a", "b==1"]
    (tmp_path / "pipx_metadata.json").touch()
    assert install.installer(tmp_path) == ["pipx", "runpip", tmp_path.name]
    (tmp_path / "pipx_metadata.json").unlink()
    monkeypatch.setattr("gankit.host.install.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("gankit.host.install.shutil.which", lambda name: "/bin/uv")
    assert install.install_command(["a"], CONSTRAINTS, tmp_path)[:5] == [
        "uv",
        "pip",
        "install",
        "--python",
        sys.executable,
    ]
    monkeypatch.setattr("gankit.host.install.shutil.which", lambda name: None)
    with pytest.raises(ResourceError, match="neither pip nor uv"):
        install.installer(tmp_path)


def test_paths_are_understood_by_tools_that_run_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pipx runpip` works in the folder of its environment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "a.whl").touch()
    given = ["./mine", "./mine[test]", "a.whl", "mine", "ghost.whl", "git+https://example.org/x/y"]
    here = tmp_path.resolve()
    expected = [f"{here}/mine", f"{here}/mine[test]", f"{here}/a.whl", *given[3:]]
    assert install.install_command(given, CONSTRAINTS)[-6:] == expected


def test_pytorch_and_gankit_are_pinned_as_they_are() -> None:
    with install.constraints() as path:
        lines = path.read_text().splitlines()
    assert lines == [f"{name}=={importlib.metadata.version(name)}" for name in ("torch", "gankit")]


@pytest.mark.parametrize(
    "arguments", ["install --upgrade", "install -r", "uninstall gan", "uninstall gankit", "uninstall nothing"]
)
def test_what_is_no_package_or_gankits_own_is_refused(
    arguments: str, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    _, _, name = arguments.partition(" ")
    if name.startswith("-"):
        with pytest.raises(InputError, match="is not a package"):
            install.install_command([name], CONSTRAINTS)
    else:
        assert f"'{name}'" in refusal(arguments, tmp_path)


@pytest.mark.slow
def test_a_plugin_goes_in_is_listed_and_goes_out(tmp_path: Path) -> None:
    """In an environment of its own, which sees this one's packages."""
    python = environment_in(tmp_path / "env")
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [python, "-m", *map(str, words)]
        return subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300, check=False
        )

    assert run("gankit", "plugin", "new", "mygan").returncode == 0
    dry = run("gankit", "install", "./gankit-mygan", "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "")
    assert "--constraint" in dry.stderr
    built = run("pip", "wheel", "--no-deps", "--no-build-isolation", "-w", "wheels", "./gankit-mygan")
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    installed = run("gankit", "install", wheel)
    assert installed.returncode == 0, installed.stderr
    assert installed.stdout == "variant mygan from gankit-mygan 0.1.0: gankit plugin check mygan\n"
    assert "mygan" in run("gankit", "plugin", "list").stdout
    gone = run("gankit", "uninstall", "mygan")
    assert gone.returncode == 0, gone.stderr
    assert "mygan" not in run("gankit", "plugin", "list").stdout
    failed = run("gankit", "install", "gankit-that-nobody-published")
    assert failed.returncode == 4
    assert failed.stderr.count("error: ") >= 1
