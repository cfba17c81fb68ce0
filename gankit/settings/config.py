"""The settings of a run: every field says once what it is."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

from gankit.settings.option import Choice, Decay, LogUniform, SameAs, Uniform, option

MAX_COUNT = 1 << 62


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How the game is played. A variant recommends values; TOML, environment and flags override them."""

    batch: int = option(64, ge=1, le=1 << 20, help="images shown to the discriminator at a time, over all devices")
    z_dim: int = option(64, ge=1, le=1 << 20, help="length of the latent vector z")
    z_prior: Literal["normal", "uniform"] = option("normal", help="z ~ N(0, I), or uniform on [-1, 1]")
    conditional: bool = option(False, help="tell both players the label (or the condition vector) of each sample")
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = option("adam", help="optimiser of both players")
    g_optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] | None = option(None, help="optimiser of the generator")
    d_optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] | None = option(None, help="optimiser of the discriminator")
    momentum: float = option(0.0, ge=0, lt=1, help="momentum of sgd and rmsprop")
    weight_decay: float = option(0.0, ge=0, help="weight decay of adamw")
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


@dataclass(frozen=True, kw_only=True)
class RunConfig(TrainConfig):
    """Everything that decides what a run computes. It is stored in the run folder and in every checkpoint."""

    variant: str = option("gan", help="name of the variant, DIST:NAME, or ./file.py")
    extensions: tuple[str, ...] = option((), help="extensions, in order: names or ./file.py")
    data: str = option("digits", help="name of a data set, or the path of a folder, zip, .npz or .npy")
    size: str | None = option(None, help="HEIGHTxWIDTH to which images are cropped and resized; None keeps their own")
    on_bad_image: Literal["error", "skip"] = option("error", help="what an unreadable image does")
    images: int | None = option(None, ge=1, le=MAX_COUNT, help="budget: images shown to the discriminator")
    steps: int | None = option(None, ge=1, le=MAX_COUNT, help="budget: batches shown to the discriminator")
    time_s: float | None = option(None, gt=0, le=1e9, help="budget: training time in seconds")
    seed: int = option(0, ge=0, lt=2**63, help="the one number all random streams are derived from")
    device: str = option("auto", help="auto takes cuda, then mps, then cpu")
    init_from: str | None = option(None, help="run folder or .safetensors file whose networks a new run starts with")
    sync_bn: bool = option(False, help="batch norm over the whole batch when several processes share it")
    sample_every: int | None = option(
        None, ge=1, le=MAX_COUNT, help="images between two sample grids; None: a tenth of the run"
    )
    checkpoint_every: int | None = option(
        None, ge=1, le=MAX_COUNT, help="images between two checkpoints; None: every two minutes"
    )

    on_diverge: Literal["stop", "rollback"] = option(
        "stop", help="what numbers that are no longer finite do: end the run, or send it back to the last checkpoint"
    )
    eval_every: int | None = option(
        None, ge=1, le=MAX_COUNT, help="images between two evaluations; None: no scores during training"
    )
    eval_n: int = option(2_000, ge=50, le=1 << 30, help="samples of an evaluation during training")
    eval_features: str | None = option(None, help="feature space of the scores; None takes the best one that is here")

    @property
    def total_images(self) -> int | None:
        """The budget in images; None when time alone ends the run."""
        budgets = [self.images] if self.images else []
        budgets += [self.steps * self.batch] if self.steps else []
        return min(budgets, default=None)


SWITCHES = frozenset(field.name for field in dataclasses.fields(RunConfig) if field.type == "bool")


class Settings(TypedDict, total=False):
    """What a user may say about a run besides its variant; what is absent comes from the variant, else from core."""

    extensions: tuple[str, ...] | list[str]
    data: str | os.PathLike[str]
    size: str | int | None
    on_bad_image: Literal["error", "skip"]
    images: int | str
    steps: int | str
    time_s: float | str
    seed: int
    device: str
    init_from: str | os.PathLike[str] | None
    sync_bn: bool
    sample_every: int | str
    checkpoint_every: int | str
    on_diverge: Literal["stop", "rollback"]
    eval_every: int | str
    eval_n: int | str
    eval_features: str
    batch: int
    z_dim: int
    z_prior: Literal["normal", "uniform"]
    conditional: bool
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"]
    g_lr: float
    d_lr: float
    betas: tuple[float, float] | str
    d_steps: int
    reuse_fakes: bool
    penalty_every: int
    ema_halflife_images: int | str
    graphs: Literal["auto", "off"]
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"]
    options: Mapping[str, object]


DEFAULT_IMAGES = 200_000


BUDGETS = ("images", "steps", "time_s")


COUNTS = ("images", "steps", "sample_every", "checkpoint_every", "ema_halflife_images", "eval_every", "eval_n")


# Names of settings on the command line, understood in a TOML file too.
ALIASES = {"with": "extensions", "time": "time_s", "ema_halflife": "ema_halflife_images"}


# What may differ when a run goes on: none of these changes what a step computes (data is compared by its content).
WATCHING = frozenset({"sample_every", "checkpoint_every", "eval_every", "eval_n", "eval_features"})


RESUMABLE_CHANGES = frozenset({*BUDGETS, "data", "device", "on_diverge", "graphs", *WATCHING})


# In what two runs may differ that are repetitions of one experiment.
REPETITION_CHANGES = frozenset({*BUDGETS, "seed", "device", "on_diverge", "graphs", *WATCHING})
