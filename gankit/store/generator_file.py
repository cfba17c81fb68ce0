"""The sampleable file: one safetensors file whose single metadata key says how to rebuild the generator."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le, Len
from pydantic import StringConstraints, TypeAdapter, ValidationError
from torch import Tensor, nn

from gankit.base.files import canonical_json, pack_tensors, sha256, tensors_digest, unpack_tensors
from gankit.base.text import printable
from gankit.contracts import Attribute, DataSpec
from gankit.errors import InputError
from gankit.game.conditions import Conditions
from gankit.game.latent import LatentSpace
from gankit.settings.config import REPETITION_CHANGES
from gankit.settings.option import Prior

KIND = "gankit-generator"
SCHEMA = 1
MAX_METADATA = 2 << 20  # characters; the names of 4,096 classes and the condition vectors fit into it


@dataclass(frozen=True, kw_only=True)
class PluginRef:
    """A plugin as named in a file: never by a path or a module, so that a file cannot cause an import."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    dist: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] | None  # None for a file
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]{0,63}$")] | None

    def __str__(self) -> str:
        return f"{self.name} ({self.dist} {self.version})" if self.dist else f"{self.name} (a file)"


@dataclass(frozen=True, kw_only=True)
class GeneratorHeader:
    """The metadata of a sampleable file, stored as canonical JSON."""

    kind: str = KIND
    schema: int = SCHEMA
    gankit: str
    torch: str
    variant: PluginRef
    extensions: tuple[PluginRef, ...]
    core_generator: bool  # True: the network is core's, and no plugin is needed to sample
    shape: Annotated[tuple[Annotated[int, Ge(1), Le(1 << 24)], ...], Len(1, 4)]
    classes: tuple[str, ...]
    data: str
    data_fingerprint: str
    z_dim: Annotated[int, Ge(1), Le(1 << 20)]
    z_prior: Prior = "normal"
    conditions: Conditions | None = None  # None: unconditional
    attributes: tuple[Attribute, ...] = ()  # the numbers of condition vectors, where they have names
    config: dict[str, Any]
    options: dict[str, Any]
    extension_options: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    units: tuple[float, float] = (-1.0, 1.0)  # see `DataSpec`
    rate: Annotated[int, Ge(0)] = 0
    critic_spaces: tuple[str, ...] = ()  # the feature spaces on which its critic was built; scores in them are marked
    images_seen: int
    average_std: float | None = None  # of the profile, where the weights are an average by a power function
    step: int
    seed: int
    tensors_sha256: str
    preview_png: str | None  # base64 of a small picture

    def __post_init__(self) -> None:
        if self.attributes and (self.conditions is None or len(self.attributes) != self.conditions.length):
            raise ValueError("attributes without a condition of their number")

    @property
    def spec(self) -> DataSpec:
        """What the network was built for: shape, classes and condition of the samples."""
        spec = DataSpec(self.shape, self.classes, units=self.units, rate=self.rate)
        if self.conditions is None:
            return spec
        classes = self.classes if self.conditions.vectors is None else ()
        return dataclasses.replace(spec, classes=classes, condition=self.conditions.length, attributes=self.attributes)

    @property
    def space(self) -> LatentSpace:
        """The inputs of the generator."""
        return LatentSpace(self.z_dim, self.z_prior, self.conditions)

    def describe(self) -> dict[str, Any]:
        """The origin of samples of this generator, for the record of a score.

        `settings` is equal for runs that differ only by their seed.
        """
        config = {key: value for key, value in self.config.items() if key not in REPETITION_CHANGES}
        settings = [config, self.options, self.extension_options]
        return {
            "kind": "generator",
            "variant": self.variant.name,
            "settings": sha256(canonical_json(settings).encode())[:16],
            "training_seed": self.seed,
            "tensors_sha256": self.tensors_sha256,
        }


@dataclass(frozen=True)
class Packed:
    """A sampleable file before it is written."""

    header: GeneratorHeader
    data: bytes


def pack(module: nn.Module, header: Mapping[str, Any]) -> Packed:
    """The bytes of a file with the module's state and the header; equal states give equal bytes."""
    tensors = module.state_dict()
    complete = GeneratorHeader(**header, tensors_sha256=tensors_digest(tensors))
    metadata = canonical_json(dataclasses.asdict(complete))
    if len(metadata) > MAX_METADATA:  # it could not be read back
        raise InputError(
            f"the description of the generator has {len(metadata):,} characters, more than {MAX_METADATA:,}",
            hint="shorter names of classes, or fewer of them",
        )
    return Packed(complete, pack_tensors(tensors, metadata))


def read(path: Path) -> tuple[GeneratorHeader, dict[str, Tensor]]:
    """The verified header and tensors of a sampleable file; InputError says what is wrong with it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read checkpoint {path}: {error.strerror}", hint="give a .safetensors file or a run"
        ) from error
    tensors, metadata = unpack_tensors(data, path)
    header = _parse_header(metadata, path)
    if tensors_digest(tensors) != header.tensors_sha256:
        raise InputError(f"{path} is damaged: its tensors do not match their digest", hint="copy it again")
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise InputError(f"{path}: '{printable(broken[0])}' holds numbers that are not finite", hint="use another one")
    return header, tensors


def _parse_header(metadata: str | None, path: Path) -> GeneratorHeader:
    if not isinstance(metadata, str) or len(metadata) > MAX_METADATA:
        raise InputError(f"{path} is not a generator written by gankit", hint="give a run's generator.safetensors")
    try:
        values = json.loads(metadata)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} has damaged metadata: {error}") from error
    if not isinstance(values, dict) or values.get("kind") != KIND or not isinstance(values.get("schema"), int):
        raise InputError(f"{path} is not a generator written by gankit", hint="give a run's generator.safetensors")
    if values["schema"] > SCHEMA:
        raise InputError(
            f"{path} was written by a newer gankit (schema {values['schema']}, this one reads {SCHEMA})",
            hint="pip install --upgrade gankit",
        )
    try:
        return TypeAdapter(GeneratorHeader).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(f"{path} has damaged metadata: {field}: {first['msg']}") from None
