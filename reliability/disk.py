"""A disk that can be unplugged: file-system operations below a folder are recorded, replayed in part, or made to fail."""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

Loss = Literal["kill", "unsynced", "contents"]


@dataclass(frozen=True)
class Operation:
    """One call that changed the disk or asked for durability. Paths are relative to the root of the disk."""

    kind: Literal["create", "write", "fsync", "rename", "unlink", "mkdir", "rmdir", "note"]
    path: str
    target: str = ""
    data: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind} {self.path}{' -> ' + self.target if self.target else ''}"


@dataclass
class File:
    """Content as programs see it, and as a power loss leaves it."""

    now: bytes = b""
    safe: bytes = b""


@dataclass
class Folder:
    """Names as programs see them, and as a power loss leaves them."""

    now: dict[str, File | Folder] = field(default_factory=dict)
    safe: dict[str, File | Folder] = field(default_factory=dict)


class Tree:
    """What is on a disk after some operations; everything that was there before them is safe."""

    def __init__(self, base: Path) -> None:
        self.root = _read(base)

    def apply(self, operation: Operation, share: float = 1.0) -> None:
        """Carry out an operation; of a write, only the first `share` of its bytes."""
        where = self._parent(operation.path)
        name = Path(operation.path).name
        if operation.kind == "create":
            where.now.setdefault(name, File())
        elif operation.kind == "mkdir":
            where.now[name] = Folder()
        elif operation.kind in ("unlink", "rmdir"):
            del where.now[name]
        elif operation.kind == "rename":
            self._parent(operation.target).now[Path(operation.target).name] = where.now.pop(name)
        elif operation.kind == "write":
            file = where.now[name]
            assert isinstance(file, File)
            file.now += operation.data[: int(len(operation.data) * share)]
        elif operation.kind == "fsync":
            node = where.now[name] if name else self.root
            if isinstance(node, File):
                node.safe = node.now
            else:
                node.safe = dict(node.now)

    def write(self, folder: Path, loss: Loss) -> None:
        """The disk after a crash. kill: everything that was done is there; unsynced: nothing that was not synced is;
        contents: all names are there, but files without what was not synced."""
        _write(self.root, folder, loss)

    def _parent(self, path: str) -> Folder:
        node: File | Folder = self.root
        for part in Path(path).parent.parts:
            assert isinstance(node, Folder)
            node = node.now[part]
        assert isinstance(node, Folder)
        return node


def _read(path: Path) -> Folder:
    nodes: dict[str, File | Folder] = {
        entry.name: _read(entry) if entry.is_dir() else File(entry.read_bytes(), entry.read_bytes())
        for entry in path.iterdir()
    }
    return Folder(nodes, dict(nodes))


def _write(node: Folder, path: Path, loss: Loss) -> None:
    path.mkdir()
    for name, entry in (node.safe if loss == "unsynced" else node.now).items():
        if isinstance(entry, Folder):
            _write(entry, path / name, loss)
        else:
            (path / name).write_bytes(entry.now if loss == "kill" else entry.safe)


@dataclass(frozen=True)
class Fault:
    """The operation from which on (or with which alone) calls of some kinds fail, and how."""

    at: int
    error: int
    kinds: frozenset[str]
    lasting: bool


@dataclass
class Disk:
    """Counts and records operations below `root`; with a fault, lets some of them fail."""

    root: Path
    fault: Fault | None = None
    operations: list[Operation] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Mark a moment between two operations."""
        self.operations.append(Operation("note", text))

    def perform(self, act: Callable[[], Any], kind: Any, path: str, **more: Any) -> Any:
        """Do something and record it, unless the fault hits it."""
        index, fault = len(self.operations), self.fault
        self.operations.append(Operation(kind, path, **more))
        if fault and kind in fault.kinds and (index == fault.at or (fault.lasting and index > fault.at)):
            raise OSError(fault.error, os.strerror(fault.error))
        return act()

    def inside(self, path: Any, dir_fd: int | None = None) -> str | None:
        """The path relative to the root; None for places elsewhere."""
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        elif dir_fd is not None:
            path = Path(f"/proc/self/fd/{dir_fd}").readlink() / path
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
        return str(absolute.relative_to(self.root)) if absolute.is_relative_to(self.root) else None


@contextmanager
def watched(disk: Disk) -> Iterator[None]:
    """Within the block the functions with which gankit changes the disk report to `disk`."""
    real = {name: getattr(os, name) for name in ("open", "fsync", "rename", "replace", "unlink", "mkdir", "rmdir")}
    real_fdopen, real_path_open = os.fdopen, pathlib.Path.open

    class Recorded(io.FileIO):
        def write(self, data: Any) -> int:
            """In one piece: half of it lands when it fails, as on a full disk."""
            whole = bytes(data)
            path = disk.inside(self.fileno())
            assert path is not None
            try:
                return int(disk.perform(lambda: super(Recorded, self).write(whole), "write", path, data=whole))
            except OSError:
                super().write(whole[: len(whole) // 2])
                raise

    def opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        where = disk.inside(path, dir_fd)
        if where is None or not flags & os.O_CREAT or os.path.exists(path):  # noqa: PTH110
            return int(real["open"](path, flags, mode, dir_fd=dir_fd))
        return int(disk.perform(lambda: real["open"](path, flags, mode, dir_fd=dir_fd), "create", where))

    def fdopened(descriptor: int, mode: str = "r", *rest: Any, **named: Any) -> Any:
        ours = "w" in mode and disk.inside(descriptor) is not None
        return Recorded(descriptor, "w") if ours else real_fdopen(descriptor, mode, *rest, **named)

    def path_opened(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if mode != "a+b" or disk.inside(path) is None:
            return real_path_open(path, mode, *rest, **named)
        return Recorded(opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666), "a+")

    def on_descriptor(descriptor: int) -> None:
        where = disk.inside(descriptor)
        real["fsync"](descriptor) if where is None else disk.perform(lambda: None, "fsync", where)

    def on_path(name: str, kind: str) -> Callable[..., None]:
        def call(path: Any, *rest: Any, dir_fd: int | None = None) -> None:
            where = disk.inside(path, dir_fd)
            act = lambda: real[name](path, *rest, dir_fd=dir_fd)  # noqa: E731
            elsewhere = where is None or (name == "mkdir" and os.path.exists(path))  # noqa: PTH110
            act() if elsewhere else disk.perform(act, kind, where)

        return call

    def on_two_paths(name: str) -> Callable[..., None]:
        def call(source: Any, target: Any) -> None:
            where, to = disk.inside(source), disk.inside(target)
            act = lambda: real[name](source, target)  # noqa: E731
            act() if where is None or to is None else disk.perform(act, "rename", where, target=to)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", opened)
        patch.setattr(os, "fdopen", fdopened)
        patch.setattr(pathlib.Path, "open", path_opened)
        patch.setattr(os, "fsync", on_descriptor)
        for name in ("unlink", "mkdir", "rmdir"):
            patch.setattr(os, name, on_path(name, name))
        for name in ("rename", "replace"):
            patch.setattr(os, name, on_two_paths(name))
        yield
