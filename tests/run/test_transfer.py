"""Resume and its sisters: other circumstances are named, networks are handed to a new run, resume is checked."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import HOOKS, LOSS

import gankit
from gankit.errors import InputError
from gankit.look.resume_check import verify_resume
from gankit.store import checkpoint

SMALL: dict[str, Any] = {"data": "ring8", "device": "cpu", "batch": 16, "precision": "fp32"}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> gankit.RunResult:
    return gankit.train("gan", steps=20, out=tmp_path_factory.mktemp("old") / "run", **SMALL)


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
        settings = {**SMALL, "g_lr": 1e-12, "ema_halflife_images": 0}
        with caplog.at_level(logging.INFO, logger="gankit"):
            new = gankit.train("lsgan", steps=1, out=out, init_from=what, **settings)
        assert torch.allclose(weights(new.generator).sort().values, before.sort().values, atol=1e-6)
        assert (new.step, new.images_seen) == (1, 16)  # its own count
    starts = [record.message for record in caplog.records if record.message.startswith("starts with")]
    assert ["the networks of" in starts[0], "the averaged generator of" in starts[1]] == [True, True]
    header = gankit.load(new.generator).header
    assert str(tmp_path.parent) not in json.dumps(header.config)  # the file for sharing names no place


def test_a_discriminator_of_another_game_starts_anew_and_another_generator_is_refused(
    old: gankit.RunResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="gankit"):
        gankit.train("began", steps=1, out=tmp_path / "a", init_from=old.folder, z_prior="uniform", **SMALL)
    assert any("but for the discriminator, which does not fit" in record.message for record in caplog.records)
    with pytest.raises(InputError, match="do not fit the network"):
        gankit.train("gan", steps=1, out=tmp_path / "b", init_from=old.folder, z_dim=5, **SMALL)
    with pytest.raises(InputError, match="holds no checkpoint"):
        gankit.train("gan", steps=1, out=tmp_path / "c", init_from=tmp_path, **SMALL)


def test_a_resumed_run_does_not_need_the_old_one(old: gankit.RunResult, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(old.generator.read_bytes())
    new = gankit.train("gan", steps=3, out=tmp_path / "new", init_from=copy, **SMALL)
    copy.unlink()
    assert gankit.resume(new.folder, steps=5).step == 5


def test_resume_names_what_is_no_longer_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = gankit.train("gan", steps=3, out=tmp_path / "run", **SMALL)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        with caplog.at_level(logging.INFO, logger="gankit"):
            gankit.resume(result.folder, steps=5)
    finally:
        torch.set_num_threads(threads)
    (line,) = [record.message for record in caplog.records if "not bit for bit" in record.message]
    assert line.endswith(f"threads {threads} is now {threads + 1}")


def test_verify_resume_of_a_configuration_that_does(tmp_path: Path) -> None:
    run = gankit.train("wgan-gp", steps=2, out=tmp_path / "run", d_steps=3, penalty_every=2, **SMALL)
    found = verify_resume(run.folder)
    assert found.compared > 20
    assert found.differences == ()
    assert json.loads((run.folder / "status.json").read_text())["step"] == 2  # the run itself was not touched


FORGETFUL = (
    LOSS.replace(
        'return {"score": -critic(batch.fake)}',
        'self.calls = getattr(self, "calls", 0) + 1\n        return {"score": -critic(batch.fake) * self.calls}',
    )
    + HOOKS
)


def test_verify_resume_finds_state_that_is_not_saved(
    tmp_path: Path, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("forgetful.py").write_text(FORGETFUL)
    gankit.train("./forgetful.py", steps=2, out="run", **SMALL)
    with pytest.raises(InputError, match="a file"):
        verify_resume(Path("run"))
    found = verify_resume(Path("run"), variant="./forgetful.py")
    assert any(difference.name.startswith("generator.") for difference in found.differences)
    assert "does not resume bit for bit" in refusal("verify --resume run ./forgetful.py", tmp_path, code="3")


def test_a_checkpoint_of_another_run_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    own, other = (gankit.train("gan", steps=steps, out=tmp_path / str(steps), **SMALL) for steps in (2, 3))
    newest = other.folder / "checkpoints" / "step-000000003"
    shutil.copytree(newest, own.folder / "checkpoints" / newest.name)
    with pytest.raises(
        InputError, match="does not hold the state of this run: ValueError: it was written by another run"
    ):
        gankit.resume(own.folder, steps=5)
