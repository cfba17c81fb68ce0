"""Short training runs, what they leave behind, and a signal that stops one at a chosen step."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gankit
from gankit.run.run import Run
from gankit.store import checkpoint

SMALL: dict[str, Any] = {"batch": 8, "z_dim": 8, "device": "cpu"}
RING8: dict[str, Any] = {"data": "ring8", "device": "cpu", "batch": 16, "precision": "fp32"}


def train(variant: str = "lsgan", **settings: Any) -> gankit.RunResult:
    """A run on ./tiny.npz, which the fixture `tiny_data` makes."""
    return gankit.train(variant, data="tiny.npz", **{**SMALL, **settings})


def state_of(folder: Path) -> dict[str, Any]:
    """The state in the newest checkpoint of a run."""
    found = checkpoint.read_latest(folder / "checkpoints")
    assert found is not None
    return dict(found.state)


def assert_same_state(a: Path, b: Path) -> None:
    first, second = state_of(a), state_of(b)
    assert first.keys() == second.keys()
    for name, value in first.items():
        same = torch.equal(value, second[name]) if isinstance(value, Tensor) else value == second[name]
        assert same, name


def stats_of(folder: Path) -> list[dict[str, Any]]:
    """Lines of stats.jsonl without their clock."""
    lines = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("wall_s", "images_per_s")} for line in lines]


class StopAt:
    """An `on_step` that sends a signal to this process after a step, as Ctrl-C or a scheduler would."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        self.step, self.number = step, number

    def __call__(self, run: Run) -> None:
        if run.step == self.step:
            os.kill(os.getpid(), self.number)
