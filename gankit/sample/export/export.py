"""`gankit export`: a generator is captured, written, run where it will be run, compared, and only then given a name."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gankit.base.files import json_text, write_file
from gankit.base.text import printable
from gankit.errors import InputError
from gankit.sample.export import parity
from gankit.sample.export.folder import FOLDER, write_weights
from gankit.sample.export.formats import FORMATS, Making, Precision, require_packages
from gankit.sample.export.program import Form, Pixels, description, draw_inputs, program_of
from gankit.sample.export.quiet import quiet
from gankit.sample.generator import LoadOptions, TrainedGenerator, rebuild
from gankit.sample.latent_file import write_latents
from gankit.sample.latents import Latents
from gankit.store.find import generator_file
from gankit.store.generator_file import read

EXAMPLE = 3  # samples in the batch with which a graph is captured


@dataclass(frozen=True, kw_only=True)
class ExportOptions(LoadOptions):
    """How a generator is exported."""

    device: str = "cpu"
    to: str | None = None
    """'onnx', 'pt2', 'torchscript' or 'safetensors-hf'; None: as the suffix of the file says."""
    pixels: Pixels | None = None
    """uint8, as `gankit sample` gives them, or the floats of the network; None: uint8 where there are pixels."""
    precision: Precision = "fp32"
    opset: int | None = None
    """Of ONNX; None: that of the exporter."""
    seeds: Sequence[int] = ()
    """Whose z and y are written beside the file."""
    latents: Path | None = None
    """Where to; .json or .npz. None: NAME.seeds.npz beside the file."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    file: Path
    description: dict[str, Any]
    """What the file says of itself (see `program.description`), with the report of its parity."""
    bytes: int
    latents: Path | None = None

    def record(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "file": os.fspath(self.file),
            "bytes": self.bytes,
            "latents": None if self.latents is None else os.fspath(self.latents),
            **self.description,
        }


def export(checkpoint: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, **options: Any) -> Exported:
    """Write a generator as a file that runs without gankit; `options` are the fields of `ExportOptions`.

    InputError for what the format cannot hold and for a file that is not within its bound of the generator;
    ResourceError without the packages of the format. Nothing is written then.
    """
    given = ExportOptions(**options)
    path = Path(checkpoint)
    to, target = destination(path, None if out is None else Path(out), given.to)
    latents = _latents_path(target, given)
    if to == FOLDER:
        _refuse_for_weights(given)
    elif given.precision not in FORMATS[to].precisions:
        raise InputError(f"--precision {given.precision} is of ONNX files", hint="--to onnx, or --precision fp16")
    if given.opset is not None and to != "onnx":
        raise InputError("--opset is of ONNX files", hint="leave it out, or --to onnx")
    if to != FOLDER:
        require_packages(FORMATS[to])
    file = generator_file(path)
    header, tensors = read(file)
    trained = rebuild(file, header, tensors, given)
    if to == FOLDER:
        says = description(trained, Form.of(trained, None)) | {"format": to}
        exported = Exported(target, says, write_weights(target, trained, tensors, says))
    else:
        with quiet():
            data, says = _made(trained, to, given)
        write_file(target, data)
        exported = Exported(target, says, len(data))
    if latents is None:
        return exported
    _write_latents(latents, trained, given.seeds)
    return replace(exported, latents=latents)


def _made(trained: TrainedGenerator, to: str, options: ExportOptions) -> tuple[bytes, dict[str, Any]]:
    """The content of the file, and what it says of itself."""
    form = Form.of(trained, options.pixels)
    reference = program_of(trained, form)
    draws = [
        draw_inputs(trained, n, parity.SEED + n, parity.PSI.get(n, 1.0))
        for n in parity.batches_of(int(np.prod(form.shape)))
    ]
    half = options.precision == "fp16"
    program = program_of(trained, form, half=True) if half else reference
    example = draw_inputs(trained, EXAMPLE, parity.SEED)
    making = Making(program, example, options.precision, options.opset)
    kind = FORMATS[to]
    made, floats = kind.make(making)
    run = kind.runner(made.data(""))
    of_floats = run if floats is made else kind.runner(floats.data(""))
    found = parity.compare(reference, draws, run, of_floats, options.precision)
    timed = [inputs for inputs in draws if len(inputs[0]) in parity.LATENCY_BATCHES]
    says = description(trained, form) | {
        "format": to,
        "precision": options.precision,
        **made.facts,
        "parity": asdict(found),
        "latency_ms": {
            str(len(inputs[0])): {
                "file": round(parity.latency(run, inputs), 3),
                "pytorch": round(parity.latency(lambda given: reference(*given), inputs), 3),
            }
            for inputs in timed
        },
        "threads": torch.get_num_threads(),
    }
    data = made.data(json_text(says))
    if not torch.equal(kind.runner(data)(draws[1]), run(draws[1])):
        raise RuntimeError("a file with a description makes other samples than without")
    return data, says


def destination(checkpoint: Path, out: Path | None, to: str | None) -> tuple[str, Path]:
    """The format and the file; InputError for a suffix of another format."""
    suffixes = {kind.suffix: name for name, kind in FORMATS.items()}
    if to is None:
        if out is None or out.suffix not in suffixes:
            named = "" if out is None else f"{printable(out)}: "
            raise InputError(f"{named}which format?", hint=f"--to {', '.join([*FORMATS, FOLDER])}")
        to = suffixes[out.suffix]
    if to not in (*FORMATS, FOLDER):
        raise InputError(f"--to {printable(to)}: unknown format", hint=f"one of {', '.join([*FORMATS, FOLDER])}")
    if out is None:
        return to, Path(default_name(checkpoint, to))
    wanted = "" if to == FOLDER else FORMATS[to].suffix
    if out.suffix != wanted and (wanted or out.suffix in suffixes or out.suffix == ".safetensors"):
        what = f"ends in {wanted}" if wanted else "is a folder"
        raise InputError(
            f"{printable(out)}: what is written --to {to} {what}", hint=f"-o {out.stem or 'generator'}{wanted}"
        )
    return to, out


def default_name(checkpoint: Path, to: str) -> str:
    """'generator.onnx' for a run, 'a.onnx' for a.safetensors."""
    stem = checkpoint.stem if checkpoint.suffix == ".safetensors" else "generator"
    return f"{stem}-hf" if to == FOLDER else f"{stem}{FORMATS[to].suffix}"


def _refuse_for_weights(options: ExportOptions) -> None:
    changed = {"--pixels": options.pixels is not None, "--precision": options.precision != "fp32"}
    given = [flag for flag, is_given in changed.items() if is_given]
    if given:
        raise InputError(
            f"{given[0]} is of files that run: --to {FOLDER} keeps weights as they are", hint="leave it out"
        )


# -- the inputs of seeds -----------------------------------------------------------------------------------------------


def _latents_path(target: Path, options: ExportOptions) -> Path | None:
    if not options.seeds:
        if options.latents is not None:
            raise InputError("--latents without seeds", hint="--seeds 0-63")
        return None
    path = options.latents or target.with_name(f"{target.stem}.seeds.npz")
    if path.suffix not in (".npz", ".json"):
        raise InputError(f"{printable(path)}: latents are written as .npz or .json", hint="--latents seeds.json")
    if path.exists() and not _has_seeds(path):
        raise InputError(
            f"{printable(path)} is there already, and no file of seeds",
            hint="--latents says where the inputs of seeds are written: another name",
        )
    return path


def _has_seeds(path: Path) -> bool:
    """Whether a file is one that `_write_latents` has written."""
    try:
        if path.suffix == ".json":
            return "seeds" in json.loads(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            return "seeds.npy" in archive.namelist()
    except (OSError, ValueError, TypeError, zipfile.BadZipFile):
        return False


def _write_latents(path: Path, trained: TrainedGenerator, seeds: Sequence[int]) -> None:
    """z [N, z_dim] and y [N, K] of seeds, whose samples are those of `gankit sample`."""
    latents = Latents(trained.space.z(seeds), trained.conditions(seeds))
    if path.suffix == ".npz":
        write_latents(latents, path, trained, seeds=np.array(seeds, np.int64))
        return
    lists = {name: part.tolist() for name, part in (("z", latents.z), ("y", latents.y)) if part is not None}
    write_file(path, (json.dumps({"seeds": list(seeds), **lists}) + "\n").encode())
