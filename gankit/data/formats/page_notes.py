"""What was inferred from image files, or done to them, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gankit.data.formats.colour import colour_name
from gankit.data.formats.pixels import Form, Page
from gankit.data.formats.resize import REDUCED_TO, reduction, resize_note
from gankit.data.preparation import Preparation


def page_notes(pages: Sequence[Page], form: Form, how: Preparation) -> list[str]:
    """The notes on the pictures of a set that became `form`."""
    headers, channels, size = [page.header for page in pages], form.channels, form.size
    sizes = [common for common, _ in Counter(header.size for header in headers).most_common()]
    depths = Counter(header.depth for header in headers)
    notes = [resize_note(sizes, size)] if sizes != [size] else []
    notes += [form.bytes.note] if form.bytes.note and depths["8 bits"] else []
    notes += [form.floats.note] if form.floats.note and depths["floats"] else []
    integers = f" ({form.integers.note})" if form.integers.note else ""
    several = {page.file for page in pages if page.header.more}
    facts = [
        (sum(not header.colour for header in headers) if channels > 1 else 0,
         f"grey file{{s}} became {'RGB' if channels == 3 else 'RGBA'}"),
        (sum(header.colour for header in headers) if channels == 1 else 0, "file{s} in colour became grey"),
        (sum(header.alpha for header in headers) if channels != 4 else 0,
         f"transparent file{{s}} laid on {colour_name(form.background)}"),
        (depths["16 bits"], f"file{{s}} of 16 bits scaled to 8 bits{integers}"),
        (depths["32 bits"], f"file{{s}} of 32 bits scaled to 8 bits{integers}"),
        (depths["16 bits per colour"], "file{s} of 16 bits per colour: the upper 8 bits are read"),
        (sum(header.jpeg and reduction(header.size, size) > 1 for header in headers),
         f"JPEG file{{s}} decoded at a fraction of the size, {REDUCED_TO} times that of the images or more"),
        (sum(header.profile for header in headers),
         "file{s} with a colour profile other than sRGB, which is not applied"),
    ]  # fmt: skip
    notes += [f"{count:,} {text.format(s='' if count == 1 else 's')}" for count, text in facts if count]
    if how.background is not None and not any(header.alpha for header in headers):
        notes.append("no file is transparent, so --background is not used")
    if several:
        of = f"{len(several):,} file{'' if len(several) == 1 else 's'} of several frames or pages"
        notes.append(f"{of}: {'each is a sample' if how.frames == 'all' else 'the first only (--frames all: each)'}")
    return notes
