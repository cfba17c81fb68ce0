"""How images and labels are brought into the form that networks take: settings of a run, `eval` and `data pack`."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gankit.contracts import Kind
from gankit.data.formats.colour import Colour, parse_colour
from gankit.data.formats.levels import parse_range
from gankit.errors import InputError
from gankit.settings.spelling import parse_count

OnBadImage = Literal["error", "skip"]
Frames = Literal["first", "all"]
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
    bands: tuple[int, ...] | None = None
    """Some channels of an array by number, from 0, in this order."""
    kind: Kind | None = None
    """What the samples of an array are."""
    length: int | None = None
    """Steps of a signal: longer ones are cut into clips."""
    background: Colour | None = None
    """What transparent images are laid on; they are kept transparent, or laid on white or black, if it is None."""
    on_bad_image: OnBadImage = "error"
    """Whether an unreadable image is an error, or is left out and said."""
    frames: Frames = "first"
    """Whether only the first of several frames or pages of a file is a sample, or each."""

    labels: tuple[str, ...] | None = None
    """The columns of the file of labels that count."""
    image_column: str | None = None
    """The column of a Parquet file that holds the images."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Preparation:
        """From settings as they are written, named as in `RunConfig`; each may be None."""
        size, levels, channels, labels = (settings.get(key) for key in ("size", "value_range", "channels", "labels"))
        colours, bands = (None, None) if channels is None else parse_channels(str(channels))
        background = settings.get("background")
        if background is not None and channels == "rgba":
            raise InputError(
                f"--background {background}: --channels rgba lays nothing on it", hint="leave one of the two out"
            )
        return cls(
            size=None if size is None else parse_size(str(size)),
            value_range=None if levels is None else parse_range(str(levels)),
            channels=colours,
            bands=bands,
            kind=settings.get("kind"),
            length=None if settings.get("length") is None else parse_count(str(settings["length"])),
            background=None if background is None else parse_colour(str(background)),
            on_bad_image=settings.get("on_bad_image") or "error",
            frames=settings.get("frames") or "first",
            labels=None if labels is None else parse_labels(str(labels)),
            image_column=settings.get("image_column"),
        )


AS_THEY_ARE = Preparation()


def parse_channels(text: str) -> tuple[int | None, tuple[int, ...] | None]:
    """'rgb' -> (3, None): colours; '0,3,5' -> (None, (0, 3, 5)): channels by number."""
    if text in CHANNELS:
        return CHANNELS[text], None
    if re.fullmatch(r"[0-9]{1,4}(,[0-9]{1,4})*", text):
        numbers = tuple(map(int, text.split(",")))
        if len(set(numbers)) == len(numbers):
            return None, numbers
    raise InputError(
        f"--channels {text}: neither colours nor numbers of channels", hint="grey, rgb, rgba, or as 0,3,5 of an array"
    )


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
