"""Least-squares GAN: squared distances of raw scores to codes for fake, real and wanted (Mao et al., 2017)."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from gankit.plugin import AdversarialLoss, Batch, Critic, VariantInfo, hookimpl, option


@dataclass(frozen=True)
class Options:
    a: float = option(0.0, help="code of fake samples for the discriminator")
    b: float = option(1.0, help="code of real samples for the discriminator")
    c: float = option(1.0, help="code the generator wants its samples to get")


class LeastSquaresLoss(AdversarialLoss):
    """Eq. 2 of the paper, on raw scores [N], with its factor 1/2."""

    def __init__(self, a: float, b: float, c: float) -> None:
        super().__init__()
        self.a, self.b, self.c = a, b, c

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = critic(batch.real), critic(batch.fake)
        return {"real": 0.5 * (real - self.b).square(), "fake": 0.5 * (fake - self.a).square()}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": 0.5 * (critic(batch.fake) - self.c).square()}


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(api=1, title="LSGAN", paper="https://arxiv.org/abs/1611.04076", options=Options)


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return LeastSquaresLoss(options.a, options.b, options.c)
