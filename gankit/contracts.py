"""What the core and the plugins hand to each other: plain frozen dataclasses, readable without torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Lt

if TYPE_CHECKING:
    from torch import Tensor

API_VERSION = 1

Decay = Annotated[float, Ge(0), Lt(1)]


def option(
    default: Any,
    *,
    help: str,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> Any:
    """A field of an options dataclass: default, one line of help, bounds. Choices are written as `Literal`."""
    given = {"gt": gt, "ge": ge, "lt": lt, "le": le}
    bounds = {name: bound for name, bound in given.items() if bound is not None}
    return dataclasses.field(default=default, metadata={"help": help, "bounds": bounds})


@dataclass(frozen=True)
class DataSpec:
    """What the networks see: `shape` (C, H, W) is images in [-1, 1], (D,) points; `classes` names the labels."""

    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()

    @property
    def is_image(self) -> bool:
        """True for (C, H, W), False for points (D,)."""
        return len(self.shape) == 3


@dataclass
class Batch:
    """One batch as a loss sees it. It grows by fields with defaults, so that an older plugin keeps working."""

    real: Tensor  # [N, *shape]
    fake: Tensor  # [N, *shape]; without gradient in the discriminator's phase
    z: Tensor  # [N, z_dim]
    labels: Tensor | None = None  # [N] int64, of the real samples; None when the data has none


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How the game is played. A variant recommends values; TOML, environment and flags override them."""

    batch: int = option(64, ge=1, le=1 << 20, help="images shown to the discriminator at a time, over all devices")
    z_dim: int = option(64, ge=1, le=1 << 20, help="length of the latent vector z ~ N(0, I)")
    g_lr: float = option(5e-4, gt=0, help="learning rate of the generator")
    d_lr: float = option(5e-4, gt=0, help="learning rate of the discriminator")
    betas: tuple[Decay, Decay] = option((0.5, 0.999), help="Adam's two decay rates")
    d_steps: int = option(1, ge=1, le=1 << 20, help="discriminator steps for each generator step")
    ema_halflife_images: int = option(
        10_000, ge=0, le=1 << 62, help="half-life of the averaged generator; 0 samples the raw one"
    )
    precision: Literal["auto", "fp32", "tf32", "bf16"] = option(
        "auto", help="arithmetic of the networks; auto is bf16 on CUDA and fp32 elsewhere"
    )


@dataclass(frozen=True)
class NoOptions:
    """The options of a variant that has none."""


@dataclass(frozen=True, kw_only=True)
class VariantInfo:
    """Who a variant is. `api` has no default on purpose: it is the API version its author wrote against."""

    api: int
    title: str
    paper: str = ""
    options: type = NoOptions
    config: TrainConfig = TrainConfig()
