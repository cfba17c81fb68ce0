"""Generators to export, untrained and tiny: every variant, the conditional ones, every kind of data, other people's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from support import ROOT

from gankit import __version__, core
from gankit.contracts import DataSpec
from gankit.game.conditions import Conditions, Vectors
from gankit.host import discovery
from gankit.host.live import live
from gankit.settings.validate import validate
from gankit.store.generator_file import PluginRef, pack

DIGITS = Conditions(counts=(5,) * 10)
VECTORS = Conditions(vectors=Vectors.of(torch.randn(40, 3, generator=torch.Generator().manual_seed(0))))


@dataclass(frozen=True)
class Toy:
    """A generator that nobody trained."""

    variant: str
    shape: tuple[int, ...] = (3, 16, 16)
    conditions: Conditions | None = None
    options: dict[str, Any] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    units: tuple[float, float] = (-1.0, 1.0)

    @property
    def name(self) -> str:
        """For people."""
        kind = {1: "points", 2: "signals", 3: "", 4: "volumes"}[len(self.shape)]
        conditional = "" if self.conditions is None else "classes" if self.conditions.counts else "vectors"
        own = [str(value) for value in self.options.values() if isinstance(value, str)]
        return "-".join(filter(None, [Path(self.variant).stem, kind, conditional, *own, *self.extensions]))

    @property
    def found_by(self) -> list[str]:
        """The flag that names a variant of a file."""
        return ["--variant", self.variant] if "/" in self.variant else []

    def write(self, path: Path) -> Path:
        """Its sampleable file. The weights are those of the initialisation, a little away from where it begins."""
        variant = discovery.find(self.variant, discovery.VARIANTS)
        extensions = [discovery.find(name, discovery.EXTENSIONS) for name in self.extensions]
        composition = core.compose(variant, extensions, {})
        labels = tuple(map(str, range(10))) if self.conditions and self.conditions.counts else ()
        length = self.conditions.length if self.conditions else 0
        data = DataSpec(self.shape, labels, condition=length, units=self.units)
        options = live(validate(composition.info.options, self.options, what="option", where="a test")).options
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = composition.hook.gankit_generator(data=data, z_dim=16, options=options)
            with torch.no_grad():
                for parameter in network.parameters():  # nothing stays zero, as in a trained network
                    parameter.add_(0.02 * torch.randn_like(parameter))
        refs = [PluginRef(name=plugin.name, dist=plugin.dist, version=plugin.version) for plugin in composition.plugins]
        header = {
            "gankit": __version__,
            "torch": torch.__version__,
            "variant": refs[0],
            "extensions": tuple(refs[1:]),
            "core_generator": False,
            "shape": self.shape,
            "classes": labels,
            "data": "toy",
            "data_fingerprint": "0" * 64,
            "z_dim": 16,
            "conditions": self.conditions,
            "config": {},
            "options": self.options,
            "units": self.units,
            "images_seen": 0,
            "step": 0,
            "seed": 0,
            "preview_png": None,
        }
        path.write_bytes(pack(network, header).data)
        return path


CIFAR: dict[str, Any] = {"networks": "cifar", "width": 16}
EXAMPLES = [str(ROOT / "examples" / f"gankit-{name}" / f"gankit_{name}.py") for name in ("ebgan", "latent")]
TOYS = [
    *(Toy(name) for name in ("began", "dcgan", "dragan", "gan", "hinge", "infogan", "lsgan", "projected", "r3gan")),
    *(Toy(name) for name in ("stylegan2", "wgan", "wgan-gp")),
    *(Toy(name, conditions=DIGITS) for name in ("acgan", "cgan", "hinge", "r3gan", "stylegan2")),
    Toy("gan", options={"networks": "original"}),
    Toy("cgan", conditions=DIGITS, options={"networks": "original"}),
    Toy("r3gan", options={"networks": "core"}),
    Toy("r3gan", (3, 32, 32), options=CIFAR),
    Toy("stylegan2", (3, 32, 32), DIGITS, options=CIFAR),
    Toy("stylegan2", (1, 28, 28)),
    Toy("gan", (2,)),
    Toy("hinge", (2,), VECTORS),
    Toy("gan", (2, 64), units=(-3.0, 5.0)),
    Toy("hinge", (1, 64), VECTORS),
    Toy("gan", (1, 8, 8, 8)),
    Toy("hinge", (1, 8, 8, 8), DIGITS),
    Toy("gan", (5, 16, 16)),
    Toy("lsgan", (3, 28, 28), extensions=("lucic-nets",)),
    Toy("lsgan", (3, 16, 16), DIGITS, extensions=("modulation",)),
    *(Toy(path) for path in EXAMPLES),
    Toy(EXAMPLES[1], conditions=DIGITS),
]
