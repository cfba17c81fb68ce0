"""Writes samples as a contact sheet, a folder or zip of single pictures, or an array file. Memory is constant.

The label of a sample is kept in every form that is read as data: classes are sub-folders, or an array of labels, and
attributes a metadata.csv beside the pictures, or an array of vectors with their names.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image

from gankit.base.files import cannot_write, read_json, whole_file, write_durably, write_file, write_json
from gankit.base.text import printable
from gankit.contracts import DataSpec
from gankit.data.formats import Array
from gankit.data.formats.colour import MODES
from gankit.data.formats.pictures import kind_by_suffix
from gankit.data.formats.sounds import FULL_SCALE, soundfile, wav
from gankit.data.formats.sources import LABEL_FILES, SOUNDS
from gankit.errors import InputError
from gankit.modality.images import to_image
from gankit.sample import metadata
from gankit.sample.directions import AS_THEY_ARE, Edit
from gankit.sample.generator import TrainedGenerator
from gankit.sample.latents import Latents
from gankit.sample.pictures import MAX_GRID, png
from gankit.sample.request import SAMPLE, Item, Request

MARK = ".gankit-samples.json"  # in a folder of samples: whose they are


def write_samples(request: Request, out: Path, *, replace: bool = False) -> None:
    """Write the samples of a request to `out`: x.png is a contact sheet, x.npz arrays, x.zip or a folder single files.

    Single files are PNGs of images and WAVs of sound. With labels a contact sheet has one row per label. Files get
    their final name only when they are complete. A folder of files that are not samples of this generator is refused;
    with `replace` samples of another one are deleted.
    """
    generator = request.generator
    if not request.seeds:
        raise InputError("no seeds to sample", hint="--seeds 0-63 or -n 64")
    kind = out.suffix.lower()
    if (kind and out.is_dir()) or (not kind and out.is_file()):
        what = "a folder" if kind else "a file without a suffix"
        raise InputError(f"{out} exists and is {what}", hint="a .png, .npz or .zip file, or a folder")
    if kind in ("", ".zip"):
        _one_file_each(generator.data, out)
    if kind not in ("", ".png", ".npz", ".zip"):
        raise InputError(f"{out}: unknown kind of output '{kind}'", hint="a .png, .npz or .zip file, or a folder")
    writer = {".png": _write_sheet, ".npz": _write_npz, ".zip": _write_zip, "": _write_folder}[kind]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not kind:
            _claim(request, out, replace)
        writer(request, out)
    except OSError as error:
        raise cannot_write(out, error) from error


def _write_sheet(request: Request, out: Path) -> None:
    g = request.generator
    if g.data.kind != "points" and len(request) > MAX_GRID:
        raise InputError(f"{out}: {len(request):,} samples do not fit one sheet", hint="-o FOLDER, x.zip or x.npz")
    samples = torch.cat(list(request.samples()))
    columns = len(request.seeds) if request.labels else None
    image = g.modality.picture(samples, columns=columns, captions=request.captions_of_cells)
    write_durably(out, png(image, text={"gankit": request.provenance()}))


def _claim(request: Request, out: Path, replace: bool) -> None:
    """Make the folder one for these samples, so that those of two generators never mix and are scored as one."""
    out.mkdir(exist_ok=True)
    mark = out / MARK
    before = read_json(mark) if mark.is_file() else None
    strange = next((path for path in _files(out)), None) if before is None else None
    if strange is not None:
        what = "labels" if strange.name in LABEL_FILES else "pictures"
        name = printable(strange.relative_to(out))
        raise InputError(
            f"{printable(out)} holds {what} that are not samples of gankit ({name})", hint="choose another folder"
        )
    if before not in (None, request.contents):
        what = f"{before.get('variant')} after {before.get('images_seen')} images"
        if not replace:
            same = before.get("weights") == request.contents["weights"]
            raise InputError(
                f"{printable(out)} holds samples of another {'condition' if same else 'generator'} ({what})",
                hint="--replace deletes them, or choose another folder",
            )
        for path in list(_files(out)):
            if SAMPLE.fullmatch(path.name) or path == out / metadata.FILE:  # whatever else was put here is not ours
                path.unlink()
    write_json(mark, request.contents)


def _files(folder: Path) -> Iterator[Path]:
    """The samples and the files of labels that would be read with this folder as data."""
    found = ((path, path.suffix.lower()) for path in folder.rglob("*") if not path.name.startswith("."))
    return (
        path
        for path, suffix in found
        if suffix in SOUNDS or kind_by_suffix(suffix) is not None or path.name in LABEL_FILES
    )


def _write_folder(request: Request, out: Path) -> None:
    if request.generator.data.attributes:  # first: a picture without a row could not be read
        table = out / metadata.FILE
        with whole_file(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            with table.open(encoding="utf-8", newline="") if table.exists() else io.StringIO() as before:
                _write_metadata(request, stream, before)
    for name, data in _encoded(request):
        path = out / name
        path.parent.mkdir(exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_bytes(data)


def _write_zip(request: Request, out: Path) -> None:
    with whole_file(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        if request.generator.data.attributes:
            with archive.open(metadata.FILE, "w", force_zip64=True) as member:
                with io.TextIOWrapper(member, encoding="utf-8", newline="") as stream:
                    _write_metadata(request, stream, io.StringIO())
        for name, data in _encoded(request):
            archive.writestr(name, data)


def _write_metadata(request: Request, stream: IO[str], before: IO[str]) -> None:
    """The attributes of all samples of a folder or zip; `before` is the table that the folder had."""
    names = (item.name for item in request.items)
    samples = zip(names, (y for part in request.conditions() for y in part), strict=True)
    kept = metadata.other_rows(before, (item.name for item in request.items))
    metadata.write_metadata(stream, request.generator.data.attributes, samples, kept)


def _write_npz(request: Request, out: Path) -> None:
    g = request.generator
    parts = map(g.array, request.samples())
    first = next(parts)
    header = {"descr": first.dtype.str, "fortran_order": False, "shape": (len(request), *first.shape[1:])}
    # The name of the array tells its kind when it is read.
    name: str = "samples" if g.data.is_image else g.data.kind
    with whole_file(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            for part in chain([first], parts):
                member.write(np.ascontiguousarray(part).tobytes())
        numbers = np.array([item.number for item in request.items], np.int64)
        arrays = {"seeds" if request.given is None else "latents": numbers}
        if g.data.rate:
            arrays["rate"] = np.array(g.data.rate, np.int64)
        labels = [item.label for item in request.items if item.label is not None]
        if labels:
            arrays |= {"labels": np.array(labels, np.int64), "classes": np.array(g.data.classes)}
        vectors = list(request.conditions())
        if vectors:
            arrays["conditions"] = torch.cat(vectors).numpy()
        if g.data.attributes:
            arrays["names"] = np.array([attribute.name for attribute in g.data.attributes])
            arrays["scales"] = np.array([(a.mean, a.std) for a in g.data.attributes]).T
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)


def write_picture(
    picture: Image.Image | bytes,
    out: Path,
    generator: TrainedGenerator,
    seeds: Sequence[int],
    given: Latents | None = None,
    edit: Edit = AS_THEY_ARE,
) -> None:
    """Write one picture of a generator's samples, of seeds or of `given` latents; a PNG holds their provenance."""
    text = {"gankit": Request(generator, seeds, given=given, edit=edit).provenance()}
    write_file(out, picture if isinstance(picture, bytes) else png(picture, text=text))


def write_image(picture: Image.Image, out: Path, facts: dict[str, object]) -> None:
    """Write a PNG with some facts in its text chunk."""
    write_file(out, png(picture, text={"gankit": json.dumps(facts)}))


def _one_file_each(data: DataSpec, out: Path) -> None:
    """InputError for samples that have no files of their own."""
    hint = "write a .png plot or an .npz file"
    if data.kind == "signals" and data.units == FULL_SCALE and data.rate:
        soundfile()
    elif data.kind == "signals":
        raise InputError(f"{out}: signals that are no sound have no single files", hint=hint)
    elif not data.is_image:
        raise InputError(f"{out}: {data.kind} have no single files", hint=hint)
    elif data.shape[0] not in MODES:
        raise InputError(f"{out}: images of {data.shape[0]} channels have no single files", hint="write an .npz file")


def _encoded(request: Request) -> Iterator[tuple[str, bytes]]:
    """(file name, bytes) in order, encoded by threads, because zlib releases the interpreter's lock."""
    items, data = request.items, request.generator.data

    def encode(pair: tuple[Item, Array]) -> tuple[str, bytes]:
        item, sample = pair
        if data.kind == "signals":
            return item.name, wav(sample, data.rate)
        return item.name, png(to_image(sample), text={"gankit": request.provenance(item)})

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for part in map(request.generator.array, request.samples()):
            yield from pool.map(encode, zip(islice(items, len(part)), part, strict=True))
