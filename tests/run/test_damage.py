"""Damaged files of a run: each costs only what it held, or is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support_runs import RING8, train

import gankit
from gankit.base import files
from gankit.errors import InputError

pytestmark = pytest.mark.usefixtures("tiny_data")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"state": 3}'])
@pytest.mark.parametrize("name", ["status.json", "config.json", "run.json"])
def test_damage_in_an_old_run_does_not_stop_a_new_one(name: str, text: str) -> None:
    old = train(steps=2)
    (old.folder / name).write_text(text)
    assert train(steps=2, seed=1).step == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "{}"),
        ("run.json", "nonsense"),
        ("config.json", "{}"),
        ("config.json", '{"config": 3, "options": {}}'),
        ("config.json", '{"config": {}, "options": 3}'),
        ("config.json", '{"config": {"colour": 1}, "options": {}}'),
        ("config.json", '{"config": {"variant": null}, "options": {}}'),
    ],
)
def test_a_damaged_run_is_named_in_one_line(name: str, text: str) -> None:
    train(steps=2, out="a")
    Path("a", name).write_text(text)
    with pytest.raises(InputError) as caught:
        gankit.resume("a", steps=4)
    assert "\n" not in caught.value.message


def test_lost_samples_and_scrambled_stats_do_not_stop_a_resume() -> None:
    train(steps=2, out="a")
    shutil.rmtree("a/samples")
    Path("a/stats.jsonl").write_bytes(b'\xff\xfe\n{"step": 1}\n')
    Path("a/generator.safetensors").unlink()
    result = gankit.resume("a", steps=4)
    assert result.picture.exists()
    assert result.generator.exists()


@pytest.mark.parametrize("text", ["", "nonsense", "{}", '{"state": "failed"}'])
def test_a_damaged_status_does_not_stop_a_resume_and_is_mended(text: str) -> None:
    train(steps=3, out="a")
    Path("a/status.json").write_text(text)
    assert gankit.resume("a").step == 3
    assert json.loads(Path("a/status.json").read_text())["state"] == "finished"


@pytest.mark.parametrize(
    ("name", "value"), [("train_s", "1e400"), ("train_s", None), ("device", None), ("lr.0", "nan"), ("lr_scale.0", [1])]
)
def test_a_sealed_state_that_says_nonsense_is_one_line(name: str, value: object) -> None:
    result = train(steps=2, out="a")
    folder = next((result.folder / "checkpoints").iterdir())
    scalars = json.loads((folder / "state.json").read_text())
    part = scalars["loop"] if name.startswith("lr") else scalars["progress"]
    key = next(key for key in part if key.endswith(name))
    part |= {key: value} if value is not None else {}
    if value is None:
        del part[key]
    state = files.canonical_json(scalars).encode()
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    del manifest["self_sha256"]
    manifest["files"]["state.json"] = {"bytes": len(state), "sha256": files.sha256(state)}
    manifest["self_sha256"] = files.sha256(files.canonical_json(manifest).encode())
    (folder / "state.json").write_bytes(state)
    (folder / "MANIFEST.json").write_text(files.canonical_json(manifest))
    with pytest.raises(InputError, match="does not hold the state of this run") as caught:
        gankit.resume("a", steps=4)
    assert "\n" not in caught.value.message


def test_a_file_quoted_in_an_error_does_not_fill_the_screen() -> None:
    assert len(InputError("x" * 10_000).message) == 1_000


def test_a_checkpoint_of_another_run_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    own, other = (gankit.train("gan", steps=steps, out=tmp_path / str(steps), **RING8) for steps in (2, 3))
    newest = other.folder / "checkpoints" / "step-000000003"
    shutil.copytree(newest, own.folder / "checkpoints" / newest.name)
    with pytest.raises(
        InputError, match="does not hold the state of this run: ValueError: it was written by another run"
    ):
        gankit.resume(own.folder, steps=5)


def test_a_run_that_has_lost_its_checkpoints_is_not_trained_anew_over_its_generator(tmp_path: Path) -> None:
    result = gankit.train("gan", data="ring8", z_dim=2, steps=2, device="cpu", out=tmp_path / "run")
    before = result.generator.read_bytes()
    shutil.rmtree(result.folder / "checkpoints")
    with pytest.raises(InputError, match="was trained, and none of its checkpoints is intact") as caught:
        gankit.resume(result.folder, steps=4)
    assert "--init-from" in (caught.value.hint or "")
    assert result.generator.read_bytes() == before
