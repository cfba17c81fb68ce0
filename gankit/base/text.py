"""Text for people: names made safe to print, suggestions for misspelt names, short names and plurals."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path


def printable(text: str | os.PathLike[str]) -> str:
    """A name or path as text without characters that move the cursor or change the reading direction."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode("ascii")
        for char in os.fspath(text)
    )


def opening(data: bytes) -> str:
    """The first bytes of a file for people: "'hello'" of a text, else '89 50 4e 47 0d 0a 1a 0a'."""
    text = " ".join(data[:24].decode("latin-1").split())
    return f"'{text}'" if text and text.isascii() and text.isprintable() else data[:8].hex(" ")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """\"did you mean 'batch'? \" when a known name is similar or contains the word, else ''."""
    names = list(known)
    containing = [name for name in names if len(word) > 2 and word.lower() in name]
    similar = difflib.get_close_matches(word, names, n=1) or difflib.get_close_matches(word.lower(), names, n=1)
    suggestions = similar or containing
    return f"did you mean '{suggestions[0]}'? " if suggestions else ""


def short_name(path: Path) -> str:
    """A name for a data set at this path, usable in a folder name: 'My photos.zip' -> 'My-photos'."""
    path = path.absolute()
    if path.name == "raw" and path.parent.name:  # the layout of torchvision: MNIST/raw
        path = path.parent
    stem = path.name if path.is_dir() else path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:40] or "data"


def plural(count: int, noun: str) -> str:
    """'1 grey file', '1,200 grey files'."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
