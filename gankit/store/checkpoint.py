"""Resumable checkpoints of a run: a folder per step, which is valid once its manifest is written."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gankit.base.files import (
    cannot_write,
    canonical_json,
    fsync_path,
    make_folder,
    pack_tensors,
    read_json,
    sha256,
    unpack_tensors,
    write_new,
)
from gankit.errors import InputError

if TYPE_CHECKING:
    from gankit.game.state import State

log = logging.getLogger("gankit")

GENERATOR = "generator.safetensors"
STATE, SCALARS = "state.safetensors", "state.json"
MANIFEST = "MANIFEST.json"
SCHEMA = 1
KEEP = 3  # newest checkpoints that are kept

_STEP_FOLDER = re.compile(r"step-(\d{9,})")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: its folder and the state of the run."""

    folder: Path
    step: int
    state: State
    progress: Mapping[str, Any]


def save(root: Path, *, step: int, state: State, progress: Mapping[str, Any], generator: bytes) -> Path:
    """Write `root/step-<step>/`, whole or not at all; returns it once it is durable.

    `state` is the state of the loop, `progress` the counters of the run (JSON), `generator` the sampleable file.
    """
    import torch  # seconds, which those who look at a run need not wait

    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    scalars = {name: value for name, value in state.items() if not isinstance(value, torch.Tensor)}
    files = {
        GENERATOR: generator,
        STATE: pack_tensors(tensors),
        SCALARS: canonical_json({"loop": scalars, "progress": dict(progress)}).encode(),
    }
    manifest = {
        "schema": SCHEMA,
        "kind": "gankit-checkpoint",
        "step": step,
        "files": {name: _manifest_entry(data) for name, data in files.items()},
    }
    manifest["self_sha256"] = sha256(canonical_json(manifest).encode())
    final = root / _name(step)
    temporary = root / f".tmp-{final.name}-{secrets.token_hex(4)}"
    try:
        make_folder(root)
        temporary.mkdir()
        for name, data in files.items():
            write_new(temporary / name, data)
        write_new(temporary / MANIFEST, canonical_json(manifest).encode())
        fsync_path(temporary)
        os.rename(temporary, final)
        fsync_path(root)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise cannot_write(final, error) from error
    return final


def steps(root: Path) -> list[tuple[int, Path]]:
    """(step, folder) of every checkpoint by its name, newest first; not verified."""
    if not root.is_dir():
        return []
    named = [(int(match[1]), path) for path in root.iterdir() if (match := _STEP_FOLDER.fullmatch(path.name))]
    return sorted(((step, path) for step, path in named if path.is_dir() and not path.is_symlink()), reverse=True)


def newest(root: Path) -> Checkpoint | None:
    """The newest intact checkpoint, for those who only look: damaged ones stay where they are, with a warning."""
    for _, folder in steps(root):
        try:
            return read(folder)
        except InputError as error:
            log.warning("%s; looking at the one before", error.message)
    return None


def read_latest(root: Path) -> Checkpoint | None:
    """The newest intact checkpoint. Damaged ones are moved to `quarantine/` beside `root`, with a warning."""
    for _, folder in steps(root):
        try:
            return read(folder)
        except InputError as error:
            log.warning("%s; moved to %s, trying the one before", error.message, _set_aside(folder))
    return None


def _set_aside(folder: Path) -> Path:
    """Move a damaged checkpoint to `quarantine/` beside the folder of checkpoints; returns that folder."""
    quarantine = folder.parent.parent / "quarantine"
    try:
        quarantine.mkdir(exist_ok=True)
        os.rename(folder, quarantine / f"{folder.name}-{secrets.token_hex(4)}")
    except OSError as error:
        raise cannot_write(quarantine, error) from error
    return quarantine


def read(folder: Path) -> Checkpoint:
    """Verify and read one checkpoint; InputError says what is wrong with it."""
    step = _verify(folder)
    tensors, _ = unpack_tensors((folder / STATE).read_bytes(), folder / STATE)
    scalars = read_json(folder / SCALARS)
    loop, progress = scalars.get("loop"), scalars.get("progress")
    if not isinstance(loop, dict) or not isinstance(progress, dict):
        raise InputError(f"{folder / SCALARS} is damaged")
    return Checkpoint(folder, step, {**tensors, **loop}, progress)


def _verify(folder: Path) -> int:
    """The step of a checkpoint; InputError unless its files are those of its manifest."""
    manifest = read_json(folder / MANIFEST)
    claimed = manifest.pop("self_sha256", None)
    try:
        intact = claimed == sha256(canonical_json(manifest).encode())
    except ValueError:  # a value that canonical JSON cannot hold
        intact = False
    if not intact:
        raise InputError(f"{folder}: the manifest is damaged")
    schema, step, files = (manifest.get(key) for key in ("schema", "step", "files"))
    if isinstance(schema, int) and schema > SCHEMA:
        raise InputError(f"{folder} was written by a newer gankit (schema {schema})", hint="upgrade gankit")
    for name in (GENERATOR, STATE, SCALARS):
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise InputError(f"{folder / name}: {error.strerror}") from error
        if not isinstance(files, dict) or files.get(name) != _manifest_entry(data):
            raise InputError(f"{folder / name} is damaged")
    if not isinstance(step, int) or folder.name != _name(step):
        raise InputError(f"{folder} is not a checkpoint of that step")
    return step


def _manifest_entry(data: bytes) -> dict[str, Any]:
    """The entry of a file in the manifest."""
    return {"bytes": len(data), "sha256": sha256(data)}


def _name(step: int) -> str:
    return f"step-{step:09d}"


def prune(root: Path, keep: int = KEEP) -> None:
    """Delete all but the newest `keep` checkpoints, and the leftovers of an interrupted save or prune."""
    remove_leftovers(root)
    for _, folder in steps(root)[keep:]:
        trash = root / f".trash-{folder.name}"
        try:
            os.rename(folder, trash)  # it stops being a checkpoint before its files go
            fsync_path(root)
        except OSError as error:
            raise cannot_write(folder, error) from error
        shutil.rmtree(trash, ignore_errors=True)


def remove_leftovers(root: Path) -> None:
    """Delete the leftovers of a killed save or prune. No other process may be writing there."""
    for leftover in [*root.glob(".tmp-*"), *root.glob(".trash-*")]:
        shutil.rmtree(leftover, ignore_errors=True)
