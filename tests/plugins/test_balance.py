"""Balance: what D tells the generator is divided by its running norm, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from support_plugins import loop_with, step_of
from torch import Tensor

from gankit.contracts import Batch
from gankit.errors import InputError
from gankit.game.critic import Critic
from gankit.game.parts import Part, Step


def gradients(loop, slope: float, n: int = 4) -> Tensor:  # type: ignore[no-untyped-def]
    """What samples get of a mean loss whose gradient per sample has the norm `slope`, in a step of the generator."""
    samples = torch.zeros(n, 2, requires_grad=True)
    seen = loop.parts["balance"].shown(samples, step_of(loop, "generator", images=4))
    (slope * seen[:, 0]).mean().backward()
    assert samples.grad is not None
    return samples.grad


def test_a_sample_gets_a_gradient_of_norm_one_however_steep_the_critic_is() -> None:
    for slope in (1e-3, 1.0, 1e4):
        loop = loop_with("balance", shape=(2,))
        assert (4 * gradients(loop, slope)).norm(dim=1).tolist() == pytest.approx([1.0] * 4)


def test_the_norm_is_that_of_a_running_mean_of_squares() -> None:
    """decay 0.9, squares 4 and then 16: (0.9 * 0.1 * 4 + 0.1 * 16) / (0.9 * 0.1 + 0.1) = 10.3158."""
    loop = loop_with("balance", shape=(2,))
    gradients(loop, 2.0)
    found = 4 * gradients(loop, 4.0)[0, 0]
    assert float(found) == pytest.approx(4 / (1.96 / 0.19) ** 0.5)
    assert float(loop.parts["balance"].after_update(step_of(loop, "generator", images=8))["balance/norm"]) == (
        pytest.approx((1.96 / 0.19) ** 0.5)
    )


def test_a_batch_that_overflows_leaves_no_trace() -> None:
    loop = loop_with("balance", shape=(2,))
    gradients(loop, 2.0)
    for slope in (float("inf"), float("nan")):
        gradients(loop, slope)
    assert float(4 * gradients(loop, 4.0)[0, 0]) == pytest.approx(4 / (1.96 / 0.19) ** 0.5)


def test_nothing_is_changed_in_the_discriminators_phase() -> None:
    loop = loop_with("balance", shape=(2,))
    samples = torch.zeros(4, 2, requires_grad=True)
    assert loop.parts["balance"].shown(samples, step_of(loop, "discriminator", images=4)) is samples


class Pull(Part):
    """A term beside the adversarial one: the mean of G's output."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Tensor | None = None

    def terms(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        if step.name != "generator":
            return {}
        batch.fake.retain_grad()
        self.seen = batch.fake
        return {"pull": 3.0 * batch.fake[:, 0]}


def test_another_term_keeps_its_own_gradient() -> None:
    loop = loop_with("balance", shape=(2,), variant="wgan")
    with torch.no_grad():
        for parameter in loop.networks.discriminator.parameters():
            parameter.zero_()  # D says nothing, so what is left is the other term's
    pull = Pull()
    loop.add_part("pull", pull)
    loop.play("generator", Batch(torch.randn(4, 2)))
    assert pull.seen is not None
    assert pull.seen.grad is not None
    assert (4 * pull.seen.grad).tolist() == [[3.0, 0.0]] * 4


def test_a_critic_that_reconstructs_is_refused() -> None:
    with pytest.raises(InputError, match="this discriminator gives none"):
        loop_with("balance", variant="began", shape=(2,))
