"""Hinge GAN: a margin on both sides of zero; SNGAN with the extension spectral-norm (Miyato et al., 2018)."""

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.nn.functional import relu

from gankit.plugin import AdversarialLoss, Batch, Critic, TrainConfig, VariantInfo, Vector, hookimpl


class HingeLoss(AdversarialLoss):
    """Equations 16 and 17 of the paper, on raw scores [N] (also Lim and Ye, 2017)."""

    boundary = 0.0

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"real": relu(1 - critic(batch.real)), "fake": relu(1 + critic(batch.fake))}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": -critic(batch.fake)}


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1, capturable=True, title="Hinge GAN", paper="https://arxiv.org/abs/1802.05957", config=TrainConfig()
    )


@hookimpl
def gankit_loss() -> AdversarialLoss:
    return HingeLoss()


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    real, fake = [2.0, 0.5, -1.0], [-1.5, 0.0, 1.0]
    return [
        Vector(name="hinge", loss=HingeLoss, real=real, fake=fake, expected={"d": 11 / 6, "g": 1 / 6}),
        Vector(name="zeros", loss=HingeLoss, real=[0.0], fake=[0.0], expected={"d": 2, "g": 0}),
        Vector(name="on the margin", loss=HingeLoss, real=[1.0], fake=[-1.0], expected={"d": 0, "g": 1}),
    ]
