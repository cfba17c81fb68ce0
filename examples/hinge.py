"""Hinge GAN: a margin on both sides of zero (Lim and Ye, 2017; Miyato et al., 2018). A whole variant in one file."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import relu

from gankit.plugin import AdversarialLoss, Batch, Critic, TrainConfig, VariantInfo, hookimpl, option


@dataclass(frozen=True)
class Options:
    margin: float = option(1.0, gt=0, help="scores beyond +margin (real) and -margin (fake) cost nothing")


class HingeLoss(AdversarialLoss):
    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"real": relu(self.margin - critic(batch.real)), "fake": relu(self.margin + critic(batch.fake))}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": -critic(batch.fake)}


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(api=1, title="Hinge GAN", options=Options, config=TrainConfig(g_lr=2e-4, d_lr=4e-4))


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return HingeLoss(options.margin)
