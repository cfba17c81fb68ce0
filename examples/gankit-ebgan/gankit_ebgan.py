"""EBGAN: the discriminator is an auto-encoder whose error is an energy, low for real samples (Zhao et al., 2017)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from gankit.plugin import (
    AdversarialLoss,
    AutoEncoder,
    Batch,
    Choice,
    Critic,
    DataSpec,
    LogUniform,
    PointAutoEncoder,
    TrainConfig,
    VariantInfo,
    Vector,
    hookimpl,
    option,
)


@dataclass(frozen=True)
class Options:
    margin: float = option(
        0.5, gt=0, help="m: energy that D demands of fake samples", search={"wide": LogUniform(0.05, 2)}
    )
    pull_away: float = option(
        0.1, ge=0, help="weight of G's pulling-away term (EBGAN-PT); 0: EBGAN", search={"wide": Choice((0.0, 0.1))}
    )
    code: int = option(64, ge=2, le=4096, help="numbers in the auto-encoder's code")


class Energy(nn.Module):
    """Samples [N, …] -> [N, 1 + code]: the mean squared error of the reconstruction, then the code."""

    def __init__(self, auto_encoder: AutoEncoder | PointAutoEncoder) -> None:
        super().__init__()
        self.auto_encoder = auto_encoder

    def forward(self, samples: Tensor) -> Tensor:
        code = self.auto_encoder.encoder(samples)
        error = (self.auto_encoder.decoder(code) - samples).flatten(1).square().mean(1, keepdim=True)
        return torch.cat([error, code], dim=1)


class EbganLoss(AdversarialLoss):
    """Equations 1 and 2 of the paper, and its pulling-away term (section 2.4) for the generator only."""

    def __init__(self, margin: float = 0.5, pull_away: float = 0.1) -> None:
        super().__init__()
        self.margin, self.pull_away = margin, pull_away

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = critic(batch.real)[:, 0], critic(batch.fake)[:, 0]
        return {"real": real, "fake": (self.margin - fake).relu()}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        output = critic(batch.fake)
        return {"fake": output[:, 0], "pull_away": self.pull_away * pulling_away(output[:, 1:])}


def pulling_away(codes: Tensor) -> Tensor:
    """Codes [N, K] -> the mean squared cosine of all pairs of different samples, a scalar in [0, 1]."""
    n = len(codes)
    cosines = normalize(codes) @ normalize(codes).T
    return (cosines.square().sum() - n) / (n * (n - 1))


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        title="EBGAN",
        paper="https://arxiv.org/abs/1609.03126",
        options=Options,
        config=TrainConfig(g_lr=5e-4, d_lr=5e-4),
        conditional="no",
        conditional_note="its energy is how badly a sample is reconstructed, whatever the class",
    )


@hookimpl
def gankit_discriminator(data: DataSpec, options: Options) -> nn.Module:
    if len(data.shape) == 3:
        channels, height, width = data.shape
        return Energy(AutoEncoder((channels, height, width), options.code))
    return Energy(PointAutoEncoder(data.shape[0]))


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return EbganLoss(options.margin, options.pull_away)


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    def outputs(*energies: float) -> list[list[float]]:
        codes = [[1.0, 0.0], [1.0, 1.0]]  # at 45 degrees: the squared cosine is 1/2
        return [[energy, *code] for energy, code in zip(energies, codes, strict=True)]

    return [
        Vector(
            name="within the margin",
            loss=lambda: EbganLoss(margin=1.0),
            real=outputs(0.3, 0.3),
            fake=outputs(0.4, 0.4),
            expected={"d": 0.9, "g/fake": 0.4, "g/pull_away": 0.05},
            source="equations 1, 2 and 14",
        ),
        Vector(
            name="the margin is of each sample",
            loss=lambda: EbganLoss(margin=1.0, pull_away=0.0),
            real=outputs(0.0, 0.0),
            fake=outputs(0.4, 1.8),
            expected={"d/fake": 0.3, "g": 1.1},
            source="equation 1",
        ),
    ]
