"""Centring and LeCam: terms on the scores that the loss has computed already."""

from __future__ import annotations

import pytest
import torch
from support_plugins import FAKE, REAL, batch_of, critic_of, double, loop_with, step_of

from gankit.contracts import Batch
from gankit.errors import InputError
from gankit.game.critic import Critic


def scored(real: list[float], fake: list[float]) -> tuple[Critic, Batch, torch.Tensor]:
    """A critic D(x) = s x, s = 1, that has scored both sides; and s, whose gradient tells what a term does to D."""
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    batch = batch_of(double(real), double(fake))
    critic = critic_of(lambda x: scale * x, batch)
    critic(batch.real)
    critic(batch.fake)
    return critic, batch, scale


def test_centring_draws_each_pair_of_scores_to_a_sum_of_zero() -> None:
    loop = loop_with("centre", shape=(2,), options={"centre": {"weight": 2.0}})
    critic, batch, scale = scored(REAL, FAKE)
    terms = loop.parts["centre"].terms(critic, batch, step_of(loop, "discriminator", images=4))
    assert terms["centre"].tolist() == [0.5, 0.5, 0.0]
    terms["centre"].mean().backward()
    assert float(scale.grad) == pytest.approx(2 / 3 * (0.5 + 0.5))  # type: ignore[arg-type]


def test_lecam_holds_scores_to_the_running_means_of_the_other_side() -> None:
    """decay 0.5: the averages of real are 1 and then (0.25 * 1 + 0.5 * 3) / 0.75, those of fake its negatives."""
    loop = loop_with("lecam", shape=(2,), options={"lecam": {"weight": 1.0, "decay": 0.5}})
    step = step_of(loop, "discriminator", images=4)
    for scores, average in ((1.0, 1.0), (3.0, 1.75 / 0.75)):
        critic, batch, _ = scored([scores], [-scores])
        term = loop.parts["lecam"].terms(critic, batch, step)["lecam"]
        assert float(term.detach()) == pytest.approx(2 * (scores + average) ** 2)


def test_lecam_leaves_scores_alone_that_lie_on_the_wrong_side() -> None:
    loop = loop_with("lecam", shape=(2,), options={"lecam": {"weight": 1.0}})
    critic, batch, _ = scored([-1.0], [1.0])
    term = loop.parts["lecam"].terms(critic, batch, step_of(loop, "discriminator", images=4))["lecam"]
    assert float(term.detach()) == 0


@pytest.mark.parametrize("name", ["centre", "lecam"])
def test_the_generator_gets_no_such_term(name: str) -> None:
    loop = loop_with(name, shape=(2,))
    critic, batch, _ = scored(REAL, FAKE)
    assert loop.parts[name].terms(critic, batch, step_of(loop, "generator", images=4)) == {}


@pytest.mark.parametrize("name", ["centre", "lecam"])
def test_what_gives_no_scores_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="this discriminator gives none"):
        loop_with(name, variant="began", shape=(2,))


@pytest.mark.parametrize("name", ["centre", "lecam"])
@pytest.mark.parametrize("variant", ["gan", "r3gan", "infogan", "wgan-gp"])
def test_the_term_is_part_of_every_step(name: str, variant: str) -> None:
    loop = loop_with(name, variant=variant, shape=(2,), z_dim=16)
    stats = loop.step(Batch(torch.randn(4, 2), fresh=Batch(torch.randn(4, 2))))
    assert torch.isfinite(stats[f"d/{name}"])
