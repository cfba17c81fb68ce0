"""Directions in the latent space of a generator, by name: kept in a file beside it, and moves along them."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Len
from pydantic import StringConstraints, TypeAdapter, ValidationError
from torch import Tensor

from gankit.base.files import canonical_json, pack_tensors, unpack_tensors, write_durably
from gankit.base.text import did_you_mean, printable
from gankit.errors import InputError
from gankit.sample.generator import TrainedGenerator
from gankit.sample.latents import Latents, is_styled, styles_of

log = logging.getLogger("gankit")

KIND, SCHEMA = "gankit-directions", 1
SUFFIX = ".directions.safetensors"
MAX_DIRECTIONS = 10_000
FARTHEST = 1000  # standard deviations of a move
Method = Literal["sefa", "ganspace", "labels"]


@dataclass(frozen=True)
class Direction:
    """One direction; adding its vector once moves a sample by one standard deviation of the latents along it."""

    name: str
    vector: Tensor
    """float32 [z_dim], or [W] of a generator with styles."""
    method: Method
    """How it was found (see `gankit.sample.search`)."""
    strength: float
    """What the method says of it, in [0, 1]: the share of the squared change or of the variance, or a correlation."""


@dataclass(frozen=True)
class Move:
    """A direction, how far to go in standard deviations, and the layers of styles that take part (None: all)."""

    direction: Direction
    amount: float
    layers: tuple[int, int] | None = None

    def __call__(self, latents: Latents) -> Latents:
        """The latents, moved."""
        step = self.amount * self.direction.vector
        if latents.ws is None:
            return latents.at(latents.where + step)
        first, last = self.layers or (0, latents.ws.shape[1] - 1)
        ws = latents.ws.clone()
        ws[:, first : last + 1] += step
        return latents.at(ws)

    @property
    def text(self) -> str:
        """'smile@0-3=2', as `--move` has it."""
        layers = "" if self.layers is None else f"@{self.layers[0]}-{self.layers[1]}"
        return f"{self.direction.name}{layers}={self.amount:g}"


@dataclass(frozen=True)
class Edit:
    """What is done to latents before they become samples: truncation first, then moves."""

    psi: float = 1.0
    moves: tuple[Move, ...] = ()

    def __call__(self, latents: Latents, trained: TrainedGenerator) -> Latents:
        """The latents, edited; with moves those of a generator with styles are styles."""
        latents = trained.truncated(latents, self.psi)
        if self.moves and latents.ws is None and is_styled(trained.module):
            latents = Latents(ws=styles_of(trained.module, latents, trained.device), names=latents.names)
        for move in self.moves:
            latents = move(latents)
        return latents

    @property
    def facts(self) -> dict[str, object]:
        """For the provenance of samples; empty where nothing is done."""
        truncation = {} if self.psi == 1 else {"truncation": self.psi}
        return {**truncation, **({"moves": [move.text for move in self.moves]} if self.moves else {})}


AS_THEY_ARE = Edit()


def parse_moves(texts: Sequence[str], known: Mapping[str, Direction], trained: TrainedGenerator) -> tuple[Move, ...]:
    """['smile=2', 'sefa0@0-3=-1'] -> moves; InputError for what is no move, and for an unknown direction or layer."""
    moves = []
    for text in texts:
        name, _, amount = text.rpartition("=")
        try:
            distance = float(amount)
        except ValueError:
            distance = math.nan
        if not name or not math.isfinite(distance):
            raise InputError(f"--move {text}: not NAME=NUMBER", hint="for example --move sefa0=2")
        if abs(distance) > FARTHEST:
            raise InputError(
                f"{text}: farther than {FARTHEST:,} standard deviations", hint="samples lie within about 3 of the mean"
            )
        of_layers = None if name in known else re.fullmatch(r"(.+)@(\d{1,4})-(\d{1,4})", name)
        name, first, last = of_layers.groups() if of_layers else (name, None, None)
        if name not in known:
            names = ", ".join(map(printable, list(known)[:12])) + (", …" if len(known) > 12 else "")
            hint = f"{did_you_mean(name, known)}known are {names}" if known else "gankit directions finds some"
            raise InputError(f"no direction '{printable(name)}'", hint=hint)
        layers = None if first is None or last is None else (int(first), int(last))
        if layers is not None:
            styles = trained.module.styles if is_styled(trained.module) else 0
            if not layers[0] <= layers[1] < styles:
                hint = f"layers 0-{styles - 1}" if styles else "it has no styles: leave out @"
                raise InputError(f"--move {text}: the generator has no layers {first} to {last}", hint=hint)
        moves.append(Move(known[name], distance, layers))
    return tuple(moves)


# -- the file ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Entry:
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    method: Method
    strength: float


@dataclass(frozen=True, kw_only=True)
class _Header:
    kind: Literal["gankit-directions"]
    schema: int
    weights: str
    space: Literal["z", "w"]
    directions: Annotated[tuple[_Entry, ...], Len(0, MAX_DIRECTIONS)]


def directions_file(generator: Path) -> Path:
    """The file of directions beside a generator's."""
    return generator.with_name(generator.name.removesuffix(".safetensors") + SUFFIX)


def write_directions(directions: Sequence[Direction], path: Path, trained: TrainedGenerator) -> None:
    """Write a file of directions, all of it or nothing."""
    entries = [{"name": d.name, "method": d.method, "strength": d.strength} for d in directions]
    header = {
        "kind": KIND, "schema": SCHEMA, "weights": trained.header.tensors_sha256, "space": _space(trained),
        "directions": entries,
    }  # fmt: skip
    tensors = {f"{number}": direction.vector for number, direction in enumerate(directions)}
    write_durably(path, pack_tensors(tensors, canonical_json(header)))


def read_directions(path: Path, trained: TrainedGenerator) -> dict[str, Direction]:
    """The directions of a file by name; InputError for another file, and for directions of another space."""
    where = printable(path)
    try:
        tensors, metadata = unpack_tensors(path.read_bytes(), path)
    except FileNotFoundError:
        raise InputError(f"there is no {where}", hint="gankit directions finds directions and writes it") from None
    except OSError as error:
        raise InputError(f"cannot read directions {where}: {error.strerror}", hint="gankit directions") from error
    try:
        header = TypeAdapter(_Header).validate_python(json.loads(metadata or ""))
        vectors = [tensors[f"{number}"] for number in range(len(header.directions))]
    except (ValueError, RecursionError, KeyError, ValidationError) as error:
        raise InputError(f"{where} is no file of directions", hint="gankit directions writes one") from error
    if header.space != _space(trained):
        raise InputError(
            f"{where} has directions of {header.space}, the generator is moved in {_space(trained)}",
            hint="gankit directions finds its own",
        )
    shape = trained.style_shape[1:] or (trained.space.z_dim,)
    for vector in vectors:
        if tuple(vector.shape) != shape or vector.dtype != torch.float32 or not bool(vector.isfinite().all()):
            raise InputError(
                f"{where} has directions of {list(vector.shape)}, the generator takes {list(shape)}",
                hint="gankit directions finds its own",
            )
    if header.weights != trained.header.tensors_sha256:
        log.warning("%s was made for other weights of the generator: its directions may have turned", where)
    pairs = zip(header.directions, vectors, strict=True)
    return {entry.name: Direction(entry.name, vector, entry.method, entry.strength) for entry, vector in pairs}


def _space(trained: TrainedGenerator) -> str:
    return "w" if is_styled(trained.module) else "z"
