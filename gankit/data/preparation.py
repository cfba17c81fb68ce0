"""How images and labels are brought into the form that networks take: settings of a run, `eval` and `data pack`."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gankit.data.formats.levels import parse_range
from gankit.errors import InputError

OnBadImage = Literal["error", "skip"]
Channels = Literal["grey", "rgb", "rgba"]
MAX_SIZE = 4096
CHANNELS: dict[str, int] = {"grey": 1, "rgb": 3, "rgba": 4}


@dataclass(frozen=True)
class Preparation:
    """What the user decides about images; None leaves it to the data."""

    size: tuple[int, int] | None = None
    """Height and width in pixels, by a centre crop and Lanczos."""
    value_range: tuple[float, float] | None = None
    """The values of black and white, in the units of the source."""
    channels: int | None = None
    """1 (grey), 3 (RGB) or 4 (RGBA)."""
    on_bad_image: OnBadImage = "error"
    """Whether an unreadable image is an error, or is left out and said."""
    labels: tuple[str, ...] | None = None
    """The columns of the file of labels that count."""
    image_column: str | None = None
    """The column of a Parquet file that holds the images."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Preparation:
        """From settings as they are written, each of which may be None: `size`, `value_range`, `labels`, …"""
        size, levels, channels, labels = (settings.get(key) for key in ("size", "value_range", "channels", "labels"))
        return cls(
            size=None if size is None else parse_size(str(size)),
            value_range=None if levels is None else parse_range(str(levels)),
            channels=None if channels is None else CHANNELS[channels],
            on_bad_image=settings.get("on_bad_image") or "error",
            labels=None if labels is None else parse_labels(str(labels)),
            image_column=settings.get("image_column"),
        )


AS_THEY_ARE = Preparation()


def parse_size(text: str) -> tuple[int, int]:
    """'64' -> (64, 64), '64x48' -> (64, 48): height and width in pixels, 1..4096."""
    match = re.fullmatch(r"([0-9]{1,4})(?:x([0-9]{1,4}))?", text.strip().lower())
    if match is not None:
        size = int(match[1]), int(match[2] or match[1])
        if min(size) >= 1 and max(size) <= MAX_SIZE:
            return size
    raise InputError(
        f"'{text}' is not an image size", hint=f"write SIZE or HEIGHTxWIDTH, each from 1 to {MAX_SIZE}: 64 or 64x48"
    )


def parse_labels(text: str) -> tuple[str, ...]:
    """'smiling,age:number' -> two columns; a name that holds a comma stands in double quotes."""
    names = tuple(name.strip() for name in next(csv.reader([text]), []))
    if not all(names) or not names:
        raise InputError(f"--labels '{text}': not names of columns", hint="with commas between them: smiling,male")
    return names
