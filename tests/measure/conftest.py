"""Fixtures that keep the tests of feature networks away from this machine's own files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch

PLACES = ("GANKIT_WEIGHTS", "TORCH_HOME", "XDG_CACHE_HOME", "CLEANFID_INCEPTION_DIR", "DNNLIB_CACHE_DIR")


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights: its home and its folder for temporary files are empty."""
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


@pytest.fixture
def no_torch_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.load and torch.jit.load fail the test."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened before it was verified")

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch.jit, "load", refuse)
