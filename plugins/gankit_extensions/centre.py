"""Centring: pairs of scores are drawn towards a sum of zero (Adversarial Flow Models, 2025).

A relativistic loss sees differences of scores only, so that nothing holds their level: it drifts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from gankit.plugin import (
    Batch,
    Critic,
    ExtensionInfo,
    Part,
    Step,
    TrainingLoop,
    Vector,
    hookimpl,
    option,
)
from gankit_extensions.scores import both_scores, require_scores


@dataclass(frozen=True)
class Options:
    weight: float = option(0.01, ge=0, help="of E (D(x) + D(G(z)))^2 over pairs, a term of the discriminator")


class Centre(Part):
    """(D(x_i) + D(G(z_i)))^2 as one more term of the discriminator."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def terms(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        if step.name != "discriminator":
            return {}
        real, fake = both_scores(critic, "centre", "sums")
        return {"centre": self.weight * (real + fake).square()}


class Extension:
    """Adds the term to games whose discriminator gives scores."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self, loop: TrainingLoop) -> Sequence[Part]:
        require_scores(loop, "centre", "needs scores")
        return [Centre(self.options.weight)]

    @hookimpl
    def gankit_vectors(self) -> Sequence[Vector]:
        return [
            Vector(
                name="pairs, weight 0.01",
                part=lambda: Centre(0.01),
                real=[2.0, 0.5, -1.0],
                fake=[-1.5, 0.0, 1.0],
                expected={"d/centre": 0.01 * (0.25 + 0.25 + 0.0) / 3, "g": 0.0},
            )
        ]


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="Centring", options=Options, make=Extension)
