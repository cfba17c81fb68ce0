"""The extension waves: sines that do not depend on the precision, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support_plugins import loop_with

import gankit
from gankit.contracts import Batch
from gankit.errors import InputError


def test_the_sines_are_those_of_float32_under_bf16() -> None:
    """At 4 and 16 radians per unit bf16 would round the phase to a quarter of a radian."""
    waves = loop_with("waves", shape=(2,)).networks.discriminator.waves
    x = 4 * torch.randn(100, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = waves(x)
    assert seen.shape == (100, 66)
    assert torch.equal(seen, waves(x))
    assert 0.9 < float(seen[:, 2:].square().mean()) < 1.1
    speeds = waves.frequencies.norm(dim=1)
    assert (float(speeds[0]), float(speeds[-1])) == (pytest.approx(0.3), pytest.approx(16.0))


def test_a_penalty_works_behind_the_sines() -> None:
    loop = loop_with("waves", "r1", shape=(2,), options={"waves": {"count": 8}, "r1": {"at": "between"}})
    assert float(loop.step(Batch(torch.randn(4, 2)))["d/r1-extension"]) > 0


def test_images_and_reconstructions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="waves is for points"):
        gankit.train("gan", extensions=["waves"], size=8, steps=1, device="cpu", out=tmp_path / "a")
    with pytest.raises(InputError, match="reads a reconstruction"):
        gankit.train("began", data="ring8", extensions=["waves"], steps=1, device="cpu", out=tmp_path / "b")
