"""Damage of every kind: bytes flipped, set, inserted, deleted and moved; values in JSON replaced by worse ones."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

Mutator = Callable[[bytes, random.Random], bytes]

NUMBERS = [b"0", b"-1", b"1e9", b"18446744073709551616", b"99999999999", b"1e999", b"NaN", b"7"]
VALUES: list[Any] = [
    0, -1, 1, 7, 1e9, 10**9, 2**31, 2**64, 10**400, 1e308, -0.5, True, False, None, "", "x", "../../evil", "os:system",
    "\x1b[2J\u202e", "é" * 5000, [], {}, [0], [-1, -1], [[[]]], {"a": {"b": []}}, "NaN", "1e400", [None] * 1000,
]  # fmt: skip
HEAD = 2048  # headers lie here, and are what a parser trips over


def raw(data: bytes, rng: random.Random) -> bytes:
    """One to four blows at bytes, most of them near the beginning or the end."""
    content = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        near = rng.choice((len(content), HEAD, 64))
        where = rng.randrange(max(1, min(len(content), near)))
        if rng.random() < 0.15:  # a zip's directory, a PNG's last chunk
            where = max(0, len(content) - 1 - where)
        action = rng.randrange(8)
        if action == 0 and content:
            content[where] ^= 1 << rng.randrange(8)
        elif action == 1:
            content[where : where + 4] = rng.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80"])
        elif action == 2:
            content[where:where] = rng.randbytes(rng.choice((1, 3, 100)))
        elif action == 3:
            del content[where : where + rng.choice((1, 4, 40))]
        elif action == 4:
            del content[where:]
        elif action == 5:
            start = rng.randrange(max(1, len(content)))
            content[where:where] = content[start : start + rng.randint(1, 200)]
        elif action == 6:
            _one_number(content, rng)
        elif content:
            content[where] = rng.randrange(256)
    return bytes(content)


def _one_number(content: bytearray, rng: random.Random) -> None:
    found = list(re.finditer(rb"\d+", bytes(content[:HEAD])))
    if found:
        match = rng.choice(found)
        content[match.start() : match.end()] = rng.choice(NUMBERS)


def json_values(data: bytes, rng: random.Random) -> bytes:
    """One or two values of a JSON document replaced, removed or moved; sometimes its bytes are hit instead."""
    if rng.random() < 0.3:
        return raw(data, rng)
    document = json.loads(data)
    for _ in range(rng.randint(1, 2)):
        document = worse(document, rng)
    return _spelt(document)


def json_lines(data: bytes, rng: random.Random) -> bytes:
    """The same for one line of several."""
    lines = data.splitlines() or [b"{}"]
    chosen = rng.randrange(len(lines))
    lines[chosen] = json_values(lines[chosen], rng)
    return b"\n".join(lines) + b"\n" * rng.randrange(2)


def worse(document: Any, rng: random.Random) -> Any:
    """A copy of a JSON value in which one node is another."""
    document = copy.deepcopy(document)
    places = list(_places(document))
    if not places:
        return rng.choice(VALUES)
    parent, key = rng.choice(places)
    action = rng.randrange(6)
    if action == 0:
        del parent[key]
    elif action == 1 and isinstance(parent, dict):
        parent[rng.choice(("x", "", "../x", *parent))] = parent.pop(key)
    elif action == 2:
        parent[key] = copy.deepcopy(rng.choice([other[name] for other, name in places]))
    else:
        parent[key] = copy.deepcopy(rng.choice(VALUES))
    return document


def _places(document: Any) -> Any:
    """(container, key) of every node below the root."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield document, key
        yield from _places(value)


def _spelt(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")


def header_values(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file whose header says something else about its tensors, or gankit's metadata about the network."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if rng.random() < 0.7 and "__metadata__" in header:
        metadata = json.loads(header["__metadata__"]["gankit"])
        header["__metadata__"]["gankit"] = _spelt(worse(metadata, rng)).decode()
    else:
        header = worse(header, rng)
    text = _spelt(header)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]
