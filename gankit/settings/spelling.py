"""The spelling of counts and durations: 500k and 2M, 90s and 1h30m."""

from __future__ import annotations

import re

MAX_DIGITS = 20


def parse_count(text: str) -> int:
    """'50000', '500k' -> 500000, '2M' -> 2000000; ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmM]?)", text.strip().replace("_", "").replace(",", ""))
    if match is None:
        raise ValueError("not a count: write 50000, 50k or 2M")
    if len(match[1]) > MAX_DIGITS:
        raise ValueError("a count this large is never reached: write 50000, 50k or 2M")
    factor = {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()]
    return round(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor


def parse_duration(text: str) -> float:
    """'90' or '90s', '15m', '2h', '1h30m' -> seconds; ValueError for anything else."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    if match is None or not any(match.groups()):
        raise ValueError("not a duration: write 90s, 15m, 2h or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds
