"""A few hundred inputs of the fuzz campaign, and openers that break its rules, which it must notice.

By hand: `PYTHONPATH=tests python -m reliability.fuzz --inputs 20000`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import pickle
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from gankit.errors import InputError
from reliability import fuzz
from reliability.mutate import json_values
from reliability.targets import Target

PATHS = f"{ROOT / 'tests'}:{ROOT}"


def test_damaged_files_of_every_kind_load_or_are_refused(tmp_path: Path) -> None:
    """In a process of its own, because it forks."""
    environment = {**os.environ, "PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "reliability.fuzz", "--inputs", "600", "--folder", tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["broken"] == []
    assert figures["inputs"] == figures["loaded"] + figures["refused"] >= 600
    assert min(figures["loaded"], figures["refused"]) > 50
    assert list(tmp_path.iterdir()) == []


def refuses(folder: Path) -> None:
    raise InputError("damaged", hint="copy it again")


def says_too_much(folder: Path) -> None:
    raise InputError("two\nlines", hint="copy it again")


def has_a_bug(folder: Path) -> None:
    raise KeyError("lr")


def unpickles(folder: Path) -> None:
    pickle.loads(b"cos\ngetpid\n.")


def writes_elsewhere(folder: Path) -> None:
    (folder.parent.parent / "elsewhere").write_text("x")


def takes_too_much_memory(folder: Path) -> None:
    bytearray(fuzz.LIMIT_BYTES + 1).hex()


def crashes(folder: Path) -> None:
    faulthandler.disable()
    ctypes.string_at(0)


def hangs(folder: Path) -> None:
    time.sleep(60)


SABOTAGE = [
    (says_too_much, "exit code 2: 'two"),
    (has_a_bug, "KeyError: 'lr'"),
    (unpickles, "forbidden: pickle.find_class"),
    (writes_elsewhere, "forbidden: open"),
    (takes_too_much_memory, "MemoryError"),
    (crashes, "the process died (-11)"),
    (hangs, "TooLong"),
]


def tried(opener: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> fuzz.Tally:
    if opener is hangs:  # the others shall not be in a hurry on a busy machine
        monkeypatch.setattr(fuzz, "LIMIT_S", 1)
    (folder / "work").mkdir()
    target = Target("t", "x.json", b'{"a": [1, 2]}', opener, json_values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside the threads of pytest-xdist
        return fuzz.fuzz(target, range(3), 0, folder / "work", folder / "kept")


@pytest.mark.parametrize(("opener", "noticed"), SABOTAGE)
def test_the_campaign_notices_sabotage(
    opener: Any, noticed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = tried(opener, tmp_path, monkeypatch)
    assert [noticed in line for line in tally.broken] == [True] * 3
    assert [path.name for path in sorted((tmp_path / "kept").iterdir())] == ["t 0", "t 1", "t 2"]


def test_a_refusal_is_no_break_of_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tally = tried(refuses, tmp_path, monkeypatch)
    assert (tally.broken, tally.loaded, dict(tally.refused)) == ([], 0, {2: 3})


def test_the_same_number_is_the_same_input_and_another_is_another() -> None:
    target = Target("t", "x.json", json.dumps({"a": list(range(50))}).encode(), refuses, json_values)
    first, again, other = (fuzz.damaged(target, number, seed=0) for number in (1, 1, 2))
    assert first == again != other
