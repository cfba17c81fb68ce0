"""An average of the generator of any width, from the snapshots that `--with power-ema` keeps (Karras et al., 2024)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gankit.base.seeds import derive_seed
from gankit.base.text import printable
from gankit.errors import InputError
from gankit.game.ema import refresh_statistics
from gankit.game.latent import LatentSpace
from gankit.game.power_average import Profile, exponent_of, solve, std_of_halflife
from gankit.sample.generator import LoadOptions, TrainedGenerator, rebuild
from gankit.sample.pictures import PREVIEW_SAMPLES, generate, preview
from gankit.settings.config import RESUMABLE_CHANGES
from gankit.store.generator_file import GeneratorHeader, Packed, pack, read
from gankit.store.run_folder import RunFolder

FOLDER = "averages"
"""In a run folder: the snapshots, each a sampleable file."""
STATISTICS_SAMPLES, STATISTICS_BATCH = 512, 64  # on which running statistics of an averaged generator are measured


@dataclass(frozen=True)
class Reconstructed:
    """An average that was put together."""

    packed: Packed
    """Its sampleable file."""
    std: float
    """Standard deviation of its profile, as a share of the images."""
    snapshots: int
    """How many it was put together from."""
    error: float
    """The distance of the profile from that of the wanted average, relative to it."""


def reconstruct(
    run: Path, *, std: float | None = None, halflife: int | None = None, options: LoadOptions | None = None
) -> Reconstructed:
    """The average with this relative standard deviation, or with this half-life in images, at the end of the run.

    InputError for a folder without snapshots, for fewer than two of them and for those of several runs.
    """
    if (std is None) == (halflife is None):
        raise InputError("one of --std and --halflife says which average", hint="--std 0.08, or --halflife 20k")
    files = snapshots_of(run)
    headers = [read(file)[0] for file in files]
    _check_same(run, files, headers)
    last = max(range(len(files)), key=lambda i: headers[i].images_seen)
    images = headers[last].images_seen
    if halflife is not None:
        std = std_of_halflife(halflife / images)
    assert std is not None
    profiles = [Profile(exponent_of(h.average_std or 0.0), h.images_seen) for h in headers]
    solved = solve(profiles, Profile(exponent_of(std), images))
    tensors, newest = _combined(files, [float(factor) for factor in solved.factors], last)
    generator = rebuild(files[last], headers[last], tensors, options or LoadOptions(device="cpu"))
    buffers = {name for name, _ in generator.module.named_buffers()}
    if buffers:  # those of the newest snapshot, which no profile applies to; running statistics are measured
        generator.module.load_state_dict({n: newest[n] if n in buffers else t for n, t in tensors.items()})
        refresh_statistics(generator.module, statistics_inputs(generator.space, headers[last].seed, generator.device))
    return Reconstructed(_packed(generator, headers[last], std), std, len(files), solved.error)


def statistics_inputs(space: LatentSpace, seed: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    """Inputs of a generator for its running statistics, from a stream of their own: the same ones every time."""
    z, condition = space.draw(STATISTICS_SAMPLES, derive_seed(seed, "statistics"))
    inputs = (z,) if condition is None else (z, condition)
    for start in range(0, len(z), STATISTICS_BATCH):
        yield tuple(tensor[start : start + STATISTICS_BATCH].to(device) for tensor in inputs)


def snapshots_of(run: Path) -> list[Path]:
    """The snapshots in a run folder, by name; InputError where there are fewer than two."""
    folder = run / FOLDER
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if len(files) < 2:
        where = printable(run)
        what = f"{where} is not a run" if not RunFolder(run).exists else f"{where} keeps no averages"
        raise InputError(what, hint="train with --with power-ema, which keeps the two that others are made of")
    return files


def _check_same(run: Path, files: list[Path], headers: list[GeneratorHeader]) -> None:
    """InputError where a file is no snapshot, or one of another run."""
    for file, header in zip(files, headers, strict=True):
        if header.average_std is None:
            raise InputError(f"{printable(file)} is no average by a power function", hint="move it elsewhere")
        if _identity(header) != _identity(headers[0]):
            raise InputError(
                f"{printable(run / FOLDER)} holds averages of two runs", hint="keep those of one, and move the others"
            )


def _identity(header: GeneratorHeader) -> tuple[object, ...]:
    """What all snapshots of a run share: its settings but for those that a resume may change, its seed and its data."""
    settings = {key: value for key, value in header.config.items() if key not in RESUMABLE_CHANGES}
    return settings, header.options, header.extension_options, header.seed, header.data_fingerprint


def _combined(files: list[Path], factors: list[float], last: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The sum of all tensors with these factors, in float64, and the tensors of the last snapshot.

    In the sum those that are not floating are the last one's. One file after the other is read.
    """
    total: dict[str, Tensor] = {}
    newest: dict[str, Tensor] = {}
    for number, (file, factor) in enumerate(zip(files, factors, strict=True)):
        tensors = read(file)[1]
        newest = tensors if number == last else newest
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                total[name] = total.get(name, torch.zeros(())) + factor * tensor.double()
    return {name: total[name].to(tensor.dtype) if name in total else tensor for name, tensor in newest.items()}, newest


def _packed(generator: TrainedGenerator, header: GeneratorHeader, std: float) -> Packed:
    """The sampleable file, with the header of the last snapshot."""
    drawn = generate(generator.module, *header.space.draw(PREVIEW_SAMPLES, derive_seed(header.seed, "grid")))
    facts = {field.name: getattr(header, field.name) for field in dataclasses.fields(header)}
    del facts["tensors_sha256"]
    return pack(generator.module, {**facts, "average_std": std, "preview_png": preview(drawn)})
