"""Latents in a file: an .npz of the arrays `z` and `y`, or `ws`, which NumPy reads and writes as well."""

from __future__ import annotations

import io
import logging
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gankit.base.files import write_file
from gankit.base.text import printable
from gankit.errors import InputError
from gankit.sample.generator import TrainedGenerator
from gankit.sample.latents import Latents

log = logging.getLogger("gankit")

MAX_BYTES = 1 << 30
FILE_HINT = "`gankit project` writes one; by hand: np.savez('x.npz', z=array of [N, z_dim])"


def write_latents(latents: Latents, out: Path, trained: TrainedGenerator, **more: Any) -> None:
    """Write latents as an .npz of the arrays `z` and `y`, or `ws`, with `names`, and the digest of the generator.

    `more` are arrays with a row for each, such as errors.
    """
    arrays: dict[str, Any] = {key: tensor.numpy() for key in ("z", "y", "ws")
                              if (tensor := getattr(latents, key)) is not None}  # fmt: skip
    if latents.names:
        arrays["names"] = np.array(latents.names)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **more, weights=np.array(trained.header.tensors_sha256))
    write_file(out, buffer.getvalue())


def read_latents(path: Path, trained: TrainedGenerator) -> Latents:
    """Latents of a file for a generator; InputError says what is wrong with them.

    A generator of other weights makes other samples of them; that is said in the log.
    """
    arrays = _arrays(path)
    where = printable(path)
    z, y, ws = (_floats(arrays[key], key, where) if key in arrays else None for key in ("z", "y", "ws"))
    if (z is None) == (ws is None):
        raise InputError(f"{where} holds {', '.join(map(printable, arrays)) or 'nothing'}: z or ws", hint=FILE_HINT)
    wanted = {"z": (trained.space.z_dim,), "y": (trained.data.condition,), "ws": trained.style_shape}
    for key, tensor in (("z", z), ("y", y), ("ws", ws)):
        if tensor is None:
            continue
        if not (shape := wanted[key]) or not shape[0]:
            what = "styles" if key == "ws" else "conditions"
            raise InputError(f"{where} holds {what}, which the generator does not take", hint="latents of its own")
        if tuple(tensor.shape[1:]) != shape:
            takes = ", ".join(map(str, ("N", *shape)))
            raise InputError(
                f"{where}: {key} is {list(tensor.shape)}, the generator takes [{takes}]", hint="latents of its own"
            )
    count = len(z) if z is not None else len(ws) if ws is not None else 0
    if not count or (y is not None and len(y) != count):
        raise InputError(f"{where}: {count} latents with {0 if y is None else len(y)} conditions", hint=FILE_HINT)
    names = tuple(map(str, arrays["names"].tolist())) if "names" in arrays and arrays["names"].shape == (count,) else ()
    if str(arrays.get("weights", trained.header.tensors_sha256)) != trained.header.tensors_sha256:
        log.warning("%s was made for a generator of other weights: the samples will differ", where)
    return Latents(z, y, ws, names)


def _arrays(path: Path) -> dict[str, Any]:
    """The arrays of an .npz, or that of an .npy as `z`."""
    where = printable(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{where} has more than {MAX_BYTES >> 20:,} MB", hint="take fewer latents at a time")
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"z": loaded}
            return {key: loaded[key] for key in loaded.files}
    except OSError as error:
        raise InputError(f"cannot read latents {where}: {error.strerror or error}", hint=FILE_HINT) from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{where} holds no arrays that can be read", hint=FILE_HINT) from error


def _floats(array: Any, key: str, where: str) -> Tensor:
    if array.dtype.kind not in "fiu" or not (np.abs(array) <= np.finfo(np.float32).max).all():
        raise InputError(f"{where}: {key} holds something else than finite numbers of float32", hint=FILE_HINT)
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
