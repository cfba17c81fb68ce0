"""The original GAN, non-saturating or minimax, with one-sided label smoothing (Goodfellow et al., 2014)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.functional import logsigmoid

from gankit.plugin import AdversarialLoss, Batch, Critic, VariantInfo, hookimpl, option


@dataclass(frozen=True)
class Options:
    objective: Literal["non-saturating", "minimax"] = option(
        "non-saturating", help="what the generator minimises: -log D(G(z)), or log(1 - D(G(z))) as in the minimax game"
    )
    label_smoothing: float = option(
        0.0, ge=0, lt=1, help="s: the real label becomes 1 - s; the fake label stays 0 (one-sided)"
    )


class GanLoss(AdversarialLoss):
    """Sigmoid cross-entropy on raw scores [N]: log D = logsigmoid(score), log(1 - D) = logsigmoid(-score)."""

    def __init__(self, objective: str, label_smoothing: float) -> None:
        super().__init__()
        self.objective = objective
        self.label_smoothing = label_smoothing

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        real, fake = critic(batch.real), critic(batch.fake)
        # Cross-entropy with the target 1 - s is -(1 - s) log D - s log(1 - D) = -log D + s * score.
        return {"real": -logsigmoid(real) + self.label_smoothing * real, "fake": -logsigmoid(-fake)}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        score = critic(batch.fake)
        return {"fake": logsigmoid(-score) if self.objective == "minimax" else -logsigmoid(score)}


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(api=1, title="GAN", paper="https://arxiv.org/abs/1406.2661", options=Options)


@hookimpl
def gankit_loss(options: Options) -> AdversarialLoss:
    return GanLoss(options.objective, options.label_smoothing)
