"""The file that a path means: users name a run folder, a checkpoint in it, a sampleable file, or hf://owner/name."""

from __future__ import annotations

from pathlib import Path

from gankit.base.text import printable
from gankit.errors import InputError
from gankit.store import hub
from gankit.store.run_folder import RunFolder


def means_generator(path: Path) -> bool:
    """Whether a path means a sampleable file (that file, a run, a checkpoint folder) rather than a set of images."""
    folder = RunFolder(path)
    if hub.is_address(path) or path.suffix.lower() == ".safetensors":
        return True
    return path.is_dir() and (folder.exists or folder.generator.is_file())


def generator_file(path: Path) -> Path:
    """The sampleable file that a path means: the one in a folder, or the file itself.

    InputError for a folder without one, and for a run without a checkpoint. A file elsewhere need not exist. That of
    hf://owner/name[@revision] is in the cache of huggingface_hub; see `hub.pull` for its errors.
    """
    if hub.is_address(path):
        return hub.pull(hub.parse_address(path)).file
    file = RunFolder(path).generator if path.is_dir() else path
    if not file.exists():
        where = printable(file.parent)
        if RunFolder(file.parent).exists:
            raise InputError(f"{where} has no checkpoint yet", hint=f"gankit resume {where}")
        if path.is_dir():
            raise InputError(f"{where} is not a checkpoint", hint="give a .safetensors file or a run folder")
    return file


def run_of(file: Path) -> RunFolder | None:
    """The run whose folder holds a file, at the top or in one of its checkpoints; None for any other file."""
    run = RunFolder(file.parent)
    if run.exists:
        return run
    checkpoints = file.absolute().parent.parent
    run = RunFolder(file.parent / ".." / "..")
    return run if checkpoints.name == "checkpoints" and run.exists else None
