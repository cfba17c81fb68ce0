"""Relativistic average GAN: each score is compared with the mean of the other side (Jolicoeur-Martineau, 2018)."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import softplus

from gankit.plugin import AdversarialLoss, Batch, Critic, TrainConfig, VariantInfo, hookimpl


class RelativisticLoss(AdversarialLoss):
    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = critic(batch.real), critic(batch.fake)
        return {"real": softplus(fake.mean() - real), "fake": softplus(fake - real.mean())}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = critic(batch.real), critic(batch.fake)
        return {"real": softplus(real - fake.mean()), "fake": softplus(real.mean() - fake)}


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(api=1, title="RaGAN", config=TrainConfig(g_lr=2e-4, d_lr=4e-4))


@hookimpl
def gankit_loss() -> AdversarialLoss:
    return RelativisticLoss()
