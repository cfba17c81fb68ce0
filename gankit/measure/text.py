"""Scores as people read them: their titles and their numbers."""

from __future__ import annotations

_ARROW = {True: " ↑", False: " ↓", None: ""}
_TITLES = {
    "fid": "FID",
    "kid": "KID ×1000",
    "is": "IS",
    "f1": "F1",
    "covered": "modes covered",
    "held": "with 10 % of their share",
    "good": "good samples",
    "jsd": "JSD",
    "kl": "KL",
}
_COUNTS = ("covered", "held")
_SHARES = ("duplicates", "good")
MANY = 1e6  # from which on a score is given as a power of ten: that of noise in some spaces


def title_of(name: str, higher_is_better: bool | None) -> str:
    """'fid' -> 'FID ↓'."""
    return _TITLES.get(name, name) + _ARROW[higher_is_better]


def text_of(name: str, value: float | None, spread: float | None = None) -> str:
    """A score as text: KID in thousandths, shares of samples in per cent, numbers of modes in whole or tenth ones."""
    if value is None:
        return ""
    if name in _SHARES:
        return f"{value:.1%}"
    if name in _COUNTS:
        return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
    digits = 4 if name in ("jsd", "kl") else 3
    factor = 1000 if name == "kid" else 1
    number = factor * value
    if abs(number) >= MANY:
        return f"{number:.2e}"
    text = f"{number:.{digits}f}" if abs(number) < 10 else f"{number:.1f}" if abs(number) < 1000 else f"{number:,.0f}"
    return text if spread is None else f"{text} ± {factor * spread:,.{digits - 1 if digits == 3 else 4}f}"
