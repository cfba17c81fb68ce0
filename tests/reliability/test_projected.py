"""Projected GAN in whole runs: the conformance kit, exact resume, and scores in the space that its critic knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import gankit
from support_runs import StopAt, assert_same_state, state_of

import gankit as api
from gankit.errors import Stopped
from gankit.measure.features import lite0
from gankit.measure.record import FILE, read_lines
from gankit.sample.generator import load
from gankit.testing import CHECKS, parametrize_checks

needs_lite0 = pytest.mark.skipif(not lite0.available(), reason="gankit[lite0] is not installed")
SETTINGS: dict[str, Any] = {"batch": 4, "z_dim": 8, "device": "cpu", "options": {"side": 64, "width": 8}}


@needs_lite0
@parametrize_checks("projected", checks=[check for check in CHECKS if check.name != "two_processes"])
def test_conformance(check: Callable[[], None]) -> None:
    check()


def image_set(path: Path, n: int = 200, channels: int = 3, *, labels: bool = True) -> Path:
    """A data set of noise at 16x16 whose two classes differ in brightness."""
    random = np.random.RandomState(0)
    label = np.arange(n) % 2
    images = random.randint(0, 128, (n, 16, 16, channels)) + 120 * label[:, None, None, None]
    np.savez(path, images=images.astype(np.uint8), **({"labels": label} if labels else {}))
    return path


@needs_lite0
def test_a_stopped_run_is_continued_bit_for_bit(place: Path) -> None:
    image_set(place / "some.npz")
    settings = {**SETTINGS, "data": "some.npz", "extensions": ["diffaugment"], "steps": 5, "conditional": True}
    straight = api.train("projected", out="a", **settings)
    with pytest.raises(Stopped):
        api.train("projected", out="b", on_step=StopAt(2), **settings)
    api.resume("b")
    assert_same_state(straight.folder, place / "b")
    assert sum(t.numel() for t in state_of(place / "a").values() if isinstance(t, torch.Tensor)) < 10_000_000


@needs_lite0
def test_scores_in_the_critics_own_space_are_marked_and_never_compared(place: Path) -> None:
    image_set(place / "some.npz")
    common = ("--data", "some.npz", "--batch", 4, "--steps", 2, "--device", "cpu", "--z-dim", 8)
    small = ("-s", "side=64", "-s", "width=8")
    assert gankit("train", "--variant", "projected", *small, *common, "--out", "own", cwd=place).returncode == 0
    assert gankit("train", "--variant", "hinge", *common, "--out", "other", cwd=place).returncode == 0
    assert load(place / "own").header.critic_spaces == ("lite0",)
    assert load(place / "other").header.critic_spaces == ()

    evaluate = ("-n", 60, "--metrics", "fid,duplicates", "--device", "cpu")
    table = gankit("eval", "own", "--features", "lite0@32", *evaluate, cwd=place)
    assert table.returncode == 0, table.stderr
    assert "FID ↓ *" in table.stdout
    assert "the critic of these samples was built on this space" in " ".join(table.stdout.split())
    assert "built on 'lite0@32'" in table.stderr
    record = json.loads(gankit("eval", "own", "--features", "lite0@32", *evaluate, "--json", cwd=place).stdout)
    assert record["protocol"]["critic_space"] is True

    unmarked = gankit("eval", "other", "--features", "lite0@32", *evaluate, cwd=place)
    assert unmarked.returncode == 0
    assert "critic" not in unmarked.stdout + unmarked.stderr

    refused = gankit("compare", "own", "other", cwd=place)
    assert refused.returncode == 2
    assert "own has scores in 'lite0@32' alone, on which its critic was built" in " ".join(refused.stderr.split())
    # By default it is scored in another space, where both can be compared.
    elsewhere = gankit("eval", "own", *evaluate, cwd=place)
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert "*" not in elsewhere.stdout
    (features,) = {line.protocol.features for line in read_lines(place / "own" / FILE)} - {"lite0@32"}
    assert gankit("eval", "other", "--features", features, *evaluate, cwd=place).returncode == 0
    assert gankit("compare", "own", "other", cwd=place).returncode == 0


@needs_lite0
def test_scores_during_training_avoid_the_critics_space_or_are_marked(
    place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gankit.measure.features.inception.find_weights", lambda: None)
    image_set(place / "some.npz", 120, labels=False)
    scored = {**SETTINGS, "data": "some.npz", "steps": 1, "eval_every": 4, "eval_n": 50}
    api.train("projected", out="default", **scored)
    api.train("projected", out="asked", eval_features="lite0@32", **scored)
    protocols = [read_lines(place / name / FILE)[-1].protocol for name in ("default", "asked")]
    assert [(p.features, p.critic_space) for p in protocols] == [("statistics", False), ("lite0@32", True)]
    assert "the critic of these samples was built on 'lite0@32'" in caplog.text


@needs_lite0
def test_what_a_recipe_expects_in_the_critics_space_is_marked(place: Path) -> None:
    image_set(place / "some.npz", 120)
    (place / "own.toml").write_text(
        """title = "own"
[settings]
variant = "projected"
steps = 1
batch = 4
z_dim = 8
options = { side = 64, width = 8 }
[data]
shape = [3, 16, 16]
[expect]
command = "eval"
features = "lite0@32"
metrics = ["fid"]
n = 60
"""
    )
    again = ("reproduce", "./own.toml", "--data", "some.npz", "--device", "cpu", "--out", "own")
    done = gankit(*again, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "FID *" in done.stdout
    assert json.loads(gankit(*again, "--json", cwd=place).stdout)["critic_space"] is True
