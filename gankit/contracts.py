"""What the core and the plugins hand to each other: plain frozen dataclasses, readable without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Lt

if TYPE_CHECKING:
    from torch import Tensor

API_VERSION = 1
"""The version of the plugin API that this gankit speaks; plugins name the one they were written for."""

Decay = Annotated[float, Ge(0), Lt(1)]
Prior = Literal["normal", "uniform"]


@dataclass(frozen=True)
class Uniform:
    """Every value of [low, high] alike."""

    low: float
    high: float


@dataclass(frozen=True)
class LogUniform:
    """Values of [low, high] with a uniform logarithm."""

    low: float
    high: float


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class SameAs:
    """Not drawn: equal to another setting of the same search."""

    setting: str


Search = Uniform | LogUniform | Choice | SameAs
"""Where a search looks for values: 'wide' and 'narrow' are the phases of "Are GANs Created Equal?" (Lucic et al.)."""


def option(
    default: Any,
    *,
    help: str,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    search: Mapping[str, Search] | None = None,
) -> Any:
    """A field of an options dataclass: default, one line of help, bounds. Choices are written as `Literal`.

    `search` says where a hyper-parameter search should look: the name of a range ('wide', 'narrow') -> the range.
    """
    given = {"gt": gt, "ge": ge, "lt": lt, "le": le}
    bounds = {name: bound for name, bound in given.items() if bound is not None}
    return dataclasses.field(default=default, metadata={"help": help, "bounds": bounds, "search": dict(search or {})})


@dataclass(frozen=True)
class DataSpec:
    """What the networks see.

    In a conditional run both players are told vectors y (one-hot rows for labels): networks are then called as G(z, y)
    and D(x, y) with y [N, K].
    """

    shape: tuple[int, ...]
    """(C, H, W) of images in [-1, 1], or (D,) of points."""
    classes: tuple[str, ...] = ()
    """Names of the labels; empty when the data has none."""
    condition: int = 0
    """K, the length of y; 0 in an unconditional run."""

    @property
    def is_image(self) -> bool:
        """True for (C, H, W), False for points (D,)."""
        return len(self.shape) == 3


@dataclass
class Batch:
    """One batch as a loss sees it. It grows by fields with defaults, so that an older plugin keeps working."""

    real: Tensor
    """[N, *shape]."""
    fake: Tensor
    """[N, *shape]; without gradient in the discriminator's phase."""
    z: Tensor
    """[N, z_dim]."""
    labels: Tensor | None = None
    """[N] int64, of the real samples; None when the data has none."""
    condition: Tensor | None = None
    """[N, K]: y of the real samples, and what G was told; None when unconditional."""


@dataclass(frozen=True)
class CriticOutput:
    """What a loss reads: scores [N]; with `heads` [N, 1 + heads], the score first; or a reconstruction of the input."""

    heads: int = 0
    """Numbers beside the score (class logits, say); 0: scores alone."""
    code: int = 0
    """Numbers in the auto-encoder's code; 0: no auto-encoder but scores."""
    told_by: Literal["projection", "concatenation", "nothing"] = "projection"
    """How D is told y in a conditional run."""


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
class TrainConfig:
    """How the game is played. A variant recommends values; TOML, environment and flags override them."""

    batch: int = option(64, ge=1, le=1 << 20, help="images shown to the discriminator at a time, over all devices")
    z_dim: int = option(64, ge=1, le=1 << 20, help="length of the latent vector z")
    z_prior: Literal["normal", "uniform"] = option("normal", help="z ~ N(0, I), or uniform on [-1, 1]")
    conditional: bool = option(False, help="tell both players the label (or the condition vector) of each sample")
    optimizer: Literal["adam", "rmsprop"] = option("adam", help="of both players; rmsprop has no use for betas")
    g_lr: float = option(
        5e-4,
        gt=0,
        help="learning rate of the generator",
        search={"wide": LogUniform(1e-5, 1e-2), "narrow": LogUniform(1e-4, 1e-3)},
    )
    d_lr: float = option(
        5e-4,
        gt=0,
        help="learning rate of the discriminator",
        search={"wide": SameAs("g_lr"), "narrow": SameAs("g_lr")},
    )
    betas: tuple[Decay, Decay] = option(
        (0.5, 0.999), help="Adam's two decay rates", search={"wide": Uniform(0, 1), "narrow": Choice((0.5,))}
    )  # what a search draws is the first of the two
    d_steps: int = option(
        1,
        ge=1,
        le=1 << 20,
        help="discriminator steps for each generator step",
        search={"wide": Choice((1, 5)), "narrow": Choice((1,))},
    )
    reuse_fakes: bool = option(
        False, help="G learns from the fakes that D has just seen, not from new ones: one forward pass less"
    )
    penalty_every: int = option(
        1, ge=1, le=1 << 20, help="gradient penalties in every k-th discriminator step only, weighted k times"
    )
    ema_halflife_images: int = option(
        10_000, ge=0, le=1 << 62, help="half-life of the averaged generator; 0 samples the raw one"
    )
    graphs: Literal["auto", "off"] = option(
        "off", help="auto plays steps from CUDA graphs where every plugin allows it; never run on a GPU so far"
    )
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = option(
        "auto", help="arithmetic of the networks; auto is bf16 on CUDA, and on a CPU the faster of bf16 and fp32"
    )


@dataclass(frozen=True)
class NoOptions:
    """The options of a variant that has none."""


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
    penalised: bool = False
    """Whether it adds a gradient penalty, and weighs it by `penalty_gain`."""


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
    penalised: bool = False
    """Whether its loss takes gradient penalties, and weighs them by `penalty_gain`."""
    scores: Literal["logits", "raw"] = "raw"
    """Whether sigmoid(D(x)) estimates the probability that x is real."""
