"""From a sampleable file to samples: rebuild the generator, and draw from it by seed."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gankit import core
from gankit.base.text import did_you_mean, printable
from gankit.contracts import DataSpec
from gankit.errors import InputError, PluginError
from gankit.game.latent import LatentSpace, one_hot
from gankit.game.state import check_fit, shapes
from gankit.host import discovery
from gankit.host.composition import Composition
from gankit.host.live import live
from gankit.machine.device import choose_device
from gankit.sample.pictures import to_pixels
from gankit.settings.option import NoOptions
from gankit.settings.validate import validate
from gankit.store.generator_file import GeneratorHeader, PluginRef, read


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator from a file, ready to sample. `module` is the network in eval mode, `header` what the file says."""

    module: nn.Module
    header: GeneratorHeader
    device: torch.device

    @property
    def data(self) -> DataSpec:
        """What it makes: images (C, H, W) or points (D,)."""
        return self.header.spec

    @property
    def space(self) -> LatentSpace:
        """What it is given: z, and y when it was trained conditionally."""
        return self.header.space

    def label_of(self, name: int | str) -> int:
        """The label of a class given by name, else by index; InputError for an unconditional generator."""
        classes = self.data.classes
        if self.space.conditions is None:
            raise InputError("the generator is unconditional: it knows no classes", hint="train it with --conditional")
        if not self.space.conditions.counts:
            raise InputError("the generator knows condition vectors, not classes", hint="give a vector")
        if str(name) in classes:
            return classes.index(str(name))
        if str(name).isdecimal() and int(name) < len(classes):
            return int(name)
        listing = ", ".join(map(printable, classes[:20])) + (", …" if len(classes) > 20 else "")
        hint = f"{did_you_mean(str(name), classes)}classes: {listing}, or an index 0..{len(classes) - 1}"
        raise InputError(f"no class '{printable(str(name))}'", hint=hint)

    def sample(
        self,
        n: int | None = None,
        *,
        seed: int = 0,
        seeds: Iterable[int] | None = None,
        label: int | str | None = None,
        condition: Sequence[float] | None = None,
        batch: int = 64,
    ) -> npt.NDArray[Any]:
        """`n` samples of the seeds seed, seed + 1, …, or one for each of `seeds`: uint8 [N, H, W, C] or points [N, D].

        A conditional generator makes the class `label` (name, else index), or what the vector `condition` says;
        without either, as the data has them. A seed gives the same picture whatever stands beside it in the batch (up
        to one grey level of rounding).
        """
        if (n is None) == (seeds is None):
            raise InputError("sample: give either n or seeds")
        chosen = [
            operator.index(s) for s in (range(seed, seed + n) if n is not None else [] if seeds is None else seeds)
        ]
        if not chosen or batch < 1 or min(chosen) < 0 or max(chosen) >= 2**63:
            raise InputError(f"sample: {len(chosen)} seeds, batch {batch}", hint="seeds lie in 0..2**63-1, batch >= 1")
        return np.concatenate(list(self.stream(chosen, self.condition(label, condition), batch=batch)))

    def condition(self, label: int | str | None = None, vector: Sequence[float] | None = None) -> Tensor | None:
        """y [K] of a class or of a vector; None when neither is given."""
        if vector is not None:
            length = self.data.condition
            if not length:
                raise InputError("the generator is unconditional: it takes no vectors", hint="leave it out")
            if label is not None or len(vector) != length:
                what = f"a condition of {len(vector)} numbers" if label is None else "a label and a condition"
                raise InputError(f"{what}: the generator takes vectors of {length}", hint="give one such vector")
            return torch.tensor([float(value) for value in vector])
        return None if label is None else one_hot(torch.tensor(self.label_of(label)), self.data.condition)

    def stream(
        self, seeds: Iterable[int], condition: Tensor | None = None, *, batch: int = 64
    ) -> Iterator[npt.NDArray[Any]]:
        """Samples in batches, in the order of the seeds, all told y [K] if given; memory does not grow."""
        iterator = iter(seeds)
        while chunk := list(islice(iterator, batch)):
            told = None if condition is None else condition.expand(len(chunk), -1)
            yield draw(self.module, self.space.inputs(chunk, told), self.device)


@torch.no_grad()
def draw(module: nn.Module, inputs: Sequence[Tensor], device: torch.device) -> npt.NDArray[Any]:
    """Samples for the generator's inputs (see `LatentSpace`): uint8 [N, H, W, C] or float32 points [N, D]."""
    samples = module(*(tensor.to(device) for tensor in inputs)).float().cpu()
    return to_pixels(samples) if samples.ndim == 4 else samples.numpy()


def load(
    path: str | Path, *, device: str = "cpu", variant: str | None = None, extensions: Sequence[str] = ()
) -> TrainedGenerator:
    """Read a generator from a .safetensors file or a run folder.

    The file needs no plugin when its generator is core's own. Otherwise its variant must be installed, or given as
    `variant="./file.py"`: nothing is imported because a file says so.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "generator.safetensors"
    header, tensors = read(file)
    target = choose_device(device)
    module = rebuild(header, tensors, file, variant, extensions)
    return TrainedGenerator(module.to(target).eval().requires_grad_(False), header, target)


def rebuild(
    header: GeneratorHeader, tensors: dict[str, Tensor], file: Path, variant: str | None, extensions: Sequence[str]
) -> nn.Module:
    """The network of a header with its tensors in it. Sizes are compared before anything is allocated."""
    composition, options = _compose(header, file, variant, extensions)

    def build() -> nn.Module:
        network: nn.Module = composition.hook.gankit_generator(data=header.spec, z_dim=header.z_dim, options=options)
        return network

    try:
        with torch.device("meta"):
            blueprint = shapes(build().state_dict())
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"{file}: no generator can be built for it: {error}") from error
    check_fit(str(file), blueprint, shapes(tensors))
    with torch.random.fork_rng(devices=[]):
        module = build()
    module.load_state_dict(tensors)
    return module


def _compose(
    header: GeneratorHeader, file: Path, variant: str | None, extensions: Sequence[str]
) -> tuple[Composition, object]:
    if header.core_generator and variant is None and not extensions:
        return core.compose(None), NoOptions()
    if variant and (name := discovery.find(variant, discovery.VARIANTS).name) != header.variant.name:
        raise InputError(f"{file} was trained with variant '{header.variant.name}', not '{name}'")
    chosen = (
        discovery.find(variant, discovery.VARIANTS)
        if variant
        else _installed(header.variant, discovery.VARIANTS, file, "variant")
    )
    wanted = (
        [discovery.find(name, discovery.EXTENSIONS) for name in extensions]
        if extensions
        else [_installed(ref, discovery.EXTENSIONS, file, "extension") for ref in header.extensions]
    )
    composition = core.compose(chosen, wanted, header.extension_options)
    assert composition.info is not None
    where = f"variant '{header.variant.name}' in {file}"
    return composition, live(validate(composition.info.options, header.options, what="option", where=where)).options


def _installed(ref: PluginRef, group: str, file: Path, kind: str) -> discovery.Plugin:
    """The installed plugin a file asks for; a file never names code to import, only a package to install."""
    if ref.dist is None:
        flag = "--variant" if kind == "variant" else "--with"
        raise PluginError(
            f"{file} needs {kind} '{ref.name}', which was a file of its author's",
            hint=f"pass that file: {flag} ./FILE.py",
        )
    for plugin in discovery.installed(group):
        if plugin.name == ref.name and plugin.dist == ref.dist:
            return discovery.find(f"{ref.dist}:{ref.name}", group)  # which may not be allowed
    raise PluginError(
        f"{file} needs {kind} '{ref.name}' from {ref.dist} {ref.version}",
        hint=f"gankit install {ref.dist}=={ref.version}",
    )
