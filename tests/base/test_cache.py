"""The cache of files that took time to make: made once, under a lock."""

from __future__ import annotations

from pathlib import Path

import filelock
import pytest

from gankit.base.cache import cached_file, home
from gankit.errors import ResourceError


def test_two_evaluations_at_once_train_one_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first: the file of a cache is made under a lock."""
    monkeypatch.setenv("GANKIT_HOME", str(tmp_path / "cache"))
    (home() / "scores").mkdir(parents=True)
    with filelock.FileLock(home() / "scores" / ".x.lock"):
        taken = filelock.FileLock(home() / "scores" / ".x.lock", timeout=0)
        with pytest.raises(filelock.Timeout):
            taken.acquire()
    made = []
    for _ in range(2):
        assert cached_file("scores/x", make=lambda: made.append(1) or b"1", read=lambda path: path.read_bytes()) == b"1"
    assert made == [1]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANKIT_HOME", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match="cannot use the cache"):
        cached_file("scores/x", make=lambda: b"1", read=lambda path: path.read_bytes())
