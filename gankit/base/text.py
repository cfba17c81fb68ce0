"""Words for people: names shown safely, and the name that was probably meant."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path


def printable(text: str | os.PathLike[str]) -> str:
    """A name or path as text in which nothing moves the cursor or turns the reading direction."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode("ascii")
        for char in os.fspath(text)
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """\"did you mean 'batch'? \" when a known name is near or contains the word, else ''."""
    names = list(known)
    inside = [name for name in names if len(word) > 2 and word.lower() in name]
    close = difflib.get_close_matches(word, names, n=1) or difflib.get_close_matches(word.lower(), names, n=1) or inside
    return f"did you mean '{close[0]}'? " if close else ""


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
