"""Short words about data: a name for a path, a count with its noun."""

from __future__ import annotations

import re
from pathlib import Path


def short_name(path: Path) -> str:
    """A name for a data set at this path, usable in a folder name: 'My photos.zip' -> 'My-photos'."""
    path = path.absolute()
    if path.name == "raw" and path.parent.name:  # torchvision's MNIST/raw
        path = path.parent
    stem = path.name if path.is_dir() else path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:40] or "data"


def plural(count: int, noun: str) -> str:
    """'1 grey file', '1,200 grey files'."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
