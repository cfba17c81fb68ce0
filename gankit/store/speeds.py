"""How long recipes take here: training times that were measured before, in the user's cache."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gankit.base.cache import home
from gankit.base.files import read_json, write_json
from gankit.errors import GankitError


@dataclass(frozen=True)
class Speed:
    """A measurement on one device."""

    device: str
    images_per_s: float

    def hours(self, images: int | None) -> float | None:
        """Hours of training on so many images; None without a budget in images."""
        return None if images is None else images / self.images_per_s / 3600


def remember(digest: str, speed: Speed) -> None:
    """Store the speed of a recipe; without a cache that can be written it is measured again another time."""
    path = _path(digest)
    with suppress(GankitError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"device": speed.device, "images_per_s": speed.images_per_s})


def recall(digest: str) -> Speed | None:
    """The last measurement of a recipe on this machine; None without one, and for a damaged file."""
    path = _path(digest)
    try:
        stored = read_json(path)
    except GankitError:
        return None
    device, rate = stored.get("device"), stored.get("images_per_s")
    if not isinstance(device, str) or not isinstance(rate, int | float) or isinstance(rate, bool) or rate <= 0:
        return None
    return Speed(device, float(rate))


def _path(digest: str) -> Path:
    return home() / "recipes" / f"{digest[:24]}.json"
