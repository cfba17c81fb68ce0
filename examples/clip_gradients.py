"""An extension with an option: no gradient of either player is longer than a bound.

gankit train --with ./examples/clip_gradients.py -s clip-gradients.norm=0.5
"""

from collections.abc import Generator
from dataclasses import dataclass

from torch.nn.utils import clip_grad_norm_

from gankit.plugin import ExtensionInfo, TrainingLoop, hookimpl, option


@dataclass(frozen=True)
class Options:
    norm: float = option(1.0, gt=0, help="longest gradient of all parameters of a player together")


class ClipGradients:
    """Shortens gradients before each optimiser's step; nothing waits for the device."""

    def __init__(self, options: Options) -> None:
        self.norm = options.norm

    @hookimpl(wrapper=True)
    def gankit_training_loop(self) -> Generator[None, TrainingLoop, TrainingLoop]:
        loop = yield
        for player, optimizer in loop.optimizers.items():

            def clip(*_: object, player: str = player) -> None:
                clip_grad_norm_(loop.players[player].values(), self.norm)

            optimizer.register_step_pre_hook(clip)
        return loop


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="Clipped gradients", options=Options, make=ClipGradients)
