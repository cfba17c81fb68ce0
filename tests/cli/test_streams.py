"""Terminals that hang up, pipes that close, disks that fill and encodings without arrows: they cost text, no result."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shlex
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import GANKIT, gankit, python

TRAIN = ("train", "--variant", "gan", "--data", "ring8", "--batch", "64", "--images")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of a few steps, named `run`."""
    folder = tmp_path_factory.mktemp("streams")
    assert gankit(*TRAIN, "2k", "-o", "run", cwd=folder).returncode == 0
    return folder


def shell(command: str, folder: Path, *interpreter: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash; its exit code is that of the first command of the pipe."""
    line = f'gankit() {{ {shlex.join([*interpreter, str(GANKIT)])} "$@"; }}; {command}; exit ${{PIPESTATUS[0]}}'
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=variables, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_closed_terminal_saves_the_run_which_goes_on_later(tmp_path: Path) -> None:
    master, slave = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    command = [str(GANKIT), *TRAIN, "100M", "-o", "run"]
    run = subprocess.Popen(
        command, cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, pass_fds=[slave], preexec_fn=own_terminal
    )
    os.close(slave)
    said = b""
    while b"64,000" not in said and b"/s" not in said:
        said += os.read(master, 4096)
    os.close(master)
    assert run.wait(timeout=60) == 129
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("stopped", 129)
    seen = status["images_seen"]
    on = gankit("resume", "run", "--images", seen + 128, "--json", cwd=tmp_path)
    assert json.loads(on.stdout)["images_seen"] == seen + 128


@pytest.fixture
def gone() -> Iterator[int]:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def full() -> Iterator[int]:
    """A file on a disk that is full."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("reader", ["gone", "full"])
def test_a_run_whose_talk_nobody_reads_ends_as_any_other(
    reader: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    descriptor = request.getfixturevalue(reader)
    assert gankit(*TRAIN, "2k", "-o", "run", cwd=tmp_path, stderr=descriptor).returncode == 0
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "finished"
    assert "Traceback" not in (tmp_path / "run" / "log.txt").read_text()


def test_a_run_without_any_stream_ends_as_any_other(tmp_path: Path) -> None:
    assert shell(f"gankit {' '.join(TRAIN)} 2k -o run >&- 2>&-", tmp_path).returncode == 0
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("command", [("eval", "run", "--metrics", "fid", "-n", "200"), ("modes", "run")])
def test_a_score_that_cannot_be_shown_is_stored(command: tuple[str, ...], trained: Path, gone: int, full: int) -> None:
    lines: Callable[[], int] = lambda: len((trained / "run" / "metrics.jsonl").read_bytes().splitlines())  # noqa: E731
    gankit(*command, cwd=trained)
    before = lines()
    lost = gankit(*command, cwd=trained, stdout=full)
    assert (lost.returncode, lines()) == (4, before + 1)
    assert "error: stdout cannot be written: No space left on device" in lost.stderr
    assert "Traceback" not in lost.stderr
    unread = gankit(*command, "--json", cwd=trained, stdout=gone)
    assert (unread.returncode, lines()) == (0, before + 2)
    assert "Error" not in unread.stderr


@pytest.mark.parametrize("command", [("variants",), ("train", "--help"), ("recipes", "--json")])
def test_text_that_nobody_reads_is_no_error(command: tuple[str, ...], tmp_path: Path, gone: int) -> None:
    result = gankit(*command, cwd=tmp_path, stdout=gone)
    assert (result.returncode, result.stderr) == (0, "")


def test_what_an_encoding_cannot_show_is_replaced_and_json_stays_json(trained: Path) -> None:
    ascii_only = shell("gankit modes run", trained, python(), PYTHONIOENCODING="ascii")
    assert ascii_only.returncode == 0
    assert "?" in ascii_only.stdout  # for the arrows
    folder = trained / "run-caf\u00e9"
    os.rename(trained / "run", folder)
    result = shell("gankit modes run-caf\u00e9 --json", trained, python(), PYTHONIOENCODING="ascii")
    os.rename(folder, trained / "run")
    assert json.loads(result.stdout)["what"]["file"].startswith("run-caf\u00e9/"), result.stderr
