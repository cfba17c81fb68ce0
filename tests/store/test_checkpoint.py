"""Checkpoints exist whole or not at all; what is damaged is found, set aside and never loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gankit.base import files
from gankit.base.files import sha256
from gankit.errors import InputError, ResourceError
from gankit.store import checkpoint

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "steps": 12, "rate": 0.1}


def save(root: Path, step: int) -> Path:
    return checkpoint.save(root, step=step, state=dict(STATE), progress={"step": step}, generator=b"generator")


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    loaded = checkpoint.read(save(tmp_path / "c", 12))
    assert loaded.step == 12
    assert loaded.progress == {"step": 12}
    assert torch.equal(loaded.state["a.weight"], STATE["a.weight"])  # type: ignore[arg-type]
    assert (loaded.state["steps"], loaded.state["rate"]) == (12, 0.1)


def test_the_newest_is_the_highest_step_not_the_last_written(tmp_path: Path) -> None:
    for step in (5, 30, 20):
        save(tmp_path / "c", step)
    found = checkpoint.read_latest(tmp_path / "c")
    assert found is not None
    assert found.step == 30


def damage(file: Path, how: str) -> None:
    data = bytearray(file.read_bytes())
    if how == "flip":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif how == "truncate":
        file.write_bytes(data[:-1])
    elif how == "empty":
        file.write_bytes(b"")
    else:
        file.unlink()


@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "delete"])
@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "generator.safetensors", "MANIFEST.json"])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(
    tmp_path: Path, name: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "checkpoints"
    save(root, 10)
    newest = save(root, 20)
    damage(newest / name, how)
    found = checkpoint.read_latest(root)
    assert found is not None
    assert found.step == 10
    assert len(list((tmp_path / "quarantine").iterdir())) == 1
    assert "moved to" in caplog.text


def test_none_left_is_none(tmp_path: Path) -> None:
    assert checkpoint.read_latest(tmp_path / "nowhere") is None
    damage(save(tmp_path / "c", 1) / "MANIFEST.json", "delete")
    assert checkpoint.read_latest(tmp_path / "c") is None


def test_a_newer_schema_is_refused_with_advice(tmp_path: Path) -> None:
    folder = save(tmp_path / "c", 1)
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    del manifest["self_sha256"]
    manifest["schema"] = 99
    manifest["self_sha256"] = files.sha256(files.canonical_json(manifest).encode())
    (folder / "MANIFEST.json").write_text(files.canonical_json(manifest))
    with pytest.raises(InputError, match="newer gankit"):
        checkpoint.read(folder)


def test_pruning_keeps_the_newest_and_removes_leftovers(tmp_path: Path) -> None:
    root = tmp_path / "c"
    for step in range(1, 6):
        save(root, step)
    (root / ".tmp-step-000000009-abcd").mkdir()
    (root / ".trash-step-000000000").mkdir()
    checkpoint.prune(root)
    assert sorted(path.name for path in root.iterdir()) == [f"step-{step:09d}" for step in (3, 4, 5)]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "c"
    save(root, 1)

    def no_space(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_new", no_space)
    with pytest.raises(ResourceError, match="No space left"):
        save(root, 2)
    assert [path.name for path in root.iterdir()] == ["step-000000001"]


def test_a_durable_write_replaces_or_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.json"
    files.write_durably(file, b"old")

    def fails(source: object, target: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files.os, "replace", fails)
    with pytest.raises(ResourceError, match="Input/output error"):
        files.write_durably(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_checkpoint_is_synced_before_and_after_its_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Order is durability: all files, the manifest last, the folder, the rename, the parent folder."""
    events: list[str] = []
    write_new, fsync_path, rename = checkpoint.write_new, checkpoint.fsync_path, checkpoint.os.rename
    monkeypatch.setattr(checkpoint, "write_new", lambda p, d: (events.append(p.name), write_new(p, d)))
    monkeypatch.setattr(checkpoint, "fsync_path", lambda p: (events.append(f"sync {p.name[:8]}"), fsync_path(p)))
    monkeypatch.setattr(checkpoint.os, "rename", lambda a, b: (events.append("rename"), rename(a, b)))
    save(tmp_path / "root", 1)
    files = ["generator.safetensors", "state.safetensors", "state.json", "MANIFEST.json"]
    assert events == [*files, "sync .tmp-ste", "rename", "sync root"]


# -- found by the campaigns: a manifest may be whole and yet say nonsense ------------------------------------------------


def reseal(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "MANIFEST.json").read_text()) | changes
    manifest.pop("self_sha256")
    manifest["self_sha256"] = files.sha256(files.canonical_json(manifest).encode())
    (folder / "MANIFEST.json").write_text(files.canonical_json(manifest))


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {}},
        {"files": None},
        {"files": {"../../etc/passwd": {"bytes": 1, "sha256": ""}}},
        {"step": 13},
        {"step": "12"},
        {"schema": None, "files": 3},
    ],
)
def test_a_sealed_manifest_that_says_nonsense_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    folder = save(tmp_path / "c", 12)
    reseal(folder, **changes)
    with pytest.raises(InputError):
        checkpoint.read(folder)


@pytest.mark.parametrize("text", ['{"step": 1e999}', '{"step": NaN}', '{"\\ud800": 1}'])
def test_numbers_and_letters_that_json_does_not_have_are_refused(tmp_path: Path, text: str) -> None:
    folder = save(tmp_path / "c", 12)
    (folder / "MANIFEST.json").write_text(text)
    with pytest.raises(InputError):
        checkpoint.read(folder)


def test_a_scalar_state_that_is_no_object_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "c", 12)
    data = b'{"loop": 3, "progress": {}}'
    (folder / "state.json").write_bytes(data)
    files = json.loads((folder / "MANIFEST.json").read_text())["files"]
    reseal(folder, files=files | {"state.json": {"bytes": len(data), "sha256": sha256(data)}})
    with pytest.raises(InputError, match="state.json is damaged"):
        checkpoint.read(folder)


def test_what_a_killed_process_had_half_written_is_removed_and_nothing_else(tmp_path: Path) -> None:
    keep = [".hidden", "notes.tmp", ".notes.tmp", ".x.json.0123abcd.tmp.bak"]
    for name in [*keep, ".x.json.0123abcd.tmp", ".000000064.png.ffffffff.tmp"]:
        (tmp_path / name).write_text("x")
    files.remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(keep)


def test_a_new_folder_is_durable_with_those_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "fsync_path", synced.append)
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert sorted(synced) == [tmp_path, tmp_path / "a"]
