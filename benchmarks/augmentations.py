"""A picture of what the extension `ada` does: each transformation alone with probability 1, and groups of them.

    python benchmarks/augmentations.py --out docs/images/ada.png

Photographs of hands, 64x64, the same in every row.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from gankit.data import builtin_datasets
from gankit_extensions.ada_transforms import TRANSFORMS, Pipeline, shares_of

GROUPS = ("blit, geometry, colour", "blit, geometry, colour:0.5, cutout")
COUNT, SIDE, LABEL, GAP = 5, 64, 84, 6  # images in a row; their side, the width of a label and the gap in pixels


def main() -> None:
    """Rows in two columns, a label before each; below them the two groups over the whole width."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("ada.png"))
    out = parser.parse_args().out

    rows = [("as they are", ""), *((name, name) for name in TRANSFORMS)]
    tall = -(-len(rows) // 2)
    wide = LABEL + COUNT * SIDE + 2 * GAP
    page = Image.new("RGB", (2 * wide, (tall + len(GROUPS)) * (SIDE + GAP) + GAP), "white")
    for index, (label, transforms) in enumerate(rows):
        draw_row(page, index // tall * wide, index % tall, label, augmented(transforms, COUNT))
    for index, transforms in enumerate(GROUPS):
        label = transforms.replace(", ", "\n")
        draw_row(page, 0, tall + index, label, augmented(transforms, (2 * wide - LABEL - 2 * GAP) // SIDE))
    page.save(out)


def augmented(transforms: str, count: int) -> torch.Tensor:
    """So many hands in [-1, 1], [N, 3, 64, 64], augmented with probability 1."""
    images = builtin_datasets()["hands"]().samples[::150][:count].float() / 127.5 - 1
    torch.manual_seed(0)
    return Pipeline(shares_of(transforms))(images, 1.0) if transforms else images


def draw_row(page: Image.Image, left: int, row: int, label: str, images: torch.Tensor) -> None:
    """A label and the images after it."""
    top = GAP + row * (SIDE + GAP)
    ImageDraw.Draw(page).multiline_text((left + GAP, top + 4), label, fill="black")
    pixels = ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    for column, image in enumerate(pixels):
        page.paste(Image.fromarray(image), (left + GAP + LABEL + column * SIDE, top))


if __name__ == "__main__":
    main()
