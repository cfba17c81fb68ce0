"""What the core and the plugins hand to each other: plain frozen dataclasses, readable without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gankit.settings.config import TrainConfig
from gankit.settings.option import NoOptions

if TYPE_CHECKING:
    from torch import Tensor


Kind = Literal["points", "signals", "images", "volumes"]
_KINDS: dict[int, Kind] = {1: "points", 2: "signals", 3: "images", 4: "volumes"}

API_VERSION = 1
"""The version of the plugin API that this gankit speaks; plugins name the one they were written for."""


@dataclass(frozen=True)
class Attribute:
    """One number of a condition vector, by name: y = (value - mean) / std.

    Choices between several values are a binary attribute each: 'colour=red', 'colour=blue'.
    """

    name: str
    """What it says of a sample: 'smiling', 'age', 'colour=red'."""
    kind: Literal["binary", "number"] = "binary"
    """binary: 1 where it holds, else 0; number: a measured value."""
    mean: float = 0.0
    """The mean in the training data, in the units of the data; 0 of what is not standardised."""
    std: float = 1.0
    """The standard deviation there; 1 of what is not standardised."""


@dataclass(frozen=True)
class DataSpec:
    """What the networks see.

    In a conditional run both players are given vectors y (one-hot rows for labels): networks are then called as G(z, y)
    and D(x, y) with y [N, K].
    """

    shape: tuple[int, ...]
    """(C, H, W) of images, (C, T) of signals or (C, D, H, W) of volumes, all in [-1, 1]; or (D,) of points."""
    classes: tuple[str, ...] = ()
    """Names of the labels; empty when the data has none."""
    condition: int = 0
    """K, the length of y; 0 in an unconditional run."""
    attributes: tuple[Attribute, ...] = ()
    """The K numbers of the condition vectors in the data; empty where these have no names."""
    units: tuple[float, float] = (-1.0, 1.0)
    """The values of the source that are -1 and 1 in signals."""
    rate: int = 0
    """Steps of a signal in a second; 0 where it is not known."""

    @property
    def kind(self) -> Kind:
        """What a sample is: 'points', 'signals', 'images' or 'volumes'."""
        return _KINDS[len(self.shape)]

    @property
    def is_image(self) -> bool:
        """True for (C, H, W)."""
        return self.kind == "images"


@dataclass
class Batch:
    """One batch, from the sampler to the loss. It grows by fields with defaults, so that a plugin keeps working.

    The sampler gives real samples, labels and conditions; a phase that wants them adds z and the fakes made from it.
    """

    real: Tensor
    """[N, *shape]."""
    fake: Tensor = None  # type: ignore[assignment]
    """[N, *shape], as the phase wants them: without gradient for the discriminator, with it for the generator."""
    z: Tensor = None  # type: ignore[assignment]
    """[N, z_dim]: what the fakes were made from."""
    labels: Tensor | None = None
    """[N] int64, of the real samples; None when the data has none."""
    condition: Tensor | None = None
    """[N, K]: y of the real samples and of the fakes made beside them; None when unconditional."""
    fresh: Batch | None = None
    """Another batch of real samples, for phases that do not take those of the discriminator (`Phase.fresh_reals`)."""


@dataclass(frozen=True)
class CriticOutput:
    """What a loss reads: scores [N]; with `heads` [N, 1 + heads], the score first; or a reconstruction of the input."""

    heads: int = 0
    """Numbers beside the score (class logits, say); 0: scores alone."""
    code: int = 0
    """Numbers in the auto-encoder's code; 0: no auto-encoder but scores."""
    condition: Literal["projection", "concatenation", "none"] = "projection"
    """How D takes y in a conditional run; none: it does not."""


@dataclass(frozen=True)
class SampleGrid:
    """What the sample grids of a run show, always the same: z [N, z_dim], y [N, K] if conditional, cells in a row."""

    z: Tensor
    """[N, z_dim]."""
    condition: Tensor | None = None
    """[N, K], or None."""
    columns: int | None = None
    """None: as square as it gets."""


@dataclass(frozen=True, kw_only=True)
class ExtensionInfo:
    """Who an extension with options is. Its hooks are those of the object that `make` gives, a new one for each run.

    An extension that needs no options does without it: then the module's own hooks are used.
    """

    api: int
    """The `API_VERSION` its author wrote against."""
    title: str
    """What it does, in a few words."""
    make: Callable[[Any], object]
    """An instance of `options` -> the object."""
    options: type = NoOptions
    """A frozen dataclass with a default for every field, each made by `option`."""
    capturable: bool = False
    """Whether what it does in a step never depends on the host."""


@dataclass(frozen=True, kw_only=True)
class VariantInfo:
    """Who a variant is."""

    api: int
    """The `API_VERSION` its author wrote against; it has no default on purpose."""
    title: str
    """Its name as people write it: 'WGAN-GP'."""
    paper: str = ""
    """URL of the paper."""
    options: type = NoOptions
    """A frozen dataclass with a default for every field, each made by `option`."""
    config: TrainConfig = TrainConfig()
    """The settings it recommends; what the user sets goes before them."""
    conditional: Literal["optional", "required", "no"] = "optional"
    """Whether its game can be played with conditions."""
    conditional_note: str = ""
    """Why it must or cannot, for people."""
    capturable: bool = False
    """Whether its steps never depend on the host, and so may be played from a CUDA graph."""
    scores: Literal["logits", "raw"] = "raw"
    """Whether sigmoid(D(x)) estimates the probability that x is real."""
