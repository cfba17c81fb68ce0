"""Both learning rates fall along half a cosine (Loshchilov and Hutter, 2017, without restarts)."""

import math
from collections.abc import Generator
from dataclasses import dataclass

from torch.optim import Optimizer

from gankit.plugin import ExtensionInfo, TrainingLoop, hookimpl, option


@dataclass(frozen=True)
class Options:
    images: int = option(200_000, ge=1, help="shown to D when the rates have reached their end; they stay there")
    end: float = option(0.0, ge=0, le=1, help="share of the first rates that is left then")


def share(seen: float, options: Options) -> float:
    """What is left of a rate after `seen` images."""
    done = min(1.0, seen / options.images)
    return options.end + (1 - options.end) * (1 + math.cos(math.pi * done)) / 2


class HalfCosine:
    """The rates are a function of the images seen, so a resumed run has nothing to remember."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl(wrapper=True)
    def gankit_training_loop(self) -> Generator[None, TrainingLoop, TrainingLoop]:
        loop = yield
        for player, optimizer in loop.optimizers.items():
            first = loop.config.g_lr if player == "generator" else loop.config.d_lr

            def follow(optimizer: Optimizer, *_: object, first: float = first) -> None:
                for group in optimizer.param_groups:  # asked for here: a resumed optimizer has other ones
                    group["lr"] = first * share(loop.steps * loop.config.batch, self.options)

            optimizer.register_step_pre_hook(follow)
        return loop


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="Half cosine", options=Options, make=HalfCosine)
