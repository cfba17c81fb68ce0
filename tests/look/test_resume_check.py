"""`gankit verify --resume`: a configuration that resumes bit for bit passes, state that is not saved is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import HOOKS, LOSS
from support_runs import RING8

import gankit
from gankit.errors import InputError
from gankit.look.resume_check import verify_resume


def test_verify_resume_of_a_configuration_that_does(tmp_path: Path) -> None:
    run = gankit.train("wgan-gp", steps=2, out=tmp_path / "run", d_steps=3, penalty_every=2, **RING8)
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
    gankit.train("./forgetful.py", steps=2, out="run", **RING8)
    with pytest.raises(InputError, match="a file"):
        verify_resume(Path("run"))
    found = verify_resume(Path("run"), variant="./forgetful.py")
    assert any(difference.name.startswith("generator.") for difference in found.differences)
    assert "does not resume bit for bit" in refusal("verify --resume run ./forgetful.py", tmp_path, code="3")
