"""From a sampleable file to samples: rebuilds the generator and draws from it by seed."""

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
from gankit.base.seeds import derive_seed
from gankit.base.text import did_you_mean, printable
from gankit.contracts import DataSpec
from gankit.errors import InputError
from gankit.game.conditions import one_hot
from gankit.game.latent import LatentSpace
from gankit.game.state import check_fit, shapes
from gankit.host import discovery
from gankit.host.composition import Catalogues
from gankit.host.live import live
from gankit.machine.device import choose_device
from gankit.measure.features.extract import Source
from gankit.modality import Modality, modality_of
from gankit.sample.attributes import parse_attributes
from gankit.sample.latents import Latents, is_styled, mean_style, styles_of
from gankit.settings.option import NoOptions
from gankit.settings.validate import validate
from gankit.store.find import generator_file
from gankit.store.generator_file import GeneratorHeader, PluginRef, read


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator from a file, ready to sample: the network in eval mode, the header of the file, and the device."""

    module: nn.Module
    header: GeneratorHeader
    device: torch.device

    @property
    def data(self) -> DataSpec:
        """What its samples are."""
        return self.header.spec

    @property
    def modality(self) -> Modality:
        """What gankit knows of their kind."""
        return modality_of(self.data.shape)

    @property
    def space(self) -> LatentSpace:
        """Its inputs: z, and y if it is conditional."""
        return self.header.space

    @property
    def style_shape(self) -> tuple[int, ...]:
        """[L, W] of its styles; () for a generator that takes z only."""
        if not is_styled(self.module):
            return ()
        probe = Latents(*self.space.draw(1, 0))
        return tuple(styles_of(self.module, probe, self.device).shape[1:])

    def truncated(self, latents: Latents, psi: float) -> Latents:
        """Latents at `psi` times their distance from the mean: less variety, fewer odd samples.

        The mean is that of the styles, where the generator has some (Karras et al. 2019, appendix B), else that of z,
        which is 0. At 0 all are the mean; 1 changes nothing. InputError for a psi outside [0, 1].
        """
        if not 0 <= psi <= 1:
            raise InputError(f"truncation {psi:g}: it lies between 0 and 1", hint="0.7 is usual; 1 changes nothing")
        if psi == 1:
            return latents
        if not is_styled(self.module):
            return latents.at(latents.where * psi)
        ws, mean = styles_of(self.module, latents, self.device), mean_style(self.module, self.space, self.device)
        return Latents(ws=mean + psi * (ws - mean), names=latents.names)

    def label_of(self, name: int | str) -> int:
        """The label of a class given by name, else by index; InputError for an unconditional generator."""
        classes = self.data.classes
        if self.space.conditions is None:
            raise InputError("the generator is unconditional: it has no classes", hint="train it with --conditional")
        if not self.space.conditions.counts:
            names = "attributes" if self.data.attributes else "condition vectors"
            raise InputError(f"the generator takes {names}, not classes", hint="--label or --condition")
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
        truncation: float = 1.0,
        batch: int = 64,
    ) -> npt.NDArray[Any]:
        """`n` samples of the seeds seed, seed + 1, …, or one for each of `seeds`: images uint8 [N, H, W, C].

        Volumes are uint8 [N, D, H, W, C], signals float32 [N, T, C] in the units of the data, points float32 [N, D].
        A conditional generator uses the class `label` (name, else index), the attributes `label` ('smiling,male=0'; the
        others are as in the data), or the vector `condition`; without any, conditions are distributed as in the data.
        `truncation` below 1 draws nearer to the mean (see `truncated`). The sample of a seed does
        not depend on the rest of its batch, up to one grey level of rounding.
        """
        if (n is None) == (seeds is None):
            raise InputError("sample: give either n or seeds")
        numbers = [
            operator.index(s) for s in (range(seed, seed + n) if n is not None else [] if seeds is None else seeds)
        ]
        if not numbers or batch < 1 or min(numbers) < 0 or max(numbers) >= 2**63:
            raise InputError(f"sample: {len(numbers)} seeds, batch {batch}", hint="seeds lie in 0..2**63-1, batch >= 1")
        y = self.condition(label, condition)
        parts = (self.truncated(part, truncation) for part in self.latents(numbers, y, batch=batch))
        return np.concatenate([self.array(self.render(part)) for part in parts])

    def array(self, samples: Tensor) -> npt.NDArray[Any]:
        """Samples of `stream` as people get them, channels last."""
        return self.modality.array(samples, self.data)

    def condition(self, label: int | str | None = None, vector: Sequence[float] | None = None) -> Tensor | None:
        """y [K] of a class, of attributes (NaN for those that are as in the data) or of a vector; None without one."""
        if vector is not None:
            length = self.data.condition
            if not length:
                raise InputError("the generator is unconditional: it takes no vectors", hint="leave it out")
            if label is not None or len(vector) != length:
                what = f"a condition of {len(vector)} numbers" if label is None else "a label and a condition"
                raise InputError(f"{what}: the generator takes vectors of {length}", hint="give one such vector")
            return torch.tensor([float(value) for value in vector])
        if label is None:
            return None
        if self.data.attributes:
            return parse_attributes(str(label), self.data.attributes)
        return one_hot(torch.tensor(self.label_of(label)), self.data.condition)

    def latents(self, seeds: Iterable[int], condition: Tensor | None = None, *, batch: int = 64) -> Iterator[Latents]:
        """z and y of seeds, `batch` at a time, in their order. Memory is constant.

        All have the condition y [K] if it is given, and numbers of it that are NaN are as in the data, one draw for
        each seed.
        """
        iterator = iter(seeds)
        while chunk := list(islice(iterator, batch)):
            yield Latents(self.space.z(chunk), self.conditions(chunk, condition))

    @torch.no_grad()
    def render(self, latents: Latents, *, batch: int = 64) -> Tensor:
        """The samples of latents, as data sets store them (see `Modality`)."""
        if latents.ws is None:
            draws = zip(*(torch.split(t, batch) for t in (latents.z, latents.y) if t is not None), strict=True)
            return torch.cat([draw(self.module, inputs, self.device) for inputs in draws])
        assert is_styled(self.module)
        parts = [self.module.synthesise(part.to(self.device)) for part in torch.split(latents.ws, batch)]
        return stored(torch.cat([part.float().cpu() for part in parts]))

    def stream(self, seeds: Iterable[int], condition: Tensor | None = None, *, batch: int = 64) -> Iterator[Tensor]:
        """The samples of seeds, as data sets store them, `batch` at a time (see `latents`)."""
        return map(self.render, self.latents(seeds, condition, batch=batch))

    def conditions(self, seeds: Sequence[int], condition: Tensor | None = None) -> Tensor | None:
        """y [N, K] of some seeds (see `stream`); None for an unconditional generator."""
        return None if self.space.conditions is None else self.space.conditions.of_seeds(seeds, condition)


@torch.no_grad()
def draw(module: nn.Module, inputs: Sequence[Tensor], device: torch.device) -> Tensor:
    """Samples for the generator's inputs (see `LatentSpace`), as data sets store them: uint8 images [N, C, H, W]."""
    return stored(module(*(tensor.to(device) for tensor in inputs)).float().cpu())


def stored(samples: Tensor) -> Tensor:
    """What a network made, [N, *shape] -> samples as data sets store them."""
    return modality_of(tuple(samples.shape[1:])).stored(samples).contiguous()


def latent_source(
    module: nn.Module, space: LatentSpace, first: int, device: torch.device, of_data: Tensor | None = None
) -> Source:
    """Samples of a generator by number: sample i has the latent seed `first + i`, as in `gankit sample`.

    `of_data` are the condition vectors [N, K] of the training data, from which y is drawn where the generator has only
    some of them.
    """
    sampled = space.conditions is not None and not space.conditions.complete

    def source(start: int, stop: int) -> Tensor:
        seeds = range(first + start, first + stop)
        y = None
        if sampled and of_data is not None:
            y = of_data[[derive_seed(seed, "condition") % len(of_data) for seed in seeds]]
        return draw(module, space.inputs(seeds, y), device)

    return source


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """The user's choices for rebuilding a generator."""

    device: str = "auto"
    """'auto', 'cpu', 'cuda', 'cuda:1', …"""
    variant: str | None = None
    """NAME, DIST:NAME or ./file.py instead of the installed variant that the file names."""
    extensions: Sequence[str] = ()
    """Extensions instead of all those that the file names."""


def load(
    path: str | Path, *, device: str = "cpu", variant: str | None = None, extensions: Sequence[str] = ()
) -> TrainedGenerator:
    """Read a generator from a .safetensors file or a run folder.

    No plugin is needed for core's generator. Otherwise the variant must be installed, or given as
    `variant="./file.py"`; the file itself never causes an import.
    """
    file = generator_file(Path(path))
    return rebuild(file, *read(file), LoadOptions(device=device, variant=variant, extensions=extensions))


def rebuild(file: Path, header: GeneratorHeader, tensors: dict[str, Tensor], options: LoadOptions) -> TrainedGenerator:
    """The generator of a file that has been read. Shapes are compared before memory is allocated."""
    target = choose_device(options.device)
    plugins, network_options = _compose(header, file, options)

    def build() -> nn.Module:
        network: nn.Module = plugins.hook.gankit_generator(
            data=header.spec, z_dim=header.z_dim, options=network_options
        )
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
    return TrainedGenerator(module.to(target).eval().requires_grad_(False), header, target)


def _compose(header: GeneratorHeader, file: Path, options: LoadOptions) -> tuple[Catalogues, object]:
    """The plugins that build the generator of a file, and the variant's options."""
    if header.core_generator and options.variant is None and not options.extensions:
        return core.compose_catalogues(), NoOptions()
    if options.variant is not None:
        variant = discovery.find(options.variant, discovery.VARIANTS)
        if variant.name != header.variant.name:
            raise InputError(f"{file} was trained with variant '{header.variant.name}', not '{variant.name}'")
    else:
        variant = _required(header.variant, discovery.VARIANTS, file)
    extensions = [discovery.find(name, discovery.EXTENSIONS) for name in options.extensions]
    extensions = extensions or [_required(ref, discovery.EXTENSIONS, file) for ref in header.extensions]
    composition = core.compose(variant, extensions, header.extension_options)
    where = f"variant '{header.variant.name}' in {file}"
    return composition, live(validate(composition.info.options, header.options, what="option", where=where)).options


def _required(ref: PluginRef, group: str, file: Path) -> discovery.Plugin:
    return discovery.require(ref.name, group, ref.dist, ref.version, file)
