"""Words for people: names shown safely, and the name that was probably meant."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable


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
