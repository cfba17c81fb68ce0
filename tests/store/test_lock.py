"""One run belongs to one process: the second one is refused, and the lock of a dead one is free at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import GANKIT, gankit

import gankit as library
from gankit.errors import ResourceError
from gankit.store.run_folder import RunFolder

SETTINGS = ["--data", "ring8", "--batch", "16", "--device", "cpu", "--checkpoint-every", "64", "--out", "a"]


def wait_for_a_save(run: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 300  # so that nothing hangs for ever
    while not list(run.glob("checkpoints/step-*")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)


def still(run: Path) -> dict[str, tuple[bytes, int]]:
    """What a second process must not touch: content and time of the files that say what the run is."""
    names = ("run.json", "config.json", "command.txt", "environment.json", "LOCK")
    return {name: ((run / name).read_bytes(), (run / name).stat().st_mtime_ns) for name in names}


def test_the_second_process_is_refused_and_the_lock_dies_with_the_first(tmp_path: Path) -> None:
    run = tmp_path / "a"
    command = [GANKIT, "train", *SETTINGS, "--images", "100M"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    ) as first:
        try:
            wait_for_a_save(run, first)
            before = still(run)
            second = gankit("train", *SETTINGS, "--images", "100M", cwd=tmp_path)
            third = gankit("resume", "a", "--steps", "9", cwd=tmp_path)
            assert still(run) == before
        finally:
            os.killpg(first.pid, signal.SIGKILL)
    for refused in (second, third):
        assert refused.returncode == 4
        assert f"a is in use by process {first.pid} on " in refused.stderr
        assert refused.stderr.count("error:") == 1
        assert "Traceback" not in refused.stderr
    steps = max(int(path.name.removeprefix("step-")) for path in run.glob("checkpoints/step-*"))
    assert library.resume(run, steps=steps + 2).step == steps + 2
    assert f"process {os.getpid()} on " in (run / "LOCK").read_text()


@pytest.mark.parametrize("text", ["", "\x1b[2J\n" * 500])
def test_a_lock_file_that_says_nonsense_is_no_more_than_that(tmp_path: Path, text: str) -> None:
    (tmp_path / "LOCK").write_text(text)
    with RunFolder(tmp_path).locked():
        (tmp_path / "LOCK").write_text(text)
        with pytest.raises(ResourceError, match="is in use by ") as caught, RunFolder(tmp_path).locked():
            pass
    assert caught.value.message.isprintable()
    with RunFolder(tmp_path).locked():  # free again
        pass
