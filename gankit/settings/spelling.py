"""The spelling of counts and durations: 500k and 2M, 90s and 1h30m."""

from __future__ import annotations

import re

MAX_DIGITS = 20


def parse_count(text: str) -> int:
    """'50000', '50,000', '500k' -> 500000, '1.5M' -> 1500000; ValueError for anything else, such as '1,5M'."""
    whole = r"(\d+|\d{1,3}(?:,\d{3})+)"
    match = re.fullmatch(rf"{whole}\s*([kKmM]?)|{whole}(\.\d+)\s*([kKmM])", text.strip().replace("_", ""))
    if match is None:
        raise ValueError("not a count: write 50000, 50k or 2M")
    digits, fraction = (match[1] or match[3]).replace(",", ""), match[4] or ""
    if len(digits + fraction) > MAX_DIGITS:
        raise ValueError("a count this large is never reached: write 50000, 50k or 2M")
    factor = {"": 1, "k": 1_000, "m": 1_000_000}[(match[2] or match[5] or "").lower()]
    return round(float(digits + fraction) * factor) if fraction else int(digits) * factor


def parse_duration(text: str) -> float:
    """'90' or '90s', '15m', '2h', '1h30m' -> seconds; ValueError for anything else."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    if match is None or not any(match.groups()):
        raise ValueError("not a duration: write 90s, 15m, 2h or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds
