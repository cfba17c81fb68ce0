"""Where samples go: one contact sheet, a folder or zip of single pictures, or an array file. Memory stays flat."""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from gankit.errors import InputError
from gankit.pictures import Pixels, grid, plot, png, to_image
from gankit.sample import TrainedGenerator
from gankit.storage import cannot_write

Advance = Callable[[int], object]
MAX_GRID = 4096  # samples in one contact sheet


def write_samples(
    generator: TrainedGenerator, seeds: Sequence[int], out: Path, *, batch: int = 64, advance: Advance = int
) -> None:
    """One sample a seed, written to `out`: x.png is a contact sheet, x.npz arrays, x.zip or a folder single PNGs.

    Files appear under their final name only when they are whole. `advance(n)` is called as samples are done.
    """
    if not seeds:
        raise InputError("no seeds to sample", hint="--seeds 0-63 or -n 64")
    kind = out.suffix.lower()
    if (kind and out.is_dir()) or (not kind and out.is_file()):
        what = "a folder" if kind else "a file without a suffix"
        raise InputError(f"{out} exists and is {what}", hint="a .png, .npz or .zip file, or a folder")
    if kind in ("", ".zip") and not generator.data.is_image:
        raise InputError(f"{out}: points have no single pictures", hint="write a .png plot or an .npz file")
    if kind not in ("", ".png", ".npz", ".zip"):
        raise InputError(f"{out}: unknown kind of output '{kind}'", hint="a .png, .npz or .zip file, or a folder")
    writer = {".png": _write_sheet, ".npz": _write_npz, ".zip": _write_zip, "": _write_folder}[kind]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        writer(generator, seeds, out, batch, advance)
    except OSError as error:
        raise cannot_write(out, error) from error


def _write_sheet(g: TrainedGenerator, seeds: Sequence[int], out: Path, batch: int, advance: Advance) -> None:
    if g.data.is_image and len(seeds) > MAX_GRID:
        raise InputError(f"{out}: {len(seeds):,} samples do not fit one sheet", hint="-o FOLDER, x.zip or x.npz")
    parts = []
    for part in g.stream(seeds, batch=batch):
        parts.append(part)
        advance(len(part))
    samples = np.concatenate(parts)
    image = grid(samples) if g.data.is_image else plot(torch.from_numpy(samples))
    with _whole(out) as temporary:
        temporary.write_bytes(png(image, text={"gankit": _provenance(g, seeds)}))


def _write_folder(g: TrainedGenerator, seeds: Sequence[int], out: Path, batch: int, advance: Advance) -> None:
    out.mkdir(exist_ok=True)
    for name, data in _encoded(g, seeds, batch):
        with _whole(out / name) as temporary:
            temporary.write_bytes(data)
        advance(1)


def _write_zip(g: TrainedGenerator, seeds: Sequence[int], out: Path, batch: int, advance: Advance) -> None:
    with _whole(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, data in _encoded(g, seeds, batch):
            archive.writestr(name, data)
            advance(1)


def _write_npz(g: TrainedGenerator, seeds: Sequence[int], out: Path, batch: int, advance: Advance) -> None:
    channels_last = (*g.data.shape[1:], g.data.shape[0]) if g.data.is_image else g.data.shape
    dtype = np.dtype(np.uint8 if g.data.is_image else np.float32)
    header = {"descr": dtype.str, "fortran_order": False, "shape": (len(seeds), *channels_last)}
    with _whole(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("samples.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            for part in g.stream(seeds, batch=batch):
                member.write(np.ascontiguousarray(part).tobytes())
                advance(len(part))
        with archive.open("seeds.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, np.asarray(seeds, dtype=np.int64))


def _encoded(g: TrainedGenerator, seeds: Sequence[int], batch: int) -> Iterator[tuple[str, bytes]]:
    """(file name, PNG bytes) in order; zlib runs outside the interpreter's lock, so threads help."""
    position = 0

    def encode(item: tuple[int, Pixels]) -> tuple[str, bytes]:
        seed, pixels = item
        return f"seed{seed:06d}.png", png(to_image(pixels), text={"gankit": _provenance(g, [seed])})

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for part in g.stream(seeds, batch=batch):
            yield from pool.map(encode, zip(seeds[position : position + len(part)], part, strict=True))
            position += len(part)


def _provenance(g: TrainedGenerator, seeds: Sequence[int]) -> str:
    """What a picture says about itself in its text chunk."""
    origin = {"variant": g.header.variant.name, "images_seen": g.header.images_seen, "weights": g.header.tensors_sha256}
    return json.dumps({**origin, "seed": seeds[0] if len(seeds) == 1 else [seeds[0], seeds[-1], len(seeds)]})


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block succeeds and disappears when it fails."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
