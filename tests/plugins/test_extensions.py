"""Extensions together: their options, what they refuse, and exact resume with many of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support_runs import assert_same_state

import gankit
from gankit.errors import InputError
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer

TINY: dict[str, Any] = {"data": "digits", "size": "8x8", "device": "cpu", "batch": 8, "z_dim": 8, "precision": "fp32"}


def test_options_of_extensions_come_from_flags_tables_and_the_run(tmp_path: Path) -> None:
    def plan(**settings: object):
        return plan_run([Layer("flag", {"variant": "gan", "extensions": ["r1", "top-k"], **settings})])

    nested = plan(options={"r1": {"gamma": 3.0}, "top_k": {"least": "0.7"}, "label_smoothing": "0.1"})
    assert nested.extension_options["r1"] == {
        "gamma": 3.0,
        "at": "real",
        "estimate": "autograd",
        "sigma": 0.01,
        "share": 1.0,
    }
    assert nested.extension_options["top-k"] == {"least": 0.7, "decay": 0.99, "until": 0.5, "images": None}
    assert nested.options["label_smoothing"] == 0.1
    assert nested.resolved.sources["options.top-k.least"] == "flag"
    assert nested.settings_table()["options.top-k.decay"] == {"value": 0.99, "source": "extension"}
    with pytest.raises(InputError, match=r"option 'ada\.p': no extension 'ada' is part of this run"):
        plan(options={"ada": {"p": 1}})
    with pytest.raises(InputError, match="extension 'r1'"):
        plan(options={"r1": {"gama": 1}})
    with pytest.raises(InputError, match="gamma"):
        plan(options={"r1": {"gamma": -1}})
    with pytest.raises(InputError, match="extension 'spectral-norm' has no options"):
        plan(extensions=["spectral-norm"], options={"spectral-norm": {"n": 1}})
    assert plan(penalty_every=4).config.penalty_every == 4  # r1 brings the penalty that gan has not


def test_everything_at_once_is_resumed_exactly(tmp_path: Path) -> None:
    names = [
        "diffaugment",
        "ada",
        "instance-noise",
        "r1",
        "top-k",
        "ema-sweep",
        "centre",
        "lecam",
        "balance",
        "power-ema",
    ]
    options = {
        "ada": {"images": 100, "target": 0.1},
        "instance-noise": {"sigma": "linear(0.1, 0, 60)"},
        "top-k": {"images": 24, "decay": 0.8},
        "r1": {"at": "both", "estimate": "finite", "share": 0.5},
    }
    settings = {**TINY, "extensions": names, "options": options, "penalty_every": 2}
    straight = gankit.train("gan", out=tmp_path / "a", steps=9, **settings)
    gankit.train("gan", out=tmp_path / "b", steps=4, **settings)
    resumed = gankit.resume(tmp_path / "b", steps=9)
    assert_same_state(straight.folder, resumed.folder)
    assert straight.generator.read_bytes() == resumed.generator.read_bytes()
    for halflife in (1000, 100_000):
        one, other = (run.folder / f"ema-{halflife}.safetensors" for run in (straight, resumed))
        assert one.read_bytes() == other.read_bytes()
        assert gankit.load(one).sample(2).shape == (2, 8, 8, 1)
    for std in (0.05, 0.1):
        one, other = (run.folder / f"averages/0008-{std}.safetensors" for run in (straight, resumed))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", ["diffaugment", "ada"])
def test_augmentations_of_images_refuse_points_and_reconstructions(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the data are points"):
        gankit.train("gan", data="ring8", extensions=[name], steps=1, device="cpu", out=tmp_path / "a")
    with pytest.raises(InputError, match="to reconstruct the ones it was given"):
        gankit.train("began", extensions=[name], steps=1, out=tmp_path / "b", **TINY)
    assert not any(tmp_path.iterdir())


def test_what_orders_or_penalises_scores_refuses_a_reconstruction(tmp_path: Path) -> None:
    for name in ("r1", "top-k", "centre", "lecam", "balance"):
        with pytest.raises(InputError, match="this discriminator gives none"):
            gankit.train("began", extensions=[name], steps=1, out=tmp_path / name, **TINY)
