"""Seeds for arithmetic: proposed by what a classifier sees, on a generator whose classes are known by construction."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import TINY_VARIANT, gankit

import gankit as api

PLANTED = (
    TINY_VARIANT
    + """
import torch
from torch import nn

class Planted(nn.Module):  # a bright bar at the left, in the middle or at the right: the largest of three numbers of z
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))
    def forward(self, z):
        images = torch.full((len(z), 1, 16, 16), -1.0)
        for image, bar in zip(images, z[:, :3].argmax(1).tolist()):
            image[:, :, 5 * bar : 5 * bar + 5] = 1
        return images * self.gain

@hookimpl
def gankit_generator(data, z_dim):
    return Planted()
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the planted generator on labelled bars, one on the same images without labels, one told the class."""
    base = tmp_path_factory.mktemp("concepts")
    draws, labels = np.random.RandomState(0), np.arange(300) % 3
    images = draws.randint(0, 60, (300, 16, 16)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 5 * label : 5 * label + 5] += 190
    np.savez(base / "bars.npz", images=images, labels=labels)
    np.savez(base / "bare.npz", images=images)
    (base / "planted.py").write_text(PLANTED)
    small = {"steps": 1, "batch": 4, "device": "cpu", "z_dim": 4, "g_lr": 0}
    api.train(base / "planted.py", data=base / "bars.npz", out=base / "run", **small)  # type: ignore[arg-type]
    api.train(base / "planted.py", data=base / "bare.npz", out=base / "unlabelled", **small)  # type: ignore[arg-type]
    api.train("gan", data=base / "bars.npz", conditional=True, out=base / "told", **small)  # type: ignore[arg-type]
    return base


@pytest.mark.slow
def test_seeds_are_of_their_class_and_sums_are_what_they_are_said_to_be(folder: Path) -> None:
    result = gankit("arithmetic", "run", "--variant", "./planted.py", "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    z = api.load(folder / "run", variant=str(folder / "planted.py")).space.z
    assert found["accuracy"] > 0.9
    assert len(found["classes"]) == 3
    names = [row["class"] for row in found["classes"]]
    mean = {}
    for number, row in enumerate(found["classes"]):
        assert z(row["seeds"])[:, :3].argmax(1).tolist() == [number] * 3
        assert 250 < row["samples"] < 420  # of 1,000
        mean[row["class"]] = z(row["seeds"]).mean(0)
        assert row["mean_looks_like"] == names[int(mean[row["class"]][:3].argmax())]
    assert len(found["sums"]) == 3
    for row in found["sums"]:
        a, c = row["plus"]
        total = mean[a] - mean[row["minus"]] + mean[c]
        assert row["looks_like"] == names[int(total[:3].argmax())]
        assert row["probability"] > 0.99


def test_a_proposed_command_is_typed_as_it_is_printed(folder: Path) -> None:
    told = gankit("arithmetic", "run", "--variant", "./planted.py", cwd=folder, COLUMNS="80")
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    commands = [line for line in lines if line.startswith("  gankit arithmetic run --variant ./planted.py --plus ")]
    assert 1 <= len(commands) <= 3
    assert max(len(line) for line in lines if line not in commands) <= 80
    assert "3 sums A - B + C of these means" in told.stdout
    assert "knows classes and nothing else" in told.stderr
    drawn = gankit(*shlex.split(commands[0])[1:], cwd=folder)
    assert drawn.returncode == 0, drawn.stderr
    with Image.open(folder / "arithmetic.png") as picture:
        assert json.loads(picture.text["gankit"])["seed"][2] == 9  # type: ignore[attr-defined]


def test_a_generator_that_has_learnt_nothing_proposes_nothing(folder: Path) -> None:
    grey = PLANTED.replace("torch.tensor(1.0)", "torch.tensor(0.0)")
    (folder / "grey").mkdir()
    (folder / "grey" / "planted.py").write_text(grey)
    small = {"steps": 1, "batch": 4, "device": "cpu", "z_dim": 4, "g_lr": 0}
    api.train(folder / "grey" / "planted.py", data=folder / "bars.npz", out=folder / "grey" / "run", **small)  # type: ignore[arg-type]
    told = gankit("arithmetic", "grey/run", "--variant", "grey/planted.py", "--json", cwd=folder)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["sums"] == []  # grey images are of one class at most


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ("told", "the class is an input of this generator", "gankit sample told --class 0 --seeds 0-63"),
        ("unlabelled --variant ./planted.py", "'bare' has no labels", "gankit sample unlabelled --seeds 0-63"),
        ("run --variant ./planted.py -o x.png", "-o: there is no equation without --plus", "--plus 1,4,7"),
        ("run --variant ./planted.py --minus 1 --class 2", "--minus, --class: there is no equation", "--plus 1,4,7"),
        ("run --variant ./planted.py --plus 1 --against x", "--against is for proposing seeds", "leave out"),
    ],
)
def test_what_cannot_be_proposed_is_refused_with_what_to_type(
    arguments: str, message: str, hint: str, folder: Path, refusal: Callable[..., str]
) -> None:
    said = refusal(f"arithmetic {arguments}", folder)
    assert message in said
    assert hint in said.partition(" — ")[2]
