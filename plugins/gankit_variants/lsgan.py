"""Least-squares GAN: squared distances of raw scores to codes for fake, real and wanted (Mao et al., 2017)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from gankit.plugin import AdversarialLoss, Batch, Critic, VariantInfo, Vector, hookimpl, option


@dataclass(frozen=True)
class Options:
    a: float = option(0.0, schedule=False, help="code of fake samples for the discriminator")
    b: float = option(1.0, schedule=False, help="code of real samples for the discriminator")
    c: float = option(1.0, help="code the generator wants its samples to get")


class LeastSquaresLoss(AdversarialLoss):
    """Eq. 2 of the paper, on raw scores [N], with its factor 1/2."""

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0) -> None:
        super().__init__()
        self.a, self.b, self.c = a, b, c
        self.boundary = (a + b) / 2

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = critic(batch.real), critic(batch.fake)
        return {"real": 0.5 * (real - self.b).square(), "fake": 0.5 * (fake - self.a).square()}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": 0.5 * (critic(batch.fake) - self.c).square()}


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(api=1, capturable=True, title="LSGAN", paper="https://arxiv.org/abs/1611.04076", options=Options)


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return LeastSquaresLoss(options.a, options.b, options.c)


@hookimpl
def gankit_vectors() -> Sequence[Vector]:
    real, fake = [2.0, 0.5, -1.0], [-1.5, 0.0, 1.0]
    pearson = lambda: LeastSquaresLoss(-1.0, 1.0, 0.0)  # noqa: E731
    return [
        Vector(name="0-1 coding", loss=LeastSquaresLoss, real=real, fake=fake, expected={"d": 8.5 / 6, "g": 7.25 / 6}),
        Vector(name="Pearson coding", loss=pearson, real=real, fake=fake, expected={"d": 1.75, "g": 3.25 / 6}),
        Vector(name="equilibrium", loss=LeastSquaresLoss, real=[0.5], fake=[0.5], expected={"d": 0.25, "g": 0.125}),
    ]
