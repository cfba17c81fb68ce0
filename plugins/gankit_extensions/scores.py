"""What extensions on D's scores ask of a game, and refuse in the same words."""

from torch import Tensor

from gankit.plugin import Critic, InputError, TrainingLoop


def require_scores(loop: TrainingLoop, name: str, does: str) -> None:
    """InputError where D reconstructs samples: "top-k orders scores, and this discriminator gives none"."""
    if loop.loss.output.code:
        raise InputError(f"{name} {does}, and this discriminator gives none", hint=f"leave out --with {name}")


def both_scores(critic: Critic, name: str, does: str) -> tuple[Tensor, Tensor]:
    """The scores [N] of the real and of the fake samples, with their graph; InputError where a loss lacks one side."""
    real, fake = critic.attached_real, critic.attached_fake
    if real is None or fake is None:
        raise InputError(
            f"{name} {does} the scores of real and fake samples, and this loss does not score both",
            hint=f"leave out --with {name}",
        )
    return real, fake
