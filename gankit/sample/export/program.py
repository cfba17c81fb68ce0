"""What is exported: one module from z, y and psi to samples as people get them, and a description of both ends."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from gankit import __version__
from gankit.errors import InputError
from gankit.sample.generator import TrainedGenerator
from gankit.sample.latents import is_styled, mean_style

Pixels = Literal["uint8", "float"]
Inputs = tuple[Tensor, ...]  # (z, psi), or (z, y, psi)

LAYOUTS = {1: "ND", 2: "NTC", 3: "NHWC", 4: "NDHWC"}  # of samples as people get them
RAW_LAYOUTS = {1: "ND", 2: "NCT", 3: "NCHW", 4: "NCDHW"}  # of what networks make


@dataclass(frozen=True)
class Form:
    """The form of the samples that leave a program."""

    raw: bool
    """What the network makes, [N, *shape]; otherwise samples as `gankit sample` gives them, channels last."""
    rounded: bool
    """Whether they are rounded to the 256 levels of a pixel."""
    layout: str
    """'NHWC': the axes."""
    shape: tuple[int, ...]
    """Of one sample in that layout."""

    @classmethod
    def of(cls, trained: TrainedGenerator, pixels: Pixels | None) -> Form:
        """The form that was asked for; InputError for pixels of what has none."""
        eight_bit = trained.modality.dtype == torch.uint8
        if pixels == "uint8" and not eight_bit:
            raise InputError(
                f"{trained.data.kind} have no pixels: they are float32 in the units of the data",
                hint="leave out --pixels",
            )
        shape = trained.data.shape
        if pixels == "float" and len(shape) > 1:
            return cls(True, False, RAW_LAYOUTS[len(shape)], shape)
        return cls(False, eight_bit, LAYOUTS[len(shape)], (*shape[1:], shape[0]) if len(shape) > 1 else shape)


class Program(nn.Module):
    """(z [N, z_dim], psi []) -> samples; see `ConditionalProgram` for generators that take y.

    `half` does the arithmetic of the network in 16 bits; inputs and floats that leave are float32 in any case. What
    leaves are `samples` in their form, the `floats` [N, *shape] that are rounded to them, or `both`.
    """

    mean: Tensor
    gives: Literal["samples", "floats", "both"] = "samples"

    def __init__(self, trained: TrainedGenerator, form: Form, *, half: bool = False) -> None:
        super().__init__()
        network = copy.deepcopy(trained.module).cpu().eval().requires_grad_(False)
        self.network = network.half() if half else network
        of = trained.module
        mean = mean_style(of, trained.space, trained.device) if is_styled(of) else torch.zeros(())
        self.register_buffer("mean", mean.half() if half else mean, persistent=False)
        self.dtype = torch.float16 if half else torch.float32
        self.modality, self.data, self.form = trained.modality, trained.data, form
        self.conditional = trained.space.conditions is not None

    def forward(self, z: Tensor, psi: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """z [N, z_dim] and psi [] -> samples."""
        return self.leaving(self.made(z, None, psi))

    def made(self, z: Tensor, y: Tensor | None, psi: Tensor) -> Tensor:
        """What the network makes, float32 [N, *shape], with the latents at psi times their distance from the mean."""
        z, psi = z.to(self.dtype), psi.to(self.dtype)
        condition = () if y is None else (y.to(self.dtype),)
        network: Any = self.network
        if not is_styled(network):
            samples: Tensor = network(z * psi, *condition)
            return samples.float()
        styles = network.map(z, *condition)
        samples = network.synthesise(styles - (1 - psi) * (styles - self.mean))  # to the last bit `styles` at 1
        return samples.float()

    def leaving(self, floats: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """float32 [N, *shape] -> samples in their form, rounded exactly as by `gankit sample`; or what `gives` says."""
        if self.form.raw or self.gives == "floats":
            return floats
        samples = self.modality.units(self.modality.stored(floats), self.data)
        return (samples, floats) if self.gives == "both" else samples

    def giving(self, gives: Literal["samples", "floats", "both"]) -> Self:
        """The same program, which shares its network, with something else leaving it."""
        twin = copy.copy(self)
        twin.gives = gives
        return twin

    @property
    def names(self) -> list[str]:
        """Of the inputs."""
        return ["z", "y", "psi"] if self.conditional else ["z", "psi"]


class ConditionalProgram(Program):
    """(z [N, z_dim], y [N, K], psi []) -> samples."""

    def forward(  # type: ignore[override]
        self, z: Tensor, y: Tensor, psi: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        """z [N, z_dim], y [N, K] and psi [] -> samples."""
        return self.leaving(self.made(z, y, psi))


def program_of(trained: TrainedGenerator, form: Form, *, half: bool = False) -> Program:
    """The program of a generator."""
    kind = Program if trained.space.conditions is None else ConditionalProgram
    return kind(trained, form, half=half).eval()


def draw_inputs(trained: TrainedGenerator, n: int, seed: int, psi: float = 1.0) -> Inputs:
    """Inputs of a program, drawn from its prior and from the conditions of the data."""
    z, y = trained.space.draw(n, seed)
    return tuple(part for part in (z, y, torch.tensor(psi)) if part is not None)


def description(trained: TrainedGenerator, form: Form) -> dict[str, Any]:
    """What a person needs to use the file and to know where it comes from, as JSON values."""
    header, data = trained.header, trained.data
    inputs: dict[str, Any] = {
        "z": {"shape": ["N", header.z_dim], "dtype": "float32", "prior": PRIORS[header.z_prior]},
    }
    if header.conditions is not None:
        meaning = "one-hot rows over the classes" if header.conditions.counts else "condition vectors"
        inputs["y"] = {"shape": ["N", header.conditions.length], "dtype": "float32", "meaning": meaning}
    inputs["psi"] = {"shape": [], "dtype": "float32", "meaning": "truncation: 1 changes nothing, 0 is the mean"}
    samples: dict[str, Any] = {"shape": ["N", *form.shape], "dtype": "uint8" if form.rounded else "float32"}
    samples["layout"] = form.layout
    samples["values"] = [0, 255] if form.rounded else [-1, 1] if form.raw else "units of the data"
    return {
        "kind": "gankit-export",
        "schema": 1,
        "gankit": __version__,
        "trained_with": header.gankit,
        "torch": torch.__version__,
        "variant": str(header.variant),
        "extensions": [str(extension) for extension in header.extensions],
        "data": header.data,
        "data_fingerprint": header.data_fingerprint,
        "images_seen": header.images_seen,
        "training_seed": header.seed,
        "tensors_sha256": header.tensors_sha256,
        "of": data.kind,
        "network_shape": list(header.shape),
        "classes": list(header.classes),
        "attributes": [vars(attribute) for attribute in header.attributes],
        "units": list(header.units),
        "rate": header.rate,
        "inputs": inputs,
        "output": {"samples": samples},
    }


PRIORS = {"normal": "N(0, 1)", "uniform": "uniform on [-1, 1]"}
