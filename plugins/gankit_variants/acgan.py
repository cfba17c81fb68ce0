"""ACGAN: the discriminator also names the class that the generator is given (Odena et al., 2017)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    CriticOutput,
    DataSpec,
    InputError,
    TrainConfig,
    VariantInfo,
    Vector,
    hookimpl,
    option,
)
from gankit_variants.gan import GanLoss


@dataclass(frozen=True)
class Options:
    real_weight: float = option(1.0, ge=0, help="weight of the class's cross-entropy for D on real samples")
    fake_weight: float = option(
        0.0,
        ge=0,
        help="the same on fake samples; the paper has 1, which lets both players agree on one picture a class",
    )
    g_weight: float = option(0.1, ge=0, help="weight of the class's cross-entropy for G; the paper has 1")


class AcganLoss(AdversarialLoss):
    """D maximises L_S + L_C, G L_C - L_S (section 3); D returns [N, 1 + classes] and is not given the class."""

    def __init__(self, classes: int, real_weight: float, fake_weight: float, g_weight: float) -> None:
        super().__init__()
        self.output = CriticOutput(heads=classes, condition="none")
        self.real_weight, self.fake_weight, self.g_weight = real_weight, fake_weight, g_weight
        self.game = GanLoss()
        self.boundary = self.game.boundary

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = critic(batch.real), critic(batch.fake)
        self.log("accuracy", (real[:, 1:].argmax(1) == _labels(batch)).float())
        return {
            "real": self.game.real_term(real[:, 0]),
            "fake": self.game.fake_term(fake[:, 0]),
            "class_real": self.real_weight * class_term(real, batch),
            "class_fake": self.fake_weight * class_term(fake, batch),
        }

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        output = critic(batch.fake)
        return {"fake": self.game.generator_term(output[:, 0]), "class_fake": self.g_weight * class_term(output, batch)}


def _labels(batch: Batch) -> Tensor:
    assert batch.labels is not None
    return batch.labels


def class_term(output: Tensor, batch: Batch) -> Tensor:
    """-log P(class | sample) [N] from raw class scores: cross-entropy takes no softmax before it."""
    return cross_entropy(output[:, 1:], _labels(batch), reduction="none")


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        capturable=True,
        scores="logits",
        title="ACGAN",
        paper="https://arxiv.org/abs/1610.09585",
        options=Options,
        config=TrainConfig(conditional=True),
        conditional="required",
        conditional_note="its discriminator learns to name the class that the generator was given",
    )


@hookimpl
def gankit_loss(data: DataSpec, options: Options) -> AdversarialLoss:
    if not data.classes or data.condition not in (0, len(data.classes)):
        raise InputError(
            "ACGAN needs a label for each sample",
            hint="--labels COLUMN, a column of classes; --variant cgan takes vectors as well",
        )
    return AcganLoss(len(data.classes), options.real_weight, options.fake_weight, options.g_weight)


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    outputs = [[0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]]  # score 0, then the scores of three classes
    return [
        Vector(
            name="class terms",
            loss=lambda: AcganLoss(3, 1.0, 1.0, 1.0),
            real=outputs,
            fake=outputs,
            labels=[0, 2],
            expected={
                "d/class_real": 1.3235753653331326,
                "g/class_fake": 1.3235753653331326,
                "g/fake": math.log(2),
            },
        )
    ]
