"""Pictures made of several samples: film strips, equations, neighbours, films."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gankit.data.formats.colour import as_rgb
from gankit.modality.images import CELL, GAP, grid, to_image
from gankit.modality.modality import Pixels

MARGIN, SIGN, LABEL = 12, 34, 18  # pixels: around a picture, for a + or -, for a line of text
INK, PALE = "#222222", "#999999"
FORMATS = {".webp": "WEBP", ".gif": "GIF"}


def cell(pixels: Pixels, side: int = CELL) -> Image.Image:
    """uint8 [H, W, C] -> an RGB image, small ones enlarged by a whole factor up to about `side`."""
    image = as_rgb(to_image(pixels))
    factor = max(1, side // max(image.size))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def film_strip(rows: Sequence[Pixels]) -> Image.Image:
    """Rows of uint8 [T, H, W, C], all of the same length, one below the other."""
    strips = [as_rgb(grid(row, columns=len(row))) for row in rows]
    return stack(strips)


def mixing_table(rows: Pixels, columns: Pixels, mixed: Sequence[Pixels]) -> Image.Image:
    """Samples [R, H, W, C] at the left and [N, H, W, C] above, and the mixed ones of each row [N, H, W, C]."""
    blank = np.full_like(rows[:1], 255)
    table = [np.concatenate([blank, columns])]
    table += [np.concatenate([rows[i : i + 1], cells]) for i, cells in enumerate(mixed)]
    return film_strip(table)


def titled_strips(rows: Sequence[Pixels], titles: Sequence[str], names: Sequence[str] = ()) -> Image.Image:
    """Rows of uint8 [T, H, W, C] under `titles` [T]; with `names` each row has its own at the left."""
    strips = [as_rgb(grid(row, columns=len(row))) for row in rows]
    font = ImageFont.load_default(size=12)
    left = MARGIN + max((int(font.getlength(name)) for name in names), default=-MARGIN // 2)
    height, width = strips[0].height, (strips[0].width - GAP) // len(titles)
    sheet = Image.new("RGB", (left + strips[0].width, LABEL + height * len(strips)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, title in enumerate(titles):
        _caption(draw, left + GAP + width * place + (width - GAP) // 2, 0, title)
    for place, strip in enumerate(strips):
        y = LABEL + place * height
        sheet.paste(strip, (left, y))
        if names:
            draw.text((MARGIN // 2, y + height // 2), names[place], fill=INK, font=font, anchor="lm")
    return sheet


def stack(images: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Images one below the other, aligned to the left, on white."""
    height = sum(image.height for image in images) + gap * (len(images) - 1)
    sheet, y = Image.new("RGB", (max(image.width for image in images), height), "white"), 0
    for image in images:
        sheet.paste(image, (0, y))
        y += image.height + gap
    return sheet


def film(frames: Sequence[Pixels], suffix: str, fps: int) -> bytes:
    """Frames uint8 [H, W, C] -> an endless animated WebP or GIF."""
    images = [cell(frame, side=4 * CELL) for frame in frames]
    return animated(images, suffix, [max(1, round(1000 / fps))] * len(images))


def animated(frames: Sequence[Image.Image], suffix: str, durations: Sequence[int]) -> bytes:
    """The bytes of an endless animation; `durations` are in milliseconds, `suffix` is a key of FORMATS."""
    buffer = io.BytesIO()
    options = {"lossless": True} if suffix == ".webp" else {}
    rest = list(frames[1:])
    frames[0].save(
        buffer, FORMATS[suffix], save_all=True, append_images=rest, duration=list(durations), loop=0, **options
    )
    return buffer.getvalue()


def equation(columns: Sequence[tuple[str, Pixels, Pixels]], results: Pixels) -> Image.Image:
    """The picture of an equation; a column is (sign, samples [N, H, W, C], sample of their mean [1, H, W, C]).

    The samples of a group are above the rule, the sample of their mean below it; then come = and the 3x3 results with
    the exact one in the middle.
    """
    groups = [(sign, as_rgb(grid(samples, 1)), cell(mean[0])) for sign, samples, mean in columns]
    block = as_rgb(grid(results, 3))
    top = MARGIN + max(samples.height for _, samples, _ in groups) + 8
    height = max(top + 8 + groups[0][2].height, MARGIN + block.height) + MARGIN + LABEL
    width = MARGIN + sum(SIGN + samples.width for _, samples, _ in groups) + SIGN + block.width + MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=26)
    x = MARGIN
    middle = top + 8 + groups[0][2].height // 2
    for index, (sign, samples, mean) in enumerate(groups):
        if sign == "-":  # a line, because a hyphen is too short and the built-in font has no minus
            draw.line((x + SIGN // 2 - 7, middle + 1, x + SIGN // 2 + 7, middle + 1), fill=INK, width=3)
        elif index:
            draw.text((x + SIGN // 2, middle), sign, fill=INK, font=font, anchor="mm")
        x += SIGN
        sheet.paste(samples, (x, top - 8 - samples.height))
        draw.line((x, top, x + samples.width, top), fill=INK, width=2)
        sheet.paste(mean, (x + GAP, top + 8))
        _caption(draw, x + samples.width // 2, top + 8 + mean.height, "mean")
        x += samples.width
    draw.text((x + SIGN // 2, middle), "=", fill=INK, font=font, anchor="mm")
    x += SIGN
    y = max(MARGIN, min(middle - block.height // 2, height - LABEL - MARGIN - block.height))
    sheet.paste(block, (x, y))
    third_w, third_h = block.width / 3, block.height / 3
    draw.rectangle((x + third_w, y + third_h, x + 2 * third_w, y + 2 * third_h), outline="#d64541", width=2)
    _caption(draw, x + block.width // 2, y + block.height, "result, ±0.25 around it")
    return sheet


def beside(samples: Pixels, neighbours: Pixels, notes: Sequence[Sequence[str]]) -> Image.Image:
    """Samples [N, H, W, C] at the left, their k neighbours [N, k, H, W, C] at the right with a note under each."""
    first = cell(samples[0])
    w, h, k = first.width, first.height, neighbours.shape[1]
    row = h + LABEL
    sheet = Image.new("RGB", (2 * MARGIN + w + SIGN + k * (w + GAP), 2 * MARGIN + LABEL + len(samples) * row), "white")
    draw = ImageDraw.Draw(sheet)
    left = MARGIN + w + SIGN
    _caption(draw, MARGIN + w // 2, MARGIN - 6, "sample")
    _caption(draw, left + k * (w + GAP) // 2, MARGIN - 6, "nearest training images" if k > 2 else "nearest")
    for index, (sample, near) in enumerate(zip(samples, neighbours, strict=True)):
        y = MARGIN + LABEL + index * row
        sheet.paste(cell(sample), (MARGIN, y))
        for place, image in enumerate(near):
            x = left + place * (w + GAP)
            sheet.paste(cell(image), (x, y))
            _caption(draw, x + w // 2, y + h, notes[index][place])
    return sheet


def _caption(draw: ImageDraw.ImageDraw, x: float, y: float, text: str) -> None:
    draw.text((x, y + 2), text, fill=PALE, font=ImageFont.load_default(size=12), anchor="mt")
