"""`gankit film`: the sample grids of a run as a film of its training."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gankit.base import progress
from gankit.base.files import cannot_write, whole_file
from gankit.base.text import printable
from gankit.data.formats.colour import as_rgb
from gankit.errors import InputError, ResourceError
from gankit.sample.montage import FORMATS, INK, LABEL, animated
from gankit.store.run_folder import RunFolder

SUFFIXES = (*FORMATS, ".mp4")
HOLD_MS = 2000  # how long the last picture stands
FRAME_MS = 20  # the shortest time of a picture that viewers keep to
MOST_FRAMES = 600
WIDEST = 1024  # pixels; larger grids are reduced to this


@dataclass(frozen=True)
class Film:
    """What was drawn."""

    frames: int
    images: tuple[int, int]
    """Real images seen at the first and at the last picture."""
    seconds: float


def film(run: Path, out: Path, *, seconds: float = 8.0, captions: bool = True) -> Film:
    """Write the grids in RUN/samples to x.webp, x.gif or x.mp4 (with ffmpeg); each has its images seen as a caption.

    All pictures last `seconds` together, and the last one stands for two more. InputError for a run without pictures.
    """
    folder = RunFolder(run)
    if not folder.exists:
        raise InputError(f"{printable(run)} is not a run", hint="give the folder that `gankit train` has made")
    pictures = {int(path.stem): path for path in folder.samples.glob("*.png") if path.stem.isdecimal()}
    if len(pictures) < 2:
        raise InputError(
            f"{printable(run)} has {len(pictures)} pictures: no film", hint="gankit resume, or train longer"
        )
    most = max(2, min(MOST_FRAMES, round(1000 * seconds / FRAME_MS)))
    numbers = _spread(sorted(pictures), most)
    frames: list[Image.Image] = []
    for place, number in enumerate(numbers):
        frames.append(_frame(pictures[number], f"{number:,} images" if captions else None, frames))
        progress.tell("pictures", place + 1, len(numbers))
    each = max(FRAME_MS, round(1000 * seconds / len(frames)))
    durations = [each] * (len(frames) - 1) + [each + HOLD_MS]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(out) as temporary:
            if out.suffix.lower() == ".mp4":
                _encode(frames, durations, temporary)
            else:
                temporary.write_bytes(animated(frames, out.suffix.lower(), durations))
    except OSError as error:
        raise cannot_write(out, error) from error
    return Film(len(frames), (numbers[0], numbers[-1]), sum(durations) / 1000)


def _spread(numbers: list[int], most: int) -> list[int]:
    """At most so many of them, the first and the last included, at equal distances."""
    if len(numbers) <= most:
        return numbers
    return [numbers[place * (len(numbers) - 1) // (most - 1)] for place in range(most)]


def _frame(path: Path, caption: str | None, before: Sequence[Image.Image]) -> Image.Image:
    try:
        with Image.open(path) as opened:
            grid = as_rgb(opened)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{printable(path)} cannot be read: {error}", hint="remove it") from error
    if grid.width > WIDEST:
        grid = grid.resize((WIDEST, grid.height * WIDEST // grid.width), Image.Resampling.LANCZOS)
    frame = Image.new("RGB", (grid.width, grid.height + (LABEL if caption else 0)), "white")
    frame.paste(grid, (0, 0))
    if caption:
        font = ImageFont.load_default(size=12)
        ImageDraw.Draw(frame).text((frame.width - 4, grid.height + 2), caption, fill=INK, font=font, anchor="ra")
    if before and frame.size != before[0].size:
        raise InputError(f"{printable(path)} has another size than the pictures before it", hint="remove it")
    return frame


def _encode(frames: Sequence[Image.Image], durations: Sequence[int], out: Path) -> None:
    """H.264 by ffmpeg, which is given each picture as often as it is shown at 25 a second."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise ResourceError("an .mp4 needs ffmpeg, which is not here", hint="install it, or -o film.webp")
    even = "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white"
    command = [program, "-y", "-loglevel", "error", "-f", "image2pipe", "-framerate", "25", "-c:v", "png", "-i", "-"]
    command += ["-vf", even, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-f", "mp4", str(out)]
    shown = bytearray()
    for frame, milliseconds in zip(frames, durations, strict=True):
        buffer = io.BytesIO()
        frame.save(buffer, "PNG", compress_level=1)
        shown += buffer.getvalue() * max(1, round(milliseconds / 40))
    done = subprocess.run(command, input=bytes(shown), capture_output=True, check=False)
    if done.returncode:
        said = printable(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
        raise ResourceError(f"ffmpeg ended with {done.returncode}: {said}", hint="-o film.webp needs no ffmpeg")
