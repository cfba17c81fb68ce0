"""Top-k: G learns from the fakes that D finds most real, fewer of them as training goes on (Sinha et al., 2020)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.plugin import (
    Critic,
    CriticWrapper,
    ExtensionInfo,
    Part,
    Step,
    TrainingLoop,
    gather,
    hookimpl,
    option,
    scores_of,
)
from gankit_extensions.scores import require_scores


@dataclass(frozen=True)
class Options:
    least: float = option(0.5, gt=0, le=1, schedule=False, help="share of each batch below which k never falls")
    decay: float = option(0.99, gt=0, le=1, schedule=False, help="factor of k at each of its reductions")
    until: float = option(
        0.5, gt=0, le=1, schedule=False, help="share of the budget after which k has reached its least"
    )
    images: int | None = option(
        None,
        ge=1,
        help="images shown to D between two reductions of k, 50000 in the paper (an epoch of CIFAR-10); None: as many "
        "as `until` asks for, and 50000 where time alone ends the run",
    )


EPOCH = 50_000  # images between two reductions in the paper, and here where there is no budget to take a share of


class TopK(Part):
    """Lets gradients through the k best scores of a batch only; values and shapes of the scores stay as they are.

    The share of the batch falls to `least` in steps of the factor `decay` (section 3 of the paper: 0.99, 1/2).
    """

    def __init__(self, options: Options, total_images: int | None) -> None:
        super().__init__()
        self.options = options
        # So many reductions lead to the floor; without any, or with a factor of 1, the interval does not matter.
        last = math.ceil(math.log(options.least) / math.log(options.decay)) if options.decay < 1 else 0
        paced = EPOCH if total_images is None else options.until * total_images / max(last, 1)
        self.interval = float(options.images or paced)
        """Images between two reductions."""

    def share(self, images: int) -> float:
        """The share of a batch that counts after so many images."""
        return max(self.options.least, self.options.decay ** int(images / self.interval))

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
    scores, own = gather(scores_of(output))
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
        require_scores(loop, "top-k", "orders scores")
        return [TopK(self.options, loop.total_images)]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="Top-k", options=Options, make=Extension)
