"""Top-k: G learns from the fakes that D finds most real, fewer of them as training goes on (Sinha et al., 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.plugin import (
    Critic,
    CriticWrapper,
    ExtensionInfo,
    InputError,
    Part,
    Step,
    TrainingLoop,
    gather,
    hookimpl,
    option,
)


@dataclass(frozen=True)
class Options:
    least: float = option(0.5, gt=0, le=1, schedule=False, help="share of each batch below which k never falls")
    decay: float = option(
        0.99, gt=0, le=1, schedule=False, help="factor of k for every `images`; the paper's for every epoch"
    )
    images: int = option(50_000, ge=1, help="images shown to D between two reductions of k")


class TopK(Part):
    """Lets gradients through the k best scores of a batch only; values and shapes of the scores stay as they are."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    def share(self, images: int) -> float:
        """The share of a batch that counts after so many images."""
        return max(self.options.least, self.options.decay ** (images // self.options.images))

    def critic(self, critic: Critic, step: Step) -> Critic:
        return BestFakes(critic, self.share(step.images)) if step.name == "generator" else critic


class BestFakes(CriticWrapper):
    """Scores of fake samples whose gradient is that of the best ones."""

    def __init__(self, inner: Critic, share: float) -> None:
        super().__init__(inner)
        self.share = share

    def __call__(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        output = self.inner(samples, condition)
        return only_top(output, self.share) if samples is self.batch.fake else output


def only_top(output: Tensor, share: float) -> Tensor:
    """The same scores [N] (or [N, 1 + heads]); the gradient of their mean is that of the mean over the best `share`.

    The best are those of the whole batch, where several processes share it.
    """
    scores, own = gather(output[:, 0] if output.ndim == 2 else output)
    k = max(1, round(len(scores) * share))
    best = torch.zeros_like(scores, dtype=torch.bool)
    best[scores.topk(k).indices] = True
    scale = len(scores) / k
    lifted = scale * output + (1 - scale) * output.detach()  # the value of the score, `scale` times its gradient
    return torch.where(best[own, None] if output.ndim == 2 else best[own], lifted, output.detach())


class Extension:
    """Adds the selection to games whose discriminator gives scores."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self, loop: TrainingLoop) -> Sequence[Part]:
        if loop.loss.output.code:
            raise InputError("top-k orders scores, and this discriminator gives none", hint="leave out --with top-k")
        return [TopK(self.options)]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="Top-k", options=Options, make=Extension)
