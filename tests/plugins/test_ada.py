"""ADA: the transformations, the controller of p, and the games for which there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support_plugins import critic_of, loop_with, step_of
from support_runs import assert_same_state, state_of
from torch import Tensor, nn

import gankit
from gankit.contracts import Batch
from gankit.errors import InputError
from gankit.game.loop import TrainingLoop
from gankit.game.parts import Part, Step
from gankit_extensions import ada

IMAGES = Batch(torch.zeros(4, 3, 16, 16))


# -- the controller ----------------------------------------------------------------------------------------------------


class Constant(nn.Module):
    """A discriminator that gives every sample the same score."""

    def __init__(self, score: float) -> None:
        super().__init__()
        self.score = score
        self.zero = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.score + self.zero * images.flatten(1).sum(1)


def controlled(score: float, variant: str = "gan", **options: Any) -> tuple[TrainingLoop, Constant]:
    """A loop with ada whose discriminator gives every sample `score`."""
    loop = loop_with("ada", variant=variant, options={"ada": {"images": 64, "target": 0.5, **options}})
    loop.networks.discriminator = discriminator = Constant(score)
    player = loop.players["discriminator"]
    player.parameters = dict(discriminator.named_parameters())
    player.optimizer = torch.optim.SGD([{"params": list(discriminator.parameters()), "lr_scale": 1.0}], lr=0.0)
    return loop, discriminator


def probabilities(loop: TrainingLoop, steps: int) -> list[float]:
    return [float(loop.step(IMAGES)["ada/p"]) for _ in range(steps)]


def test_p_follows_the_signs_every_four_steps_and_stays_within_0_and_1() -> None:
    loop, discriminator = controlled(1.0)
    p = probabilities(loop, 20)
    assert p[:8] == [0, 0, 0, 0.25, 0.25, 0.25, 0.25, 0.5]  # four batches of four are a quarter of 64
    assert p[-1] == 1.0
    discriminator.score = -1.0
    assert probabilities(loop, 20)[3::4] == [0.75, 0.5, 0.25, 0.0, 0.0]


@pytest.mark.parametrize(("score", "moves"), [(0.6, True), (0.4, False)])
def test_lsgan_takes_a_sample_for_real_above_one_half(score: float, moves: bool) -> None:
    loop, _ = controlled(score, variant="lsgan")
    assert (probabilities(loop, 4)[-1] > 0) is moves


def test_steps_whose_real_scores_are_not_known_are_not_counted() -> None:
    """p moves after four steps in which they are."""
    loop, part = loop_with("ada"), ada.Ada(ada.Options(images=64, target=0.6), boundary=0.0)
    found = []
    for number in range(6):
        step = step_of(loop, "discriminator", images=4 * (number + 1), images_since=4)
        step.critic = critic_of(Constant(1.0), IMAGES)
        if number not in (1, 3):
            step.critic(IMAGES.real)
        part.after_update(step)
        found.append((float(part.p), float(part.counted), float(part.signs)))
    assert found == [(0, 1, 1), (0, 1, 1), (0, 2, 2), (0, 2, 2), (0, 3, 3), (0.25, 0, 0)]


def test_in_a_loop_of_ones_own_p_moves_by_the_images_that_were_shown() -> None:
    """4 x 6 of 48 images are half of the way from 0 to 1, however the caller batches."""
    adversary = gankit.Adversary(
        Constant(1.0), "gan", shape=(3, 16, 16), parts=["ada"], options={"ada": {"images": 48, "target": 0.5}}, lr=0.0
    )
    for _ in range(4):
        images = torch.zeros(6, 3, 16, 16)
        stats = adversary.d_step(images, images)
    assert float(stats["ada/p"]) == 0.5


@pytest.mark.parametrize("variant", ["wgan", "wgan-gp", "r3gan"])
def test_a_loss_without_a_boundary_has_no_controller(variant: str) -> None:
    with pytest.raises(InputError, match="this loss has no score for that") as caught:
        loop_with("ada", variant=variant)
    assert "-s ada.p=" in (caught.value.hint or "")
    loop_with("ada", variant=variant, options={"ada": {"p": 0.2}})


@pytest.mark.parametrize("options", [{}, {"p": 0.2}])
def test_a_loss_that_reconstructs_is_refused_whatever_p_is(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="to reconstruct the ones it was given"):
        loop_with("ada", variant="began", options={"ada": options})


class Seen(Part):
    """Remembers the probability whenever samples are shown."""

    def __init__(self, part: ada.Ada) -> None:
        super().__init__()
        self.part = [part]
        self.found: list[float] = []

    def shown(self, samples: Tensor, step: Step) -> Tensor:
        p = self.part[0].options.p
        self.found.append(float(self.part[0].p if p is None else p))
        return samples


@pytest.mark.parametrize(("p", "expected"), [(0.3, [0.3] * 6), ("linear(0, 1, 16)", [0, 0.25, 0.5, 0.75, 1, 1])])
@pytest.mark.parametrize("variant", ["gan", "wgan"])
def test_a_fixed_or_a_scheduled_p_holds_from_the_first_step_without_a_controller(
    variant: str, p: object, expected: list[float]
) -> None:
    loop, _ = controlled(1.0, variant=variant, p=p)
    part = loop.parts["ada"]
    assert isinstance(part, ada.Ada)
    seen = Seen(part)
    loop.add_part("seen", seen)
    for _ in range(6):
        loop.step(IMAGES)
    # Real samples, fakes, and fakes once more in the generator's phase.
    assert seen.found == pytest.approx([value for value in expected for _ in range(3)])


def test_the_controller_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        **{"data": "digits", "size": "8x8", "device": "cpu", "batch": 8, "z_dim": 8, "precision": "fp32"},
        "extensions": ["ada"],
        "options": {"ada": {"images": 100, "target": 0.1}},
    }
    straight = gankit.train("gan", steps=9, out=tmp_path / "straight", **settings)
    gankit.train("gan", steps=6, out=tmp_path / "broken", **settings)  # between two changes of p
    assert float(state_of(tmp_path / "broken")["loop.parts.ada.counted"]) == 2
    gankit.resume(tmp_path / "broken", steps=9)
    assert_same_state(straight.folder, tmp_path / "broken")
