"""The settings of a run; each field holds all facts about its setting."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

from gankit.settings.option import Choice, LogUniform, Panel, SameAs, Setting, Uniform, facts_of, option
from gankit.settings.schedule import Number, Schedule

MAX_COUNT = 1 << 62
MAX_SIZE = 1 << 20  # largest batch, latent vector and cycle of steps

Optimizer = Literal["adam", "adamw", "rmsprop", "sgd"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How the game is played. A variant recommends values; TOML, environment and flags override them."""

    conditional: bool = option(
        False,
        help="condition both players on the label (or the condition vector) of each sample",
        setting=Setting(brief="condition both players on the class"),
    )
    batch: int = option(
        32,
        ge=1,
        le=MAX_SIZE,
        help="images in each batch of the discriminator, over all devices",
        setting=Setting(brief="images per step, over all devices"),
    )
    z_dim: int = option(64, ge=1, le=MAX_SIZE, help="length of the latent vector z")
    z_prior: Literal["normal", "uniform"] = option(
        "normal", help="z ~ N(0, I), or uniform on [-1, 1]", setting=Setting(brief="distribution of z")
    )
    optimizer: Optimizer = option("adam", help="optimiser of both players", setting=Setting(brief="optimiser"))
    g_optimizer: Optimizer | None = option(
        None,
        help="optimiser of the generator; None: that of both players",
        setting=Setting(brief="for G only"),
    )
    d_optimizer: Optimizer | None = option(
        None,
        help="optimiser of the discriminator; None: that of both players",
        setting=Setting(brief="for D only"),
    )
    g_lr: Number = option(
        1e-3,
        ge=0,
        help="learning rate of the generator; a number, or a schedule such as linear(2e-4, 0, 50%-100%)",
        search={"wide": LogUniform(1e-5, 1e-2), "narrow": LogUniform(1e-4, 1e-3)},
        setting=Setting(brief="rate or schedule of G", metavar="RATE"),
    )
    d_lr: Number = option(
        1e-3,
        ge=0,
        help="learning rate of the discriminator; a number, or a schedule such as cosine(2e-4, 5e-5, 20M)",
        search={"wide": SameAs("g_lr"), "narrow": SameAs("g_lr")},
        setting=Setting(brief="rate or schedule of D", metavar="RATE"),
    )
    betas: tuple[Number, Number] = option(
        (0.5, 0.999),
        ge=0,
        lt=1,
        help="decay rates of adam and adamw; each a number or a schedule",
        # A search draws only the first rate.
        search={"wide": Uniform(0, 1), "narrow": Choice((0.5,))},
        setting=Setting(brief="decay rates of adam: 0.5,0.999", metavar="B1,B2"),
    )
    d_betas: tuple[Number, Number] | None = option(
        None,
        ge=0,
        lt=1,
        help="decay rates of adam and adamw for the discriminator; None: those of both players",
        setting=Setting(brief="for D only", metavar="B1,B2"),
    )
    momentum: float = option(0.0, ge=0, lt=1, schedule=False, help="momentum of sgd and rmsprop")
    weight_decay: float = option(0.0, ge=0, schedule=False, help="decoupled weight decay of adamw")
    d_steps: int = option(
        1,
        ge=1,
        le=MAX_SIZE,
        help="discriminator steps for each generator step",
        search={"wide": Choice((1, 5)), "narrow": Choice((1,))},
        setting=Setting(brief="steps of D for each step of G"),
    )
    reuse_fakes: bool = option(
        False,
        help="the generator learns from the last fakes of the discriminator, which saves a forward pass",
        setting=Setting(brief="G learns from the last fakes of D"),
    )
    g_reals: Literal["shared", "fresh"] = option(
        "shared",
        help="real samples in the generator's phase: those of the discriminator's, or a fresh batch, which does not "
        "count as images shown",
        setting=Setting(brief="reals of G's phase"),
    )
    penalty_every: int = option(
        1,
        ge=1,
        le=MAX_SIZE,
        help="gradient penalties only in every k-th discriminator step, weighted k times",
        setting=Setting(brief="penalise in every k-th step of D"),
    )
    ema_halflife_images: int | Schedule = option(
        10_000,
        ge=0,
        le=MAX_COUNT,
        schedule=True,
        kind="count",
        help="half-life of the averaged generator in images, a number or a schedule; 0 samples the raw generator",
        setting=Setting(flag="ema-halflife", brief="half-life of G's average", metavar="IMAGES"),
    )
    graphs: Literal["off", "auto"] = option(
        "off",
        help="auto plays steps from CUDA graphs where every plugin allows it; never run on a GPU so far",
        setting=Setting(Panel.RUN, brief="steps from CUDA graphs", resumable=True, repeatable=True),
    )
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = option(
        "auto",
        help="arithmetic of the networks; auto is bf16 on CUDA, and on a CPU the faster of bf16 and fp32",
        setting=Setting(Panel.RUN, brief="arithmetic"),
    )

    @property
    def optimizers(self) -> set[Optimizer]:
        """The optimisers that the two players use."""
        return {self.g_optimizer or self.optimizer, self.d_optimizer or self.optimizer}


@dataclass(frozen=True, kw_only=True)
class RunConfig(TrainConfig):
    """All settings that determine a run; they are stored in the run folder and in every checkpoint."""

    variant: str = option(
        "gan",
        kind="name",
        help="name of the variant, DIST:NAME, or ./file.py; without it and a recipe, the advice for the data decides",
        setting=Setting(brief="NAME, DIST:NAME, ./file.py; else as advised"),
    )
    extensions: tuple[str, ...] = option(
        (),
        help="extensions, in order: names or ./file.py",
        setting=Setting(flag="with", brief="extension; may be repeated", metavar="EXTENSION"),
    )
    init_from: str | None = option(
        None,
        kind="name",
        help="run folder or .safetensors file whose networks a new run starts from",
        setting=Setting(brief="start from these networks", metavar="CKPT"),
    )
    data: str = option(
        "digits",
        kind="name",
        help="name of a data set, or the path of a folder, .zip, .npz, .npy or .gkpack",
        setting=Setting(Panel.DATA, brief="name, folder, zip, npz, gkpack, …", resumable=True),
    )
    size: str | None = option(
        None,
        kind="name",
        help="HEIGHTxWIDTH, or one side, to which images are cropped and resized; None: the size of the files",
        setting=Setting(Panel.DATA, brief="crop and resize to this, or to one side: 64", metavar="HxW"),
    )
    value_range: str | None = option(
        None,
        kind="name",
        help="LOW,HIGH: the values of black and white in the units of the data; None: what the values say",
        setting=Setting(Panel.DATA, flag="range", brief="values of black and white: 0,1", metavar="LOW,HIGH"),
    )
    channels: str | None = option(
        None,
        kind="name",
        help="grey, rgb or rgba; or channels of an array by number, 0,3,5. None: those of the data. What is "
        "transparent is laid on a background",
        setting=Setting(Panel.DATA, brief="grey, rgb, rgba; or of an array: 0,3,5", metavar="CHANNELS"),
    )
    kind: Literal["points", "signals", "images", "volumes"] | None = option(
        None,
        help="what the samples of an array are; None: what its shape says",
        setting=Setting(Panel.DATA, brief="what an array holds"),
    )
    length: int | None = option(
        None,
        ge=2,
        le=2**24,
        kind="count",
        help="steps of a signal: longer ones are cut into clips; None: all of it",
        setting=Setting(Panel.DATA, brief="steps of a signal, cut into clips"),
    )
    background: str | None = option(
        None,
        kind="name",
        help="colour on which what is transparent is laid; None: alpha stays, or white, or black where that is unseen",
        setting=Setting(Panel.DATA, brief="under what is transparent: gray, #ff8000", metavar="COLOUR"),
    )
    labels: str | None = option(
        None,
        kind="name",
        help="the columns of the file of labels that count: smiling,age; age:number and digit:class say what one is; "
        "None: the label, or all that make a condition vector",
        setting=Setting(Panel.DATA, brief="columns of labels: smiling,age:number", metavar="COLUMNS"),
    )
    image_column: str | None = option(
        None,
        kind="name",
        help="the column of a Parquet file that holds the images; None: the only one",
        setting=Setting(Panel.DATA, brief="column of the images in Parquet files", metavar="COLUMN"),
    )
    on_bad_image: Literal["error", "skip"] = option(
        "error",
        help="whether an unreadable image ends the run, or is reported and skipped",
        setting=Setting(Panel.DATA, brief="unreadable images"),
    )
    frames: Literal["first", "all"] = option(
        "first",
        help="of image files with several frames or pages: whether the first is a sample, or each",
        setting=Setting(Panel.DATA, brief="of animations and many pages"),
    )
    mirror: bool = option(
        False,
        help="show each image mirrored from left to right half of the time, as if its mirror image were in the data",
        setting=Setting(Panel.DATA, brief="half of the images left to right"),
    )
    images: int | None = option(
        None,
        ge=1,
        le=MAX_COUNT,
        kind="count",
        help="budget: images shown to the discriminator",
        setting=Setting(Panel.BUDGET, brief="images shown to D: 500k", resumable=True, repeatable=True),
    )
    steps: int | None = option(
        None,
        ge=1,
        le=MAX_COUNT,
        kind="count",
        help="budget: batches shown to the discriminator",
        setting=Setting(Panel.BUDGET, brief="batches shown to D", resumable=True, repeatable=True),
    )
    time_s: float | None = option(
        None,
        schedule=False,
        gt=0,
        le=1e9,
        kind="duration",
        help="budget: training time in seconds",
        setting=Setting(Panel.BUDGET, flag="time", brief="training time: 2h, 15m", resumable=True, repeatable=True),
    )
    seed: int = option(
        0,
        ge=0,
        lt=2**63,
        help="the number from which all random streams are derived",
        setting=Setting(Panel.RUN, brief="seed of all random streams", repeatable=True),
    )
    device: str = option(
        "auto",
        kind="name",
        help="auto takes cuda, then mps, then cpu",
        setting=Setting(Panel.RUN, brief="the best one, or cpu, cuda:1", resumable=True, repeatable=True),
    )
    sync_bn: bool = option(
        False,
        help="batch norm over the whole batch when several processes share it",
        setting=Setting(Panel.RUN, brief="batch norm over all GPUs"),
    )
    on_diverge: Literal["stop", "rollback"] = option(
        "stop",
        help="whether NaN or infinity ends the run, or returns it to the last checkpoint",
        setting=Setting(Panel.RUN, brief="on NaN or infinity", resumable=True, repeatable=True),
    )
    sample_every: int | None = option(
        None,
        ge=1,
        le=MAX_COUNT,
        kind="count",
        help="images between two sample grids; None: a tenth of the run",
        setting=Setting(Panel.OUTPUT, brief="images between two grids", resumable=True, repeatable=True),
    )
    checkpoint_every: int | None = option(
        None,
        ge=1,
        le=MAX_COUNT,
        kind="count",
        help="images between two checkpoints; None: every two minutes",
        setting=Setting(Panel.OUTPUT, brief="images between checkpoints", resumable=True, repeatable=True),
    )
    eval_every: int | None = option(
        None,
        ge=1,
        le=MAX_COUNT,
        kind="count",
        help="images between two evaluations; None: no scores during training",
        setting=Setting(Panel.SCORES, brief="images between evaluations", resumable=True, repeatable=True),
    )
    eval_n: int = option(
        2_000,
        ge=50,
        le=1 << 30,
        kind="count",
        help="samples of an evaluation during training",
        setting=Setting(Panel.SCORES, brief="samples of each evaluation", resumable=True, repeatable=True),
    )
    eval_features: str | None = option(
        None,
        help="feature space of the scores; None: the best one available",
        setting=Setting(Panel.SCORES, brief="feature space of the scores", resumable=True, repeatable=True),
    )

    @property
    def total_images(self) -> int | None:
        """The budget in images; None when time alone ends the run."""
        budgets = [self.images] if self.images else []
        budgets += [self.steps * self.batch] if self.steps else []
        return min(budgets, default=None)


class Settings(TypedDict, total=False):
    """The settings of a run besides its variant; absent ones come from the variant, or else from core.

    A number that may follow a schedule also takes its spelling: `g_lr="cosine(2e-4, 5e-5, 20M)"`.
    """

    extensions: tuple[str, ...] | list[str]
    data: str | os.PathLike[str]
    size: str | int | None
    value_range: str | None
    channels: str | None
    kind: Literal["points", "signals", "images", "volumes"] | None
    length: int | str | None
    background: str | None
    labels: str | None
    image_column: str | None
    on_bad_image: Literal["error", "skip"]
    frames: Literal["first", "all"]
    mirror: bool
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
    optimizer: Optimizer
    g_optimizer: Optimizer | None
    d_optimizer: Optimizer | None
    g_lr: Number | str
    d_lr: Number | str
    betas: tuple[Number | str, Number | str] | str
    d_betas: tuple[Number | str, Number | str] | str | None
    momentum: float
    weight_decay: float
    d_steps: int
    reuse_fakes: bool
    g_reals: Literal["shared", "fresh"]
    penalty_every: int
    ema_halflife_images: int | str | Schedule
    graphs: Literal["auto", "off"]
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"]
    options: Mapping[str, object]


DEFAULT_IMAGES = 200_000
"""The budget in images if the user gives none."""

SETTINGS = {field.name: facts_of(field).setting for field in dataclasses.fields(RunConfig)}
ALIASES = {setting.flag.replace("-", "_"): name for name, setting in SETTINGS.items() if setting.flag}
"""Flags whose names differ from those of their settings; a TOML file may use either."""
BUDGETS = tuple(name for name, setting in SETTINGS.items() if setting.panel is Panel.BUDGET)
RESUMABLE_CHANGES = frozenset(name for name, setting in SETTINGS.items() if setting.resumable)
REPETITION_CHANGES = frozenset(name for name, setting in SETTINGS.items() if setting.repeatable)
