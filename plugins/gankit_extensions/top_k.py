"""Top-k: G learns from the fakes that D finds most real, fewer of them as training goes on (Sinha et al., 2020)."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.plugin import Batch, Critic, ExtensionInfo, InputError, TrainingLoop, hookimpl, option


@dataclass(frozen=True)
class Options:
    least: float = option(0.5, gt=0, le=1, help="share of each batch below which k never falls")
    decay: float = option(0.99, gt=0, le=1, help="factor of k for every `images`; the paper's for every epoch")
    images: int = option(50_000, ge=1, help="shown to D between two reductions of k")


class TopK:
    """Lets gradients through the k best scores of a batch only; values and shapes of the scores stay as they are."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def count(self, n: int, seen: int) -> int:
        """k of n after so many images."""
        share = max(self.options.least, self.options.decay ** (seen // self.options.images))
        return max(1, round(n * share))

    @hookimpl(wrapper=True)
    def gankit_training_loop(self) -> Generator[None, TrainingLoop, TrainingLoop]:
        loop = yield
        if loop.loss.output.code:
            raise InputError("top-k orders scores, and this discriminator gives none", hint="leave out --with top-k")
        plain = loop.loss.generator

        def generator(critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
            def best(samples: Tensor) -> Tensor:
                output = critic(samples)
                if samples.data_ptr() != batch.fake.data_ptr():
                    return output
                return only_top(output, self.count(len(output), loop.steps * loop.config.batch))

            return plain(best, batch)

        loop.loss.generator = generator  # type: ignore[method-assign]
        return loop


def only_top(output: Tensor, k: int) -> Tensor:
    """The same scores [N] (or [N, 1 + heads]); the gradient of a mean over them is that of the mean over the top k."""
    scores = output[:, 0] if output.ndim == 2 else output
    top = torch.zeros_like(scores, dtype=torch.bool)
    top[scores.topk(k).indices] = True
    scale = len(scores) / k
    lifted = scale * output + (1 - scale) * output.detach()  # the value of the score, `scale` times its gradient
    return torch.where(top[:, None] if output.ndim == 2 else top, lifted, output.detach())


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="Top-k", options=Options, make=TopK)
