"""Looking at data before training: what a set holds, and samples as the discriminator is shown them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gankit import core
from gankit.base.seeds import derive_seed
from gankit.data import Preparation, spaced
from gankit.data.loading import Survey, survey
from gankit.errors import InputError
from gankit.host import discovery
from gankit.machine import streams
from gankit.measure.metrics.duplicates import repeated
from gankit.modality import modality_of
from gankit.run.build import build_loop, data_spec, latent_space, make_sampler, own_streams
from gankit.run.observers.grids import POINTS_IN_PLOT
from gankit.run.plan import load_data, plan_run
from gankit.sample.pictures import picture
from gankit.settings.layers import Layer

LISTED = 10  # of a kind, in a line
LOOKED_AT = 2_000  # samples from which the values and the near-duplicates are known


@dataclass(frozen=True)
class DataSheet:
    """What a set holds, as far as headers and some samples tell."""

    data: str
    survey: Survey
    low: float
    """The smallest value of the samples that were looked at, after the levels were found."""
    high: float
    """The largest one."""
    looked_at: int
    duplicates: float | None
    """Share of near-duplicates among these samples; None for points."""
    shape: tuple[int, ...]
    """Of one sample in training, unless a size is given: that of the most common size."""

    @property
    def bytes(self) -> int:
        """Memory that all samples of this shape take."""
        return self.survey.count * modality_of(self.shape).dtype.itemsize * math.prod(self.shape)

    def facts(self) -> dict[str, Any]:
        """All of it as JSON values."""
        found = self.survey
        return {
            "data": self.data,
            "kind": found.spec.kind,
            "count": found.count,
            "shape": list(self.shape),
            "bytes": self.bytes,
            "sizes": [list(size) for size in found.sizes],
            "kinds": dict(found.kinds),
            "classes": dict(zip(found.names, found.classes, strict=True)),
            "attributes": {
                attribute.name: share for attribute, share in zip(found.attributes, found.shares, strict=True)
            },
            "values": [self.low, self.high],
            "looked_at": self.looked_at,
            "near_duplicates": self.duplicates,
            "left_out": dict(found.left_out),
            "notes": list(found.notes),
        }

    def lines(self) -> dict[str, str]:
        """The same for people: a heading and a line of text each."""
        found = self.survey
        what = modality_of(self.shape).describe(replace(found.spec, shape=self.shape))
        lines: dict[str, str] = {found.spec.kind: f"{found.count:,}, {what}, {self.bytes / 2**20:,.1f} MB in memory"}
        if len(found.sizes) > 1:
            lines["sizes"] = _listed([f"{height}x{width}" for height, width in found.sizes]) + " (most common first)"
        if found.kinds:
            lines["files"] = ", ".join(f"{count:,} {name}" for name, count in found.kinds.items())
        if found.classes:
            pairs = zip(found.names, found.classes, strict=True)
            lines["classes"] = _listed([f"{name} {count:,}" for name, count in pairs])
        lines |= self._attributes()
        looked = "" if self.looked_at == found.count else f" (in {self.looked_at:,} of them)"
        lines["values"] = f"{self.low:g} to {self.high:g}{looked}"
        if self.duplicates is not None:
            lines["copies"] = f"{self.duplicates:.1%} near-duplicates of another one{looked}"
        for number, (name, reason) in enumerate(list(found.left_out.items())[:LISTED]):
            lines[f"left out {number + 1}"] = f"{name}: {reason}"
        if len(found.left_out) > LISTED:
            lines["left out"] = f"{len(found.left_out):,} files; --json names all of them"
        if found.notes:
            lines["notes"] = "; ".join(found.notes)
        return lines

    def _attributes(self) -> dict[str, str]:
        """A line for the attributes that hold or not, with their shares, and one for the numbers."""
        found = self.survey
        pairs = list(zip(found.attributes, found.shares, strict=True))
        held = [f"{attribute.name} {share:.1%}" for attribute, share in pairs if attribute.kind == "binary"]
        numbers = [f"{a.name} {share:.4g} ± {a.std:.4g}" for a, share in pairs if a.kind == "number"]
        lines = {"attributes": f"{len(held):,}: {', '.join(held)}"} if held else {}
        return lines | ({"numbers": _listed(numbers)} if numbers else {})


def _listed(items: Sequence[str]) -> str:
    """'12: a, b, …': how many there are, and the first of them."""
    return f"{len(items):,}: {', '.join(items[:LISTED])}" + (", …" if len(items) > LISTED else "")


def data_sheet(data: str, how: Preparation, extensions: Sequence[str] = ()) -> DataSheet:
    """A first look at any data set; unreadable files are named and not an error."""
    plugins = [discovery.find(name, discovery.EXTENSIONS) for name in extensions]
    catalogue = core.compose_catalogues(plugins).catalogue("gankit_datasets")
    found = survey(data, catalogue, replace(how, on_bad_image="skip"))
    sample = found.sample(LOOKED_AT)
    skipped = ("->", "unreadable")  # the size of the sample is not that of training; what is left out is listed
    inferred = [note for note in sample.notes if not any(word in note for word in skipped)]
    spec = found.spec
    return DataSheet(
        data=data,
        survey=replace(found, notes=tuple(dict.fromkeys((*found.notes, *inferred)))),
        low=float(sample.samples.min()),
        high=float(sample.samples.max()),
        looked_at=len(sample),
        duplicates=repeated(spec, sample.samples),
        shape=(how.channels or spec.shape[0], *(how.size or found.sizes[0])) if spec.is_image else spec.shape,
    )


def preview(data: str, settings: Mapping[str, Any], n: int = 64) -> Image.Image:
    """`n` samples as the discriminator is shown them in the first step of training, with augmentation and all.

    `settings` are those of a run: `size`, `extensions`, `options`, …
    """
    chosen = {key: value for key, value in settings.items() if value}
    dataset = load_data(plan_run([Layer("argument", {**chosen, "data": data})]))
    if dataset.spec.kind == "points":
        return picture(dataset.samples[spaced(len(dataset), POINTS_IN_PLOT)])
    n = min(n, len(dataset))
    plan = plan_run([Layer("argument", {**chosen, "data": data, "batch": n, "precision": "fp32", "device": "cpu"})])
    device = torch.device("cpu")
    shown: list[Tensor] = []
    with own_streams(device):
        loop = build_loop(plan, data_spec(dataset, latent_space(plan, dataset)), device)
        sampler = make_sampler(plan, dataset, device, fresh_reals=loop.takes_fresh_reals)
        streams.seed_all(derive_seed(plan.config.seed, "step", 0))
        loop.networks.discriminator.register_forward_pre_hook(lambda _, given: shown.append(given[0].detach()))
        loop.step(sampler.batch(0))
        sampler.close()
    if not shown:
        raise InputError("the discriminator of this game is shown nothing in the first step", hint="another --variant")
    return picture(shown[0][:n].float().clamp(-1, 1))
