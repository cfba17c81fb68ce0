"""A crash, a power loss, a full disk at every file-system operation of a save; and sabotage that must be noticed.

All accidents, each followed to the end of the run: `PYTHONPATH=tests python -m reliability.faults`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from gankit.store import checkpoint
from reliability.disk import Loss, Operation
from reliability.faults import FAULTS, LOSSES, Life, record

STRIDE = 7  # prime to the lengths of the protocol's patterns


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """The life of one run, recorded once."""
    return record(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def life(recorded: Life) -> Life:
    """A copy that a test may spoil."""
    return dataclasses.replace(recorded, operations=list(recorded.operations), broken=[])


def test_the_record_holds_a_whole_save_and_a_whole_prune(life: Life) -> None:
    """Otherwise the tests below would try nothing."""
    told = [str(operation).split(" run/checkpoints/.tmp-")[0] for operation in life.operations]
    assert [told.count(kind) for kind in ("create", "write", "fsync")] == [4, 4, 5]
    assert [operation.kind for operation in life.operations].count("note") == 1
    assert [o.kind for o in life.operations if ".trash-" in o.path] == ["unlink"] * 4 + ["rmdir"]


@pytest.mark.parametrize("loss", LOSSES)
def test_after_a_crash_at_any_operation_the_old_or_the_new_checkpoint_is_whole(life: Life, loss: Loss) -> None:
    for done in life.points(loss):
        life.crash(loss, done, go_on=False)
    assert life.broken == []


@pytest.mark.parametrize("loss", LOSSES)
def test_after_a_crash_the_same_command_ends_in_the_same_state(life: Life, loss: Loss) -> None:
    for done in life.points(loss, STRIDE):
        life.crash(loss, done)
    assert life.broken == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_refusing_disk_ends_the_run_in_one_line_and_the_same_command_goes_on(life: Life, name: str) -> None:
    for at in life.points(name, STRIDE):
        life.fail(name, at)
    assert life.broken == []


def spoil(life: Life, change: Callable[[Operation], Operation | None]) -> Life:
    """The record of a gankit that does one thing wrongly."""
    changed = [change(operation) for operation in life.operations]
    return dataclasses.replace(life, operations=[operation for operation in changed if operation is not None])


def without_fsync_of(life: Life, unwanted: Callable[[str], bool]) -> Life:
    return spoil(life, lambda o: None if o.kind == "fsync" and unwanted(o.path) else o)


def is_folder(path: str) -> bool:
    return path in (".", "run", "run/samples", "run/checkpoints") or Path(path).name.startswith(".tmp-step")


def in_place(operation: Operation) -> Operation | None:
    """Files written where readers look, without the rename at the end."""
    if operation.kind == "rename" and Path(operation.path).name.startswith(".tmp-step"):
        return None
    parts = [part.removeprefix(".tmp-")[:14] if ".tmp-step" in part else part for part in Path(operation.path).parts]
    return dataclasses.replace(operation, path=str(Path(*parts)))


def flipped(operation: Operation) -> Operation:
    if not operation.path.endswith("state.safetensors"):
        return operation
    return dataclasses.replace(
        operation, data=operation.data[:-1] + bytes([operation.data[-1] ^ 1]) if operation.data else b""
    )


def crash_everywhere(life: Life, loss: Loss) -> str:
    for done in life.points(loss):
        life.crash(loss, done, go_on=False)
    return "\n".join(life.broken)


def test_control_without_fsync_of_files_an_acknowledged_save_is_lost(life: Life) -> None:
    broken = crash_everywhere(without_fsync_of(life, lambda path: not is_folder(path)), "contents")
    assert "step 16 does not verify" in broken
    assert "step 16 had been acknowledged, [12, 8" in broken


def test_control_without_fsync_of_folders_an_acknowledged_save_is_lost(life: Life) -> None:
    assert "step 16 had been acknowledged, [12, 8" in crash_everywhere(without_fsync_of(life, is_folder), "unsynced")


def test_control_a_save_in_place_leaves_something_half_written(life: Life) -> None:
    assert "step 16 does not verify" in crash_everywhere(spoil(life, in_place), "kill")


def test_control_a_flipped_bit_is_noticed(life: Life) -> None:
    assert "state.safetensors is damaged" in crash_everywhere(spoil(life, flipped), "kill")


def test_control_unsynced_statistics_are_missed(life: Life) -> None:
    spoilt = without_fsync_of(life, lambda path: path == "run/stats.jsonl")
    spoilt.crash("unsynced", len(spoilt.operations))
    assert "differs in ['stats']" in "\n".join(spoilt.broken)


def test_control_an_unexplained_error_is_noticed(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "cannot_write", lambda path, error: error)
    for at in life.points("disk full", 3):
        life.fail("disk full", at)
    assert "OSError(28" in "\n".join(life.broken)


def test_a_new_run_is_durable_down_to_its_folder_and_the_control_is_not(tmp_path: Path) -> None:
    life = record(tmp_path, from_the_start=True)
    for done in life.points("unsynced", 3):
        life.crash("unsynced", done, go_on=False)
    assert life.broken == []
    assert "step 16 had been acknowledged, [] are there" in crash_everywhere(
        without_fsync_of(life, lambda path: path == "."), "unsynced"
    )
