"""InfoGAN: part of z is a code that the discriminator must be able to read back (Chen et al., 2016)."""

import math
from collections.abc import Generator as Wrapper
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    CriticOutput,
    DataSpec,
    Discriminator,
    InputError,
    PointDiscriminator,
    SampleGrid,
    TrainConfig,
    VariantInfo,
    Vector,
    hookimpl,
    option,
)
from gankit_variants.gan import GanLoss


@dataclass(frozen=True)
class Options:
    categories: int = option(10, ge=2, le=1000, help="values of the categorical code")
    continuous: int = option(2, ge=0, le=100, help="continuous codes")
    category_weight: float = option(1.0, ge=0, help="lambda of the categorical code, for both players")
    continuous_weight: float = option(1.0, ge=0, help="lambda of the continuous codes, for both players")
    q: Literal["layer-norm", "batch-norm", "linear"] = option(
        "layer-norm",
        help="how Q reads D's features: through a layer of 128 numbers of its own with this normalisation (the "
        "authors' is batch norm), or linearly, which leaves D to gankit or to an extension",
    )


HIDDEN = 128  # numbers in Q's own layer
SLOPE = 0.01  # of its leaky ReLU, as in the authors' code


class ReadingDiscriminator(nn.Module):
    """Samples -> [N, 1 + codes]: the score, and what Q reads off the same features.

    Q is a layer of 128 numbers, a normalisation, a leaky ReLU and a linear layer, as in the authors' code. Theirs is
    batch norm. Layer norm is the default here, because it does not couple the samples of a batch: a penalty on D's
    score (`--with r1`) needs independent samples, and the gradients of several processes are those of one.
    """

    def __init__(self, discriminator: nn.Module, codes: int, norm: Literal["layer-norm", "batch-norm"]) -> None:
        """`discriminator` gives [N, 1 + HIDDEN]: the score, and Q's own layer, which is linear in its features."""
        super().__init__()
        self.discriminator = discriminator
        normalise = nn.LayerNorm(HIDDEN) if norm == "layer-norm" else nn.BatchNorm1d(HIDDEN)
        self.q = nn.Sequential(normalise, nn.LeakyReLU(SLOPE), nn.Linear(HIDDEN, codes))

    def forward(self, samples: Tensor) -> Tensor:
        """Samples [N, …] -> [N, 1 + codes]."""
        output = self.discriminator(samples)
        return torch.cat([output[:, :1], self.q(output[:, 1:])], dim=1)


class CodedGenerator(nn.Module):
    """z [N, z_dim] -> samples. The largest of the first numbers of z is the category; the next are the other codes."""

    def __init__(self, generator: nn.Module, categories: int) -> None:
        super().__init__()
        self.generator = generator
        self.categories = categories

    def forward(self, z: Tensor) -> Tensor:
        category = one_hot(category_of(z, self.categories), self.categories).to(z.dtype)
        samples: Tensor = self.generator(torch.cat([category, z[:, self.categories :]], dim=1))
        return samples


def category_of(z: Tensor, categories: int) -> Tensor:
    """[N] in 0..categories-1, each alike likely under any prior whose numbers are exchangeable."""
    return z[:, :categories].argmax(1)


class InfoGanLoss(AdversarialLoss):
    """The original game minus lambda L_I (eq. 6): Q shares D's trunk and helps both players; D returns [N, 1 + codes].

    L_I is a lower bound of the mutual information up to the constant H(c): the negative log-likelihood of the codes of
    fake samples, a cross-entropy for the category, a Gaussian of unit variance for each continuous code.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.output = CriticOutput(heads=options.categories + options.continuous)
        self.game = GanLoss()
        self.boundary = self.game.boundary

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = critic(batch.real), critic(batch.fake)
        terms = {"real": self.game.real_term(real[:, 0]), "fake": self.game.fake_term(fake[:, 0])}
        return {**terms, **self.code_terms(fake, batch.z)}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        output = critic(batch.fake)
        return {"fake": self.game.generator_term(output[:, 0]), **self.code_terms(output, batch.z)}

    def code_terms(self, output: Tensor, z: Tensor) -> dict[str, Tensor]:
        """lambda times -log Q(c | x) of both kinds of codes."""
        k, n = self.options.categories, self.options.continuous
        read, category = output[:, 1:], category_of(z, k)
        terms = {"category": self.options.category_weight * cross_entropy(read[:, :k], category, reduction="none")}
        if n:
            likelihood = 0.5 * (z[:, k : k + n] - read[:, k:]).square() + 0.5 * math.log(2 * math.pi)
            terms["continuous"] = self.options.continuous_weight * likelihood.sum(1)
        self.log("category_read", (read[:, :k].argmax(1) == category).float())
        return terms


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        capturable=True,
        scores="logits",
        title="InfoGAN",
        paper="https://arxiv.org/abs/1606.03657",
        options=Options,
        config=TrainConfig(z_dim=74, z_prior="uniform"),
        conditional="no",
        conditional_note="it finds its codes without labels",
    )


@hookimpl(wrapper=True)
def gankit_generator(z_dim: int, options: Options) -> Wrapper[None, nn.Module, nn.Module]:
    if z_dim < options.categories + options.continuous:
        codes = options.categories + options.continuous
        raise InputError(f"z of {z_dim} numbers has no room for {codes} numbers of codes", hint=f"--z-dim {codes + 62}")
    return CodedGenerator((yield), options.categories)


@hookimpl
def gankit_discriminator(data: DataSpec, options: Options, output: CriticOutput) -> nn.Module | None:
    """None for a linear Q: the heads of any discriminator are one."""
    if options.q == "linear":
        return None
    hidden = CriticOutput(heads=HIDDEN)
    trunk: nn.Module = (
        PointDiscriminator(data.shape[0], output=hidden)
        if data.kind == "points"
        else Discriminator(data.shape, output=hidden)
    )
    return ReadingDiscriminator(trunk, output.heads, options.q)


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return InfoGanLoss(options)


@hookimpl
def gankit_sample_grid(data: DataSpec, z: Tensor, options: Options) -> SampleGrid:
    """A row has one z but for its category, which runs through the columns (figure 2a)."""
    columns = min(options.categories, 16)
    grid = z[:8].repeat_interleave(columns, dim=0)
    grid[:, : options.categories] = -1
    grid[torch.arange(len(grid)), torch.arange(columns).repeat(8)] = 1
    return SampleGrid(grid, columns=columns)


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    outputs = [[0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]]
    z = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]  # categories 0 and 2
    gaussian = Options(categories=2, continuous=1)
    return [
        Vector(
            name="category",
            loss=lambda: InfoGanLoss(Options(categories=3, continuous=0)),
            real=outputs,
            fake=outputs,
            z=z,
            expected={"d/category": 1.3235753653331326, "g/category": 1.3235753653331326},
        ),
        Vector(
            name="Gaussian code 0.5 read as 0.2",
            loss=lambda: InfoGanLoss(gaussian),
            real=[[0.0, 0.0, 0.0, 0.2]],
            fake=[[0.0, 0.0, 0.0, 0.2]],
            z=[[1.0, 0.0, 0.5]],
            expected={"g/continuous": 0.9639385332046727},
        ),
    ]
