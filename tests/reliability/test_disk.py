"""Real disks that refuse: full, read-only, files of limited size. Every operation of a save: tests/reliability/test_faults.py."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from gankit.errors import ResourceError
from gankit.run.run import Run
from gankit.store import checkpoint
from reliability.crash import final_state
from reliability.faults import RUN, record, train

PATHS = f"{ROOT / 'tests'}:{ROOT}"
UNSHARE = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]

# A file system of 4.5 MiB, on which the fourth checkpoint finds no room; then a large one; then one that is read-only.
ON_A_SMALL_DISK = """
import json, subprocess, sys
from pathlib import Path
from support import ROOT, gankit
disk = Path(sys.argv[1])
def mount(options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
def told(*arguments):
    done = gankit(*arguments, cwd=disk)
    status = json.loads((disk / "a/status.json").read_text()) if (disk / "a/status.json").exists() else None
    return {"code": done.returncode, "said": done.stderr.splitlines(), "status": status,
            "saved": sorted(path.name for path in disk.glob("a/checkpoints/*"))}
settings = ["--variant", "gan", "--data", "ring8", "--batch", "16", "--checkpoint-every", "64", "--device", "cpu", "--out", "a"]
mount("size=4608k")
full = told("train", *settings, "--steps", "40")
mount("remount,size=64m")
after = told("train", *settings, "--steps", "40")
mount("remount,ro")
locked = told("resume", "a", "--steps", "44")
print(json.dumps([full, after, locked]))
"""


def can_mount(folder: Path) -> bool:
    """Whether this user may have a small file system of its own."""
    if shutil.which("unshare") is None:
        return False
    command = [*UNSHARE, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_disk_that_is_full_or_read_only_is_one_line_and_exit_code_4(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("this user may not mount a file system")
    command = [*UNSHARE, sys.executable, "-c", ON_A_SMALL_DISK, tmp_path]
    environment = {**os.environ, "PYTHONPATH": PATHS}
    del environment["GANKIT_WARM_SERVER"]  # its children would not see the file system that is mounted
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    full, after, locked = json.loads(done.stdout)

    assert full["code"] == 4
    errors = [line for line in full["said"] if "error" in line or "Traceback" in line]
    assert len(errors) == 1
    assert "cannot write a/checkpoints/step-000000016: No space left on device" in errors[0]
    assert full["saved"] == ["step-000000004", "step-000000008", "step-000000012"]
    assert (full["status"]["state"], full["status"]["exit_code"]) == ("failed", 4)

    assert after["code"] == 0
    assert any("resumed at 192 images" in line for line in after["said"])
    assert after["saved"] == ["step-000000032", "step-000000036", "step-000000040"]

    assert locked["code"] == 4
    errors = [line for line in locked["said"] if "error" in line or "Traceback" in line]
    assert len(errors) == 1
    assert "Read-only file system" in errors[0]
    assert locked["saved"] == after["saved"]


def test_a_limit_on_the_size_of_files_is_one_line_and_the_run_goes_on_without_it(tmp_path: Path) -> None:
    """RLIMIT_FSIZE needs no rights: a real write that stops in the middle."""
    life = record(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(run: Run) -> None:
        if run.step == 13:
            resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))

    try:
        with pytest.raises(ResourceError, match=r"cannot write .*: File too large"):
            train(tmp_path, life.base / RUN, limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [step for step, _ in checkpoint.steps(life.base / RUN / "checkpoints")] == [12, 8, 4]
    train(tmp_path, life.base / RUN)
    assert final_state(life.base / RUN) == life.expected
