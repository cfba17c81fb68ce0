"""Seeds of the random streams of a run: functions of (seed, purpose, position), so that no stream is ever stored."""

from __future__ import annotations

import hashlib
import json


def derive_seed(*parts: int | str) -> int:
    """A stable seed in [0, 2**63) from the parts: the same on every machine and in every Python process."""
    # JSON distinguishes 1 from "1" and ("ab", "c") from ("a", "bc"); Python's hash() differs between processes.
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
