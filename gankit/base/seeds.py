"""Seeds of the random streams of a run: functions of (seed, purpose, position), so that no stream is ever stored."""

from __future__ import annotations

import hashlib
import json


def derive_seed(*parts: int | str) -> int:
    """A stable seed in [0, 2**63) from the parts: the same on every machine and in every Python process."""
    # JSON keeps 1 and "1" and ("ab", "c") and ("a", "bc") apart; Python's hash() of strings changes with the process.
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
