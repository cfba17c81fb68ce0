"""An extension with an option: no gradient of either player is longer than a bound.

gankit train --with ./examples/clip_gradients.py -s clip-gradients.norm=0.5
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch.nn.utils import clip_grad_norm_

from gankit.plugin import ExtensionInfo, Part, Step, hookimpl, option


@dataclass(frozen=True)
class Options:
    norm: float = option(1.0, gt=0, schedule=False, help="longest gradient of all parameters of a player together")


class ClipGradients(Part):
    """Shortens gradients before each optimiser's step; nothing waits for the device."""

    def __init__(self, norm: float) -> None:
        super().__init__()
        self.norm = norm

    def before_update(self, step: Step) -> None:
        clip_grad_norm_(step.player.parameters.values(), self.norm)


class Extension:
    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self) -> Sequence[Part]:
        return [ClipGradients(self.options.norm)]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="Clipped gradients", options=Options, make=Extension)
