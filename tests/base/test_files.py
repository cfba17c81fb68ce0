"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gankit.base.files import append_line
from gankit.errors import ResourceError


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.jsonl"
    append_line(file, {"a": 1})
    before = file.read_bytes()
    real_open = Path.open

    class Full:
        def __init__(self, raw: Any) -> None:
            self.raw = raw

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self.raw.close()

        def write(self, data: bytes) -> int:
            return int(self.raw.write(data[:5]))  # what a full disk still takes

        def __getattr__(self, name: str) -> Any:
            return getattr(self.raw, name)

    monkeypatch.setattr(Path, "open", lambda self, *rest, **more: Full(real_open(self, *rest, **more)))
    with pytest.raises(ResourceError, match="No space left"):
        append_line(file, {"b": 2})
    monkeypatch.undo()
    assert file.read_bytes() == before
