"""LeCam: for few images, D's scores may not run away from what the other side's have been (Tseng et al., 2021).

Equation 7 of the paper, with the rectifiers of the authors' code: real scores are held down to the average of the fake
ones, and fake ones up to that of the real ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.plugin import (
    Batch,
    Critic,
    ExtensionInfo,
    Part,
    Step,
    TrainingLoop,
    Vector,
    batch_mean,
    hookimpl,
    option,
)
from gankit_extensions.scores import both_scores, require_scores


@dataclass(frozen=True)
class Options:
    weight: float = option(
        0.3, ge=0, help="of the term; the authors' 0.3 is for scores near 1, as hinge losses hold them"
    )
    decay: float = option(0.99, ge=0, lt=1, schedule=False, help="of the averages of scores, per step of D")


class LeCam(Part):
    """relu(D(x) - a_fake)^2 and relu(a_real - D(G(z)))^2 as one more term of the discriminator.

    The averages a include the present batch of all processes. They are sums with a weight of their own, so that the
    first batches count in full.
    """

    real: Tensor
    fake: Tensor
    counted: Tensor

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        for name in ("real", "fake", "counted"):
            self.register_buffer(name, torch.zeros(()))

    def terms(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        if step.name != "discriminator":
            return {}
        real, fake = both_scores(critic, "lecam", "compares")
        grows = 1 - self.options.decay
        self.real.lerp_(batch_mean(real).to(self.real), grows)
        self.fake.lerp_(batch_mean(fake).to(self.fake), grows)
        self.counted.lerp_(torch.ones_like(self.counted), grows)
        of_real, of_fake = self.real / self.counted, self.fake / self.counted
        return {"lecam": self.options.weight * ((real - of_fake).relu().square() + (of_real - fake).relu().square())}


class Extension:
    """Adds the term to games whose discriminator gives scores."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self, loop: TrainingLoop) -> Sequence[Part]:
        require_scores(loop, "lecam", "needs scores")
        return [LeCam(self.options)]

    @hookimpl
    def gankit_vectors(self) -> Sequence[Vector]:
        return [
            Vector(
                # The averages are 0.5 and -0.25 after the first batch, whatever the decay.
                name="the first batch, weight 0.3",
                part=lambda: LeCam(Options()),
                real=[2.0, -1.0],
                fake=[-1.5, 1.0],
                expected={"d/lecam": 0.3 * (2.25**2 + 0.0 + 2.0**2 + 0.0) / 2, "g": 0.0},
                source="Tseng et al., 2021, equation 7",
            )
        ]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="LeCam", options=Options, make=Extension)
