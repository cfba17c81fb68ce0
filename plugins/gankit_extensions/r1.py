"""R1 for any variant: the squared gradient of D's score at real samples is penalised (Mescheder et al., 2018)."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from torch import Tensor

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    ExtensionInfo,
    InputError,
    hookimpl,
    leaf,
    option,
    squared_gradients,
)


@dataclass(frozen=True)
class Options:
    gamma: float = option(1.0, ge=0, help="weight: gamma/2 E|grad D(x)|^2; with --penalty-every k, k times that")


class R1:
    """Adds the term `r1` to whatever the discriminator minimises."""

    def __init__(self, options: Options) -> None:
        self.gamma = options.gamma

    @hookimpl(wrapper=True)
    def gankit_loss(self) -> Generator[None, AdversarialLoss, AdversarialLoss]:
        loss = yield
        if loss.output.code:
            raise InputError("r1 penalises a score, and this discriminator gives none", hint="leave out --with r1")
        plain = loss.discriminator

        def discriminator(critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
            terms = plain(critic, batch)
            if not loss.penalty_gain:
                return terms
            points = leaf(batch.real)
            output = critic(points)
            scores = output[:, 0] if output.ndim == 2 else output  # the score comes first
            return {**terms, "r1-extension": loss.penalty_gain * self.gamma / 2 * squared_gradients(scores, points)}

        loss.discriminator = discriminator  # type: ignore[method-assign]
        return loss


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="R1", options=Options, make=R1, penalised=True)
