"""StyleGAN2: styles, noise and skips in G, what a batch has in common in D, lazy penalties (Karras et al., 2020)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    DataSpec,
    InputError,
    LinearCritic,
    Networks,
    Phase,
    TrainConfig,
    TrainingLoop,
    VariantInfo,
    Vector,
    batch_mean,
    hookimpl,
    leaf,
    option,
    squared_gradients,
)
from gankit_variants.stylegan2_networks import Plan, StyleGan2Discriminator, StyleGan2Generator

PATH_DECAY = 0.01  # of the mean of path lengths, at each penalty
PATH_SHRINK = 2  # the path length is measured on such a part of the batch

PLANS = {
    "small": Plan(width=64, full=8, w_dim=64, mapping=2, label_mapping=2, residual=True, group=4),
    # cifar: of the authors' ADA code; paper: configuration F of the article.
    "cifar": Plan(width=512, full=64, w_dim=512, mapping=2, label_mapping=8, residual=False, group=32, clamp=256.0),
    "paper": Plan(width=512, full=64, w_dim=512, mapping=8, label_mapping=8, residual=True, group=4),
}


@dataclass(frozen=True)
class Options:
    gamma: float = option(1.0, ge=0, help="weight of R1, gamma/2 E|grad D|^2; larger images want more")
    networks: Literal["small", "cifar", "paper", "core"] = option(
        "small",
        help="small: for a CPU; cifar: of StyleGAN2-ADA's configuration cifar; paper: of the article; core leaves them "
        "to gankit or to an extension",
    )
    width: int | None = option(
        None, ge=8, le=1 << 14, help="channels of the coarse stages; None: 64 in the small networks, else 512"
    )
    mapping: int | None = option(None, ge=1, le=64, help="layers from z to w; None: 8 in the paper's networks, else 2")
    discriminator: Literal["orig", "residual"] | None = option(
        None, help="whether D's blocks have skips; None: orig (without) in cifar, residual in the others"
    )
    group: int | None = option(
        None,
        ge=1,
        le=1 << 20,
        help="samples whose deviation D sees, at most the batch; None: 32 in cifar, 4 in the others; 1: it sees none",
    )
    path_length: float = option(
        0.0, ge=0, schedule=False, help="weight of the path length penalty of G; 2 in the article, 0 in cifar"
    )
    path_every: int = option(4, ge=1, le=1 << 20, help="path lengths in every k-th step of G only, weighted k times")
    style_mixing: float = option(
        0.0, ge=0, le=1, schedule=False, help="share of samples in training with two w; 0.9 in the article, 0 in cifar"
    )


# -- the game ----------------------------------------------------------------------------------------------------------


class StyleGan2Loss(AdversarialLoss):
    """Non-saturating logistic loss, softplus(t) = -logsigmoid(-t), R1 at real samples, and G's path lengths."""

    boundary = 0.0
    path_mean: Tensor

    def __init__(self, gamma: float = 1.0, path_length: float = 0.0) -> None:
        super().__init__()
        self.gamma, self.weight = gamma, path_length
        self.register_buffer("path_mean", torch.zeros(()))

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"real": -logsigmoid(critic(batch.real)), "fake": -logsigmoid(-critic(batch.fake))}

    def penalties(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        points = leaf(batch.real)
        return {"r1": self.gamma / 2 * squared_gradients(critic(points), points)}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": -logsigmoid(critic(batch.fake))}

    def path_penalty(self, lengths: Tensor) -> Tensor:
        """weight (length - a)^2 of path lengths [n], as [n]; a is their running mean, to which they have been added.

        The mean that is kept is that of all processes; the gradient goes through the part of this one.
        """
        kept, own = self.path_mean.lerp(batch_mean(lengths), PATH_DECAY), lengths.mean()
        self.path_mean.copy_(kept)  # to the last bit the same in every process
        mean = kept + PATH_DECAY * (own - own.detach())
        self.log("path_length", lengths)
        return self.weight * (lengths - mean).square()


def path_lengths(generator: StyleGan2Generator, ws: Tensor) -> Tensor:
    """|J^T y| of w -> image at w [n, styles, w_dim], with y ~ N(0, 1/(HW)) a pixel: the mean over layers as [n]."""
    images = generator.synthesise(ws)
    noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
    (gradients,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    return gradients.square().sum(2).mean(1).sqrt()


@hookimpl
def gankit_training_loop(
    networks: Networks, loss: AdversarialLoss, config: TrainConfig, options: Options
) -> TrainingLoop:
    """The usual loop, with a phase of G's for path lengths, in full precision as gradients of gradients want it."""
    loop = TrainingLoop(networks, loss, config)
    generator = networks.generator
    if not options.path_length:
        return loop
    if not isinstance(generator, StyleGan2Generator) or not isinstance(loss, StyleGan2Loss):
        raise InputError(
            "path lengths are those from w to the image, and this generator has no w", hint="leave out path_length"
        )

    def path_length(critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        n = max(1, len(batch.real) // PATH_SHRINK)
        y = None if batch.condition is None else batch.condition[:n]
        lengths = path_lengths(generator, generator.map(loop.sample_z(n), y))
        return {"path": options.path_every * loss.path_penalty(lengths).mean()}

    def due() -> bool:
        return loop.due_every(options.path_every * loop.d_steps(), "path_length")

    loop.phases["path_length"] = Phase("generator", path_length, prefix="g", due=due)
    return loop


# -- the plugin --------------------------------------------------------------------------------------------------------


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        capturable=True,
        scores="logits",
        title="StyleGAN2",
        paper="https://arxiv.org/abs/1912.04958",
        options=Options,
        config=TrainConfig(g_lr=2.5e-3, d_lr=2.5e-3, betas=(0.0, 0.99), penalty_every=4),
    )


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return StyleGan2Loss(options.gamma, options.path_length)


def plan_of(data: DataSpec, options: Options) -> Plan | None:
    """The sizes of the networks; None where they are not this variant's. InputError for data that are no images."""
    own: dict[str, Any] = {
        "width": options.width,
        "mapping": options.mapping,
        "residual": None if options.discriminator is None else options.discriminator == "residual",
        "group": options.group,
    }
    given = {name: value for name, value in own.items() if value is not None}
    if options.networks == "core":
        if given or options.style_mixing:
            name = next(iter(given), "style_mixing").replace("residual", "discriminator")
            raise InputError(f"{name} is for stylegan2's own networks", hint=f"leave out -s {name}")
        return None
    if not data.is_image:
        raise InputError(
            f"stylegan2 draws images, and these data are {data.kind}",
            hint="-s networks=core has its game with gankit's networks; or take another variant",
        )
    return replace(PLANS[options.networks], **given)


@hookimpl
def gankit_generator(data: DataSpec, z_dim: int, options: Options) -> nn.Module | None:
    plan = plan_of(data, options)
    if plan is None:
        return None
    return StyleGan2Generator(data.shape, z_dim, plan, data.condition, options.style_mixing)


@hookimpl
def gankit_discriminator(data: DataSpec, options: Options) -> nn.Module | None:
    plan = plan_of(data, options)
    return None if plan is None else StyleGan2Discriminator(data.shape, plan, data.condition)


class _PathsAsScores(StyleGan2Loss):
    """For the vector: the samples are the path lengths."""

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"path": self.path_penalty(critic(batch.fake))}


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    real, fake = [2.0, 0.5, -1.0], [-1.5, 0.0, 1.0]
    return [
        Vector(
            name="logistic, non-saturating",
            loss=StyleGan2Loss,
            real=real,
            fake=fake,
            expected={"d/real": 0.6380888942471007, "d/fake": 0.7359407153536401, "g": 0.902607382020307},
        ),
        Vector(
            name="R1, gamma 10",
            loss=lambda: StyleGan2Loss(10.0),
            critic=lambda: LinearCritic(3.0, 4.0),
            real=[[1.0, 0.0]],
            fake=[[0.0, 1.0]],
            expected={"d/r1": 125.0},
        ),
        Vector(
            name="path lengths 1 and 3, weight 2",
            loss=lambda: _PathsAsScores(path_length=2.0),
            real=[1.0, 3.0],
            fake=[1.0, 3.0],
            expected={"g/path": 9.8408, "state/path_mean": 0.02},
            source="their mean 2 moves a from 0 to 0.02; 2 (0.98^2 + 2.98^2) / 2",
        ),
    ]
