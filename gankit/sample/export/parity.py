"""Whether an exported file makes what the generator makes: differences, their bounds, and how long both take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from gankit.errors import InputError
from gankit.sample.export.formats import Precision, Run
from gankit.sample.export.program import Inputs, Program

BATCHES = (1, 5, 16, 64)
MAX_NUMBERS = 1 << 24  # in the samples of a batch; of larger samples the large batches are left out
SEED = 0x6A6E  # of the inputs
PSI = {5: 0.7}  # the truncation of a batch; 1 of the others
LATENCY_BATCHES = (1, 16)
REPEATS = 5
LEVEL = 1 / 127.5  # of a pixel, in what a network makes


@dataclass(frozen=True)
class Bound:
    """How far a file may be from the generator, as a share of half the range of the samples: of [-1, 1], 1."""

    max: float
    mean: float


BOUNDS: dict[Precision, Bound] = {
    "fp32": Bound(max=1e-3, mean=1e-5),
    "fp16": Bound(max=0.05, mean=2e-3),
    "int8": Bound(max=0.5, mean=0.03),
}


@dataclass(frozen=True)
class Levels:
    """Differences of pixels."""

    values: int
    """How many were compared."""
    differ: int
    """How many of them differ."""
    max: int
    """Grey levels, at most."""


@dataclass(frozen=True)
class Parity:
    """Differences of a file from the generator, over all batches."""

    batches: tuple[int, ...]
    bound: Bound
    scale: float
    """Half of the range of the samples, of which differences and bounds are shares."""
    max: float
    """The largest difference before rounding."""
    mean: float
    """Their mean."""
    levels: Levels | None
    """Of what is rounded; None for floats."""


def batches_of(numbers: int) -> tuple[int, ...]:
    """The batches that are compared, for so many numbers in a sample."""
    return tuple(n for n in BATCHES if n <= 5 or n * numbers <= MAX_NUMBERS)


def compare(program: Program, draws: Sequence[Inputs], file: Run, floats: Run, precision: Precision) -> Parity:
    """The differences of a file from `program` in float32; InputError where they are not within the bound.

    `floats` runs the same graph without rounding; of a program that does not round it is the file.
    """
    _require_a_function(program, draws[0])
    bound, rounded = BOUNDS[precision], program.form.rounded
    wanted, found, pixels, wanted_pixels = [], [], [], []
    reference = program.giving("both") if rounded else program
    for inputs in draws:
        made, expected = floats(inputs), _run(reference, inputs)
        _same_form(made, expected[-1], len(inputs[0]))
        found.append(made.double())
        wanted.append(expected[-1].double())
        if rounded:
            pixels.append(file(inputs))
            wanted_pixels.append(expected[0])
    a, b = torch.cat(found), torch.cat(wanted)
    if rounded:
        a, b, scale = a.clamp(-1, 1), b.clamp(-1, 1), 1.0
    else:
        scale = float(b.max() - b.min()) / 2 or 1.0
    differences = (a - b).abs() / scale
    rounding = 4 * torch.finfo(torch.float32).eps * float(b.abs().max()) / scale  # of numbers far from 0
    batches = tuple(len(inputs[0]) for inputs in draws)
    levels = _levels(torch.cat(pixels), torch.cat(wanted_pixels)) if rounded else None
    parity = Parity(batches, bound, scale, float(differences.max()), float(differences.mean()), levels)
    allowed = Bound(bound.max + rounding, bound.mean + rounding)
    if not (parity.max <= allowed.max and parity.mean <= allowed.mean):  # NaN is not within it
        _refuse(precision, f"differs by {parity.max:.2g} ({parity.mean:.2g} on average) from the generator", bound)
    if levels is not None and levels.max > 1 + math.ceil(allowed.max / LEVEL):
        _refuse(precision, f"differs by {levels.max} grey levels from the generator", bound)
    return parity


def _require_a_function(program: Program, inputs: Inputs) -> None:
    if not all(map(torch.equal, _run(program, inputs), _run(program, inputs))):
        raise InputError(
            "the generator makes other samples of the same z: it draws random numbers of its own",
            hint="in its forward, draw them in training only; see docs/plugins.md",
        )


def _run(program: Program, inputs: Inputs) -> tuple[Tensor, ...]:
    with torch.no_grad():
        made = program(*inputs)
    return made if isinstance(made, tuple) else (made,)


def _same_form(found: Tensor, expected: Tensor, batch: int) -> None:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise InputError(
            f"the file makes {_form(found)} of a batch of {batch}, the generator {_form(expected)}: nothing is written",
            hint="in its forward, write z.shape[0] and not len(z) or a number",
        )


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _levels(found: Tensor, expected: Tensor) -> Levels:
    _same_form(found, expected, len(found))
    differences = (found.int() - expected.int()).abs()
    return Levels(differences.numel(), int((differences > 0).sum()), int(differences.max()))


def _refuse(precision: Precision, what: str, bound: Bound) -> None:
    raise InputError(
        f"the file {what}, and {precision} allows {bound.max:g} ({bound.mean:g}): nothing is written",
        hint="--precision fp32" if precision != "fp32" else "another --to, and please report it",
    )


def latency(run: Callable[[Inputs], object], inputs: Inputs) -> float:
    """Milliseconds of a call: the median of a few, after a first one."""
    run(inputs)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run(inputs)
        times.append(time.perf_counter() - started)
    return median(times) * 1e3
