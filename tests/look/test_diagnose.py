"""`gankit diagnose`: a collapsed run is named, a sound one is not, and a program can read it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import HOOKS, LOSS
from support_runs import RING8

import gankit
from gankit.look.diagnose import diagnose

CONSTANT = (
    LOSS
    + HOOKS
    + """
import torch
from torch import nn

class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.point = nn.Parameter(torch.zeros(1, 2))
    def forward(self, z):
        return self.point + 0 * z[:, :2]

@hookimpl
def gankit_generator(data, z_dim):
    return Constant()
"""
)


def test_a_collapsed_run_is_warned_about_once_and_diagnosed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("constant.py").write_text(CONSTANT)
    with caplog.at_level(logging.WARNING, logger="gankit"):
        gankit.train("./constant.py", images=36_000, out="run", **{**RING8, "batch": 100})
    warned = [record.message.partition(":")[0] for record in caplog.records]
    assert warned == ["collapse", "unstable"]  # nothing holds the scores of this D, which never meets an answer
    found = diagnose(Path("run"))
    assert (found.state, found.images_seen) == ("finished", 36_000)
    assert [finding.kind for finding in found.findings] == ["collapse", "unstable"]
    assert found.figures["diversity"][1] == pytest.approx(0.0, abs=1e-6)


def test_a_run_that_learns_is_not_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="gankit"):
        result = gankit.train("gan", images=60_000, out=tmp_path / "run", z_dim=2, **{**RING8, "batch": 64})
    assert caplog.records == []
    found = diagnose(result.folder)
    assert (found.findings, found.verdict) == ([], "nothing conspicuous")
    assert found.figures["diversity"][1] > 0.7


def test_the_command_tells_a_person_and_a_program(
    tmp_path: Path, refusal: Callable[..., str], capsys: Any, monkeypatch: Any
) -> None:
    gankit.train("gan", steps=4, out=tmp_path / "run", **RING8)
    from gankit.cli import app

    monkeypatch.setattr("sys.argv", ["gankit", "diagnose", str(tmp_path / "run")])
    app(standalone_mode=False)
    said = capsys.readouterr().out
    assert "finished at 64 images, 1 lines" in said
    assert "too early to tell: a generator is judged after 20,000 images" in said
    monkeypatch.setattr("sys.argv", ["gankit", "diagnose", str(tmp_path / "run"), "--json"])
    app(standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["findings"] == []
    assert "not the folder of a run" in refusal("diagnose nothing", tmp_path)
