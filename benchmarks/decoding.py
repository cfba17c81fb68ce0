"""CPU time of decoding a JPEG, whole and at a fraction of its size, and how the pixels differ.

`python benchmarks/decoding.py`; with `--simplejpeg` that package decodes too, for comparison.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable

import numpy as np
from PIL import Image
from records import processor

from gankit.data.formats import Array
from gankit.data.formats.pixels import Form, read_pixels
from gankit.data.formats.resize import fit, reduction

CASES = (((960, 1280), 64), ((3024, 4032), 256), ((500, 375), 64), ((32, 32), 32))
PHOTOS, REPEATS, MEGAPIXELS, MOST = 3, 4, 8, 2_000  # decoded for each figure


def photo(height: int, width: int, rng: np.random.Generator) -> bytes:
    """Soft colours under the noise of a camera, as a JPEG of quality 90."""
    soft = rng.integers(0, 256, (max(2, height // 40), max(2, width // 40), 3), np.uint8)
    image = np.asarray(Image.fromarray(soft).resize((width, height), Image.Resampling.BICUBIC))
    noisy = image + rng.normal(0, 6, image.shape)
    stream = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def whole(data: bytes, side: int) -> Array:
    """As gankit decoded before it knew `Image.draft`."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(fit(image, (side, side))).transpose(2, 0, 1)


def at_a_fraction(data: bytes, side: int) -> Array:
    """As gankit decodes."""
    with Image.open(io.BytesIO(data)) as image:
        return read_pixels(image, 0, Form(3, (side, side)))


def by_simplejpeg(data: bytes, side: int) -> Array:
    """The same by simplejpeg."""
    import simplejpeg

    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    part = reduction((height, width), (side, side))
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=height // part, min_width=width // part, min_factor=1)
    return np.asarray(fit(Image.fromarray(pixels), (side, side))).transpose(2, 0, 1)


def milliseconds(decode: Callable[[bytes, int], Array], photos: list[bytes], side: int, times: int) -> float:
    """CPU time of one decoding, the best of several series."""
    found = []
    for _ in range(REPEATS):
        before = time.process_time()
        for number in range(times):
            decode(photos[number % len(photos)], side)
        found.append((time.process_time() - before) / times)
    return 1000 * min(found)


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simplejpeg", action="store_true")
    ways = {"whole": whole, "gankit": at_a_fraction}
    ways |= {"simplejpeg": by_simplejpeg} if parser.parse_args().simplejpeg else {}
    rows = {}
    for (height, width), side in CASES:
        photos = [photo(height, width, np.random.default_rng(seed)) for seed in range(PHOTOS)]
        times = min(MOST, max(PHOTOS, int(MEGAPIXELS * 1e6 / (height * width))))
        ms = {name: milliseconds(decode, photos, side, times) for name, decode in ways.items()}
        row: dict[str, object] = {f"{name}_ms": round(value, 3) for name, value in ms.items()}
        for name, decode in list(ways.items())[1:]:
            row[f"{name}_ratio"] = round(ms["whole"] / ms[name], 2)
            other = np.abs(decode(photos[0], side).astype(int) - whole(photos[0], side))
            row[f"{name}_difference"] = {"mean": round(float(other.mean()), 3), "max": int(other.max())}
        rows[f"{height}x{width} -> {side}x{side}, at 1/{reduction((height, width), (side, side))}"] = row
    print(json.dumps({"cpu": processor(), "cases": rows}, indent=2))


if __name__ == "__main__":
    main()
