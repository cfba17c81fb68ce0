"""Durable atomic writes, canonical JSON, and safetensors files that are checked before they are loaded."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gankit.base.text import printable
from gankit.errors import GankitError, InputError, ResourceError

if TYPE_CHECKING:
    from torch import Tensor

MAX_HEADER_BYTES = 8 << 20
MAX_JSON_BYTES = 64 << 20

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")  # temporary names made by whole_file


def canonical_json(value: object) -> str:
    """A JSON value in canonical form: sorted keys, no blanks, no NaN. Equal values give equal text."""
    return json_text(value, sort_keys=True, separators=(",", ":"))


def json_text(value: object, **form: Any) -> str:
    """JSON that every encoding of Unicode can hold. NaN is a ValueError.

    A byte of a path that is not UTF-8, which Python keeps as a lone surrogate, is escaped, and reading gives it back.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, **form)
    return text.encode("utf-8", "backslashreplace").decode()


def sha256(data: bytes) -> str:
    """The hex digest of some bytes."""
    return hashlib.sha256(data).hexdigest()


def expanded(text: str) -> Path:
    """The path that a user wrote, whose ~ is a home folder; InputError for an unknown ~user."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"{printable(text)}: {error}", hint="write the whole path") from error


def write_new(path: Path, data: bytes) -> None:
    """Create a file, write all of its bytes and fsync it. The caller fsyncs the folder."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`: it becomes `path` when the block succeeds and is deleted when the block fails.

    The caller turns an OSError into an error message.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file so that a crash leaves the old or the new content, never a mixture."""
    try:
        with whole_file(path) as temporary:
            write_new(temporary, data)
        fsync_path(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_file(path: Path, data: bytes) -> None:
    """`write_durably`, in a folder that is made if it is missing; InputError where `path` is a folder."""
    if path.is_dir():
        raise InputError(f"{path} is a folder", hint="give a file with --out")
    try:
        make_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    write_durably(path, data)


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Make a folder of these files, whole or not at all, in place of an earlier one of the same files.

    InputError for a folder that holds anything else: nothing of it is touched.
    """
    folder = folder.resolve()  # '.' has no name
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    earlier = temporary.with_suffix(".old")
    try:
        if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - contents.keys()):
            raise InputError(f"{folder} holds other files already", hint="choose another place with --out")
        make_folder(temporary)
        for name, data in contents.items():
            write_new(temporary / name, data)
        fsync_path(temporary)
        if folder.exists():
            folder.rename(earlier)
        temporary.rename(folder)
        fsync_path(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(earlier, ignore_errors=True)


def fsync_path(path: Path) -> None:
    """Flush the content of a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, so that their names survive a power loss.

    The caller turns an OSError into an error message.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        fsync_path(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of killed writes in a folder. No other process may be writing there."""
    for path in folder.glob(".*.tmp"):
        if is_temporary(path):
            with suppress(OSError):
                path.unlink()


def is_temporary(path: Path) -> bool:
    """Whether the name is one that `whole_file` makes."""
    return _TEMPORARY.fullmatch(path.name) is not None


def cannot_write(path: Path, error: OSError) -> GankitError:
    """The error that reports a failed write."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "free some space; what was written before is intact" if full else "choose another place with --out"
    return ResourceError(f"cannot write {path}: {error.strerror}", hint=hint)


def write_json(path: Path, value: object) -> None:
    """Durably write a JSON file that is readable for people: indented, with sorted keys."""
    text = json_text(value, sort_keys=True, indent=2)
    write_durably(path, (text + "\n").encode())


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append a record to a JSON Lines file, whole or not at all. A last line that a crash cut short is ended first."""
    line = (json.dumps(record, allow_nan=False) + "\n").encode()
    try:
        with path.open("a+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
                line = b"\n" + line
            if file.write(line) != len(line):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise cannot_write(path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; InputError names the file if it holds anything else, NaN and infinity included."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path}: too large for a JSON file of gankit")
        value = json.loads(path.read_bytes(), parse_constant=_finite, parse_float=_finite)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} does not hold a JSON object")
    return value


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number[:30]} is not a finite number")
    return value


def pack_tensors(tensors: Mapping[str, Tensor], metadata: str | None = None) -> bytes:
    """Reproducible safetensors bytes with at most one metadata key, `gankit`.

    Tensors that share memory, such as tied weights, are written separately; loading copies the same values twice.
    """
    import safetensors.torch

    separate: dict[str, Tensor] = {}
    addresses = set()
    for name, tensor in tensors.items():
        contiguous = tensor.detach().cpu().contiguous()
        address = contiguous.untyped_storage().data_ptr()
        separate[name] = contiguous.clone() if address in addresses else contiguous
        addresses.add(address)
    return safetensors.torch.save(separate, None if metadata is None else {"gankit": metadata})


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names, dtypes, shapes and bytes: equal for equal tensors, independent of the file format."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def unpack_tensors(data: bytes, source: Path) -> tuple[dict[str, Tensor], str | None]:
    """Tensors and gankit's metadata of a safetensors file; its header is checked before any memory is allocated."""
    import safetensors
    import safetensors.torch

    header = _read_header(data, source)
    metadata = header.get("__metadata__", {})
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{source} is damaged: {error}", hint="copy it again, or use an older checkpoint") from error
    return tensors, metadata.get("gankit") if isinstance(metadata, dict) else None


def _read_header(data: bytes, source: Path) -> dict[str, Any]:
    if data[:2] == b"\x80\x02" or data[:4] == b"PK\x03\x04":
        raise InputError(f"{source} is a pickle or zip file", hint="gankit reads .safetensors only and never unpickles")
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > MAX_HEADER_BYTES or length > len(data) - 8:
        named = source.suffix.lower() == ".safetensors"
        hint = "copy it again" if named else "give a .safetensors file, such as a run's generator.safetensors"
        raise InputError(f"{source} is truncated or not a safetensors file", hint=hint)
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_refuse_duplicates)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} has a damaged header: {error}", hint="copy it again") from error
    if not isinstance(header, dict):
        raise InputError(f"{source} has a damaged header: not an object", hint="copy it again")
    return header


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse two tensors of one name, of which safetensors would silently keep the last."""
    merged = dict(pairs)
    if len(merged) != len(pairs):
        raise ValueError("a name occurs twice")
    return merged
