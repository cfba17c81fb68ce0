"""A packed data set: images decoded once into one flat file, which training reads through a memory map.

    bytes 0..64   magic, format version, length of the header, sha256 of the header, zeros
    samples       uint8 [N, C, H, W], exactly the memory of `Dataset.samples`
    labels        int64 [N], if there are any
    conditions    float32 [N, K], if there are any
    header        JSON; it comes last because the number of decoded images is known last

All numbers are little-endian, and there is nothing between or after these sections.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import struct
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Annotated, ClassVar

import numpy as np
import torch
from annotated_types import Ge, Le, MaxLen
from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError
from torch import Tensor

from gankit import __version__
from gankit.base import progress
from gankit.base.files import canonical_json
from gankit.base.text import printable
from gankit.contracts import Attribute, DataSpec
from gankit.data.dataset import Dataset, as_bytes, blocks, content_digest
from gankit.data.formats.format import Format, decoded
from gankit.data.preparation import AS_THEY_ARE, Preparation
from gankit.errors import InputError

SUFFIX = ".gkpack"
MAGIC = b"\x93GKPACK"
VERSION = 1
START = 64  # offset of the first sample, in bytes
MAX_HEADER_BYTES = 64 << 20
BLOCKS_CHECKED = 8  # blocks compared with their digests when a file is opened

_PREAMBLE = struct.Struct("<7sBQ32s16x")
_dice = random.SystemRandom()  # independent of every seeded stream
_HINT = "pack the data again, or copy the file again"

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Side = Annotated[int, Ge(1), Le(32_768)]


@dataclass(frozen=True, kw_only=True)
class PackHeader:
    """The header of a packed file."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    shape: tuple[Annotated[int, Ge(1), Le(1 << 40)], Annotated[int, Ge(1), Le(4)], Side, Side]  # (N, C, H, W)
    classes: Annotated[tuple[Annotated[str, MaxLen(4096)], ...], MaxLen(1_000_000)] | None  # None: no labels
    conditions: Annotated[int, Ge(1), Le(1 << 20)] | None  # K
    notes: Annotated[tuple[Annotated[str, MaxLen(10_000)], ...], MaxLen(1000)]  # what was inferred, for the user
    fingerprint: Digest  # `Dataset.fingerprint`, equal to that of the unpacked data
    blocks: tuple[Digest, ...]  # digests of the `blocks` of the samples
    rest: Digest  # digest of the labels and conditions
    source: Digest  # identity of the source (`Rows.identity`)
    made_by: Annotated[str, MaxLen(100)]
    attributes: tuple[Attribute, ...] = ()  # the numbers of the conditions, where they have names
    labels: tuple[Annotated[str, MaxLen(1000)], ...] | None = None  # the columns that were chosen, `--labels`
    image_column: Annotated[str, MaxLen(1000)] | None = None  # and that of the images, `--image-column`

    @property
    def samples_bytes(self) -> int:
        """Length of the samples."""
        return math.prod(self.shape)

    @property
    def rest_bytes(self) -> int:
        """Length of the labels and conditions."""
        return self.shape[0] * (8 * (self.classes is not None) + 4 * (self.conditions or 0))


def load_pack(path: Path, name: str, how: Preparation = AS_THEY_ARE) -> Dataset:
    """The data set in a packed file: the samples are mapped from the file, the labels are read.

    Columns that the user chooses were chosen when it was packed, and cannot be others now.

    The header (digest, types, limits), the exact length of the file, labels and conditions are verified, and up to 64
    MiB all samples, as in `check_pack`. In larger files the first, the last and six random blocks of 8 MiB are compared
    with their digests; a change elsewhere goes unnoticed. The fingerprint is the stored one, which is that of the
    unpacked data: a run may start with one and continue with the other. InputError when something is wrong.
    """
    with _opened(path) as file:
        header = _read_header(file, path)
        _check_columns(path, header, how)
        rest = file.read(header.rest_bytes)  # the file is positioned at the labels
        dataset = _dataset(file, header, rest, path, name)
    parts = list(enumerate(blocks(dataset.samples)))
    if len(parts) != len(header.blocks):
        raise _damaged(path, f"{len(header.blocks):,} digests for {len(parts):,} blocks")
    if len(parts) <= BLOCKS_CHECKED:
        _check_all(path, header, dataset)
    else:
        for number, block in (parts[0], *_dice.sample(parts[1:-1], BLOCKS_CHECKED - 2), parts[-1]):
            _check_block(path, header, number, as_bytes(block))
    # Fills the cache of the property. A copy with other samples by dataclasses.replace computes it anew.
    vars(dataset)["fingerprint"] = header.fingerprint
    return dataset


def read_pack_header(path: Path) -> PackHeader:
    """The header of a packed file; no samples are read."""
    with _opened(path) as file:
        return _read_header(file, path)


def check_pack(path: Path) -> PackHeader:
    """Read a whole packed file and compare it with its digests; InputError says where it differs."""
    header = read_pack_header(path)
    _check_all(path, header, load_pack(path, "data"))
    return header


def mapped_samples(file: IO[bytes], shape: tuple[int, ...]) -> Tensor:
    """The uint8 samples of a packed file, read on access; they must not be written to."""
    array = np.memmap(file, np.uint8, "r", START, shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of read-only memory
        return torch.from_numpy(array)


def seal(file: IO[bytes], dataset: Dataset, source: str, how: Preparation = AS_THEY_ARE) -> PackHeader:
    """Complete a file that holds the samples of `dataset`: write labels, conditions, header and preamble, and fsync.

    The samples are read back once for their digests. `how` is what the user chose.
    """
    parts = blocks(dataset.samples)
    digests: list[str] = []

    def visit(block: memoryview) -> None:
        digests.append(hashlib.sha256(block).hexdigest())
        progress.tell("sealing", len(digests), len(parts))

    rest = b"".join(as_bytes(tensor) for tensor in (dataset.labels, dataset.conditions) if tensor is not None)
    fingerprint = content_digest(dataset, visit)
    count, channels, height, width = dataset.samples.shape
    values = {
        "shape": [count, channels, height, width],
        "classes": None if dataset.labels is None else dataset.spec.classes,
        "conditions": None if dataset.conditions is None else dataset.conditions.shape[1],
        "notes": dataset.notes,
        "fingerprint": fingerprint,
        "blocks": digests,
        "rest": hashlib.sha256(rest).hexdigest(),
        "source": source,
        "made_by": f"gankit {__version__}",
        "attributes": [asdict(attribute) for attribute in dataset.spec.attributes],
        "labels": how.labels,
        "image_column": how.image_column,
    }
    data = canonical_json(values).encode()
    header = _parse(data, f"data set '{printable(dataset.name)}' cannot be packed")
    file.seek(START + header.samples_bytes)
    file.write(rest)
    file.write(data)
    file.truncate()
    file.seek(0)
    file.write(_PREAMBLE.pack(MAGIC, VERSION, len(data), hashlib.sha256(data).digest()))
    file.flush()
    os.fsync(file.fileno())
    return header


def _check_columns(path: Path, header: PackHeader, how: Preparation) -> None:
    """InputError where the user chooses other columns than when the file was packed."""
    labels = None if header.labels is None else ",".join(header.labels)
    wanted = None if how.labels is None else ",".join(how.labels)
    for flag, now, then in (("--labels", wanted, labels), ("--image-column", how.image_column, header.image_column)):
        if now is not None and now != then:
            packed = f"with {flag} {printable(then)}" if then is not None else f"without {flag}"
            raise InputError(
                f"{printable(path)} was packed {packed}", hint=f"leave {flag} out, or pack the data again with it"
            )


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{printable(path)}: cannot be read: {error.strerror}", hint="check the path") from error


def _read_header(file: IO[bytes], path: Path) -> PackHeader:
    """The verified header; the file is then positioned at the labels."""
    start = file.read(START)
    if len(start) < START or not start.startswith(MAGIC):
        raise _damaged(path, "it does not start as one" if len(start) == START else "it is cut short")
    _, version, length, digest = _PREAMBLE.unpack(start)
    if version != VERSION:
        raise InputError(
            f"{printable(path)} is a packed data set of format {version}; this gankit reads {VERSION}",
            hint="pip install --upgrade gankit, or pack the data again",
        )
    size = file.seek(0, os.SEEK_END)
    if length > min(MAX_HEADER_BYTES, size - START):
        raise _damaged(path, f"it claims a header of {length:,} bytes in a file of {size:,}")
    file.seek(size - length)
    data = file.read(length)
    if hashlib.sha256(data).digest() != digest:
        raise _damaged(path, "its header does not match its digest: the file is cut short or was changed")
    header = _parse(data, f"{printable(path)}: not a sound packed data set")
    declared = START + header.samples_bytes + header.rest_bytes + length
    if declared != size:
        raise _damaged(path, f"it declares {declared:,} bytes, but holds {size:,}")
    file.seek(START + header.samples_bytes)
    return header


def _parse(data: bytes, what: str) -> PackHeader:
    try:
        return TypeAdapter(PackHeader).validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, ("header", *first["loc"])))
        raise InputError(f"{what}: {printable(field)}: {printable(first['msg'])}", hint=_HINT) from None


def _dataset(file: IO[bytes], header: PackHeader, rest: bytes, path: Path, name: str) -> Dataset:
    if hashlib.sha256(rest).hexdigest() != header.rest:
        raise _damaged(path, "its labels do not match their digest")
    count, labelled = header.shape[0], header.classes is not None
    labels = np.frombuffer(rest, "<i8", count).copy() if labelled else None
    conditions = None
    if header.conditions is not None:
        vectors = np.frombuffer(rest, "<f4", offset=8 * count * labelled)
        conditions = torch.from_numpy(vectors.reshape(count, header.conditions).copy())
        if not bool(torch.isfinite(conditions).all()):
            raise _damaged(path, "some of its condition vectors are NaN or infinite")
    try:
        return Dataset(
            name=name,
            spec=DataSpec(shape=header.shape[1:], classes=header.classes or (), attributes=header.attributes),
            samples=mapped_samples(file, header.shape),
            labels=None if labels is None else torch.from_numpy(labels),
            notes=header.notes,
            conditions=conditions,
        )
    except OSError as error:
        raise InputError(f"{printable(path)}: cannot be mapped: {error.strerror}", hint=_HINT) from error


def _check_all(path: Path, header: PackHeader, dataset: Dataset) -> None:
    number = 0

    def visit(block: memoryview) -> None:
        nonlocal number
        _check_block(path, header, number, block)
        number += 1
        progress.tell("checking", number, len(header.blocks))

    if content_digest(dataset, visit) != header.fingerprint:
        raise _damaged(path, "its content does not have the fingerprint that its header states")


def _check_block(path: Path, header: PackHeader, number: int, data: memoryview) -> None:
    if hashlib.sha256(data).hexdigest() != header.blocks[number]:
        rows = len(data) // math.prod(header.shape[1:])
        first = number * rows if number + 1 < len(header.blocks) else header.shape[0] - rows
        raise _damaged(path, f"images {first:,} to {first + rows - 1:,} do not match their digest")


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{printable(path)}: not a sound packed data set: {printable(reason)}", hint=_HINT)


PACK = Format(
    "gkpack",
    "`x.gkpack`",
    "what `gankit data pack` has decoded; read through a memory map, so it may be larger than the memory",
    claims=lambda request: request.start.startswith(MAGIC),
    open=decoded(lambda request: load_pack(request.path, request.name, request.how), applies_range=False),
    labels=True,
    image_column=True,
    splits=False,
)
