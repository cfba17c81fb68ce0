"""A new run that starts with the networks of an old one (`init_from`)."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from support_runs import RING8

import gankit
from gankit.errors import InputError
from gankit.store import checkpoint


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> gankit.RunResult:
    return gankit.train("gan", steps=20, out=tmp_path_factory.mktemp("old") / "run", **RING8)


def weights(file: Path) -> torch.Tensor:
    module = gankit.load(file).module
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_a_new_run_starts_with_the_networks_of_an_old_one(
    old: gankit.RunResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = checkpoint.read_latest(old.folder / "checkpoints")
    assert found is not None
    raw = [
        v.flatten()
        for name, v in found.state.items()
        if name.startswith("loop.generator.") and isinstance(v, torch.Tensor)
    ]
    for what, before in ((old.folder, torch.cat(raw)), (old.generator, weights(old.generator))):
        out = tmp_path / what.name
        settings = {**RING8, "g_lr": 1e-12, "ema_halflife_images": 0}
        with caplog.at_level(logging.INFO, logger="gankit"):
            new = gankit.train("lsgan", steps=1, out=out, init_from=what, **settings)
        assert torch.allclose(weights(new.generator).sort().values, before.sort().values, atol=1e-6)
        assert (new.step, new.images_seen) == (1, 16)  # its own count
    starts = [record.message for record in caplog.records if record.message.startswith("starts with")]
    assert ["the networks of" in starts[0], "the averaged generator of" in starts[1]] == [True, True]
    header = gankit.load(new.generator).header
    assert str(tmp_path.parent) not in json.dumps(header.config)  # the file for sharing names no place


def test_the_old_run_is_only_read_even_where_a_checkpoint_is_damaged(old: gankit.RunResult, tmp_path: Path) -> None:
    shutil.copytree(old.folder, tmp_path / "old")
    newest = max((tmp_path / "old" / "checkpoints").iterdir())
    shutil.copytree(newest, newest.with_name("step-000000999"))
    (newest.with_name("step-000000999") / checkpoint.STATE).write_bytes(b"cut")
    before = sorted((tmp_path / "old").rglob("*"))
    gankit.train("gan", steps=1, out=tmp_path / "new", init_from=tmp_path / "old", **RING8)
    assert sorted((tmp_path / "old").rglob("*")) == before


def test_a_discriminator_of_another_game_starts_anew_and_another_generator_is_refused(
    old: gankit.RunResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="gankit"):
        gankit.train("began", steps=1, out=tmp_path / "a", init_from=old.folder, z_prior="uniform", **RING8)
    assert any("but for the discriminator, which does not fit" in record.message for record in caplog.records)
    with pytest.raises(InputError, match="made for z of length 64, this run has 5") as caught:
        gankit.train("gan", steps=1, out=tmp_path / "b", init_from=old.folder, z_dim=5, **RING8)
    assert caught.value.hint == "--z-dim 64"
    assert not (tmp_path / "b").exists()  # the corrected command is not refused
    gankit.train("gan", steps=1, out=tmp_path / "b", init_from=old.folder, **RING8)
    with pytest.raises(InputError, match="made for samples of shape 2, this run has 1x28x28"):
        gankit.train("gan", steps=1, out=tmp_path / "c", init_from=old.generator, data="digits", batch=8)
    with pytest.raises(InputError, match="made for a condition of length 0, this run has 8"):
        gankit.train("gan", steps=1, out=tmp_path / "c", init_from=old.folder, conditional=True, **RING8)
    with pytest.raises(InputError, match="holds no checkpoint"):
        gankit.train("gan", steps=1, out=tmp_path / "c", init_from=tmp_path, **RING8)


def test_a_refusal_never_deletes_what_was_trained(old: gankit.RunResult, tmp_path: Path) -> None:
    """A copy without status.json looks new; other data are refused, and the checkpoints stay."""
    copy = tmp_path / "copy"
    shutil.copytree(old.folder, copy)
    (copy / "status.json").unlink()
    with pytest.raises(InputError, match="was trained on other data"):
        gankit.resume(copy, data="grid25", steps=30)
    assert checkpoint.read_latest(copy / "checkpoints") is not None


def test_a_resumed_run_does_not_need_the_old_one(old: gankit.RunResult, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(old.generator.read_bytes())
    new = gankit.train("gan", steps=3, out=tmp_path / "new", init_from=copy, **RING8)
    copy.unlink()
    assert gankit.resume(new.folder, steps=5).step == 5
