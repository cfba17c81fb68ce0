"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import warm
from support import python

from gankit.cli import main

# A shell that starts the tests in the background has them ignore Ctrl-C, which many of them send to themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests come first, so that no worker is left with one of them when the others have nothing to do."""
    items.sort(key=lambda item: "test_every_block_runs" not in item.nodeid)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of installed packages, in front of sys.path; what was imported from it is forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(folder):
            del sys.modules[name]


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all workers of a session: the classifier of the digits is trained once."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "gankit-home"
    home.mkdir(exist_ok=True)
    return home


@pytest.fixture(scope="session", autouse=True)
def _own_cache(shared_home: Path) -> Iterator[None]:
    """No test writes into the cache of whoever runs it, and all of them share one set of measured choices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANKIT_HOME", str(shared_home))
        yield


@pytest.fixture(scope="session", autouse=True)
def _warm_server(tmp_path_factory: pytest.TempPathFactory, _own_cache: None) -> Iterator[None]:
    """What `support.gankit` and `support.python()` ask; one for each worker."""
    path = tmp_path_factory.mktemp("warm") / "socket"
    server = warm.start(path)
    warm.write_python(path.with_name("python"), path, Path(sys.executable))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANKIT_WARM_SERVER", str(path))
        yield
    server.kill()
    server.communicate()


@pytest.fixture
def warm_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that gankit starts from this one find torch imported."""
    monkeypatch.setattr(sys, "executable", python())


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `gankit ARGUMENTS` says, on one line, when it refuses; in this process, for a new one imports torch."""

    def run(arguments: str, folder: Path, code: str = "2") -> str:
        monkeypatch.chdir(folder)
        monkeypatch.setattr("sys.argv", ["gankit", *arguments.split()])
        with pytest.raises(SystemExit, match=code):
            main()
        said = capsys.readouterr().err
        assert said.count("error:") == 1
        assert "Traceback" not in said
        return " ".join(said.split())

    return run
