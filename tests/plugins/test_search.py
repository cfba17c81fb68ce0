"""The hyper-parameter ranges of "Are GANs Created Equal?" stand on the settings and options, for a study to read."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gankit import core
from gankit.host import discovery
from gankit.look.describe import describe
from gankit.settings.config import TrainConfig
from gankit.settings.option import Choice, LogUniform, SameAs, Search, Uniform, facts_of

# Wide and narrow; the first of the two betas; the learning rate is shared by both players.
TRAINING: dict[str, tuple[Search, Search]] = {
    "betas": (Uniform(0, 1), Choice((0.5,))),
    "g_lr": (LogUniform(1e-5, 1e-2), LogUniform(1e-4, 1e-3)),
    "d_lr": (SameAs("g_lr"), SameAs("g_lr")),
    "d_steps": (Choice((1, 5)), Choice((1,))),
}
OPTIONS: dict[tuple[str, str], tuple[Search, Search]] = {
    ("wgan", "clip"): (LogUniform(1e-3, 1), LogUniform(1e-2, 1)),
    ("wgan-gp", "penalty"): (LogUniform(0.1, 100), LogUniform(0.1, 10)),
    ("dragan", "penalty"): (LogUniform(0.1, 100), LogUniform(0.1, 10)),
    ("began", "lambda_k"): (LogUniform(1e-4, 1e-2), Choice((1e-3,))),
    ("began", "gamma"): (Uniform(0, 1), Uniform(0.6, 0.9)),
}


def searches(cls: type) -> dict[str, dict[str, Search]]:
    return {f.name: dict(facts_of(f).search) for f in dataclasses.fields(cls) if facts_of(f).search}


def test_the_ranges_of_the_training_settings() -> None:
    assert searches(TrainConfig) == {k: {"wide": wide, "narrow": narrow} for k, (wide, narrow) in TRAINING.items()}


@pytest.mark.parametrize("name", ["gan", "wgan", "wgan-gp", "lsgan", "dragan", "began"])
def test_the_ranges_of_the_options(name: str) -> None:
    info = core.compose(discovery.find(name, discovery.VARIANTS)).info
    expected = {k: {"wide": w, "narrow": n} for (variant, k), (w, n) in OPTIONS.items() if variant == name}
    assert searches(info.options) == expected


def test_they_are_machine_readable() -> None:
    facts = json.loads(json.dumps(describe("wgan")))
    clip = next(row for row in facts["options"] if row["name"] == "clip")
    assert clip["search"]["wide"] == {"kind": "LogUniform", "low": 0.001, "high": 1}
    assert facts["search"]["d_lr"]["wide"] == {"kind": "SameAs", "setting": "g_lr"}
