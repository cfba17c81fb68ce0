"""R1 for any variant: the squared gradient of D's score at real samples is penalised (Mescheder et al., 2018).

With `at=between` it is penalised on the segments between real and fake samples instead (Thanh-Tung et al., 2019), which
keeps D flat between the modes of the data too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from gankit.plugin import (
    Batch,
    Critic,
    ExtensionInfo,
    InputError,
    Part,
    Step,
    TrainingLoop,
    between,
    hookimpl,
    leaf,
    option,
    squared_gradients,
)


@dataclass(frozen=True)
class Options:
    gamma: float = option(1.0, ge=0, help="weight: gamma/2 E|grad D(x)|^2; with --penalty-every k, k times that")
    at: Literal["real", "between"] = option(
        "real", help="where: at real samples, or at one uniform point between each real sample and a fake one"
    )


class R1(Part):
    """The penalty as one more term of the discriminator."""

    def __init__(self, gamma: float, at: str = "real") -> None:
        super().__init__()
        self.gamma, self.at = gamma, at

    def penalties(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        points = leaf(batch.real) if self.at == "real" else between(batch.real, batch.fake)
        output = critic(points)
        scores = output[:, 0] if output.ndim == 2 else output  # the score comes first
        return {"r1-extension": self.gamma / 2 * squared_gradients(scores, points)}


class Extension:
    """Adds the penalty to games whose discriminator gives scores."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self, loop: TrainingLoop) -> Sequence[Part]:
        if loop.loss.output.code:
            raise InputError("r1 penalises a score, and this discriminator gives none", hint="leave out --with r1")
        return [R1(self.options.gamma, self.options.at)]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="R1", options=Options, make=Extension)
