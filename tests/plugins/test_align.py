"""Alignment: where D's features are found, the term by hand, whose parameters learn, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support_plugins import Scores, batch_of, critic_of, loop_with, step_of
from support_runs import StopAt, assert_same_state
from torch import Tensor, nn

import gankit as api
from gankit.contracts import Batch
from gankit.errors import InputError, Stopped
from gankit.game.networks import Discriminator
from gankit.measure.features import lite0
from gankit_extensions import align

needs_lite0 = pytest.mark.skipif(not lite0.available(), reason="gankit[lite0] is not installed")
SMALL = {"align": {"side": 32, "hidden": 8}}
SHAPE = (3, 16, 16)


def found(network: nn.Module, *condition: Tensor) -> tuple[nn.Module, int]:
    return align.last_layer(network, torch.randn(2, *SHAPE), condition)


# -- where the features are --------------------------------------------------------------------------------------------


def test_the_features_are_what_the_layer_of_the_score_reads() -> None:
    for condition in (0, 2):  # the layer that reads the condition is not it
        network = Discriminator(SHAPE, condition=condition)
        layer, width = found(network, *([torch.zeros(2, 2)] if condition else []))
        assert layer is network.score
        assert width == network.score.in_features


def test_layers_behind_the_score_and_beside_it_are_left_out() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Conv2d(3, 5, 3), nn.LeakyReLU(0.2, inplace=True))
            self.score = nn.Conv2d(5, 1, 14)
            self.other = nn.Linear(5, 4)

        def forward(self, samples: Tensor) -> Tensor:
            x = self.trunk(samples)
            return torch.cat([self.score(x).flatten(1), self.other(x.mean((2, 3)))], dim=1)

    network = Two()
    assert found(network) == (network.score, 5)


def test_a_discriminator_without_features_of_its_own_is_refused() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(768, 1), nn.Flatten(0))
    with pytest.raises(InputError, match="align finds no features in this discriminator"):
        found(linear)
    pairs = nn.Bilinear(4, 4, 1)
    with pytest.raises(InputError, match=r"align cannot show this discriminator samples \[2, 3, 16, 16\]"):
        found(pairs)


def test_inputs_of_layers_are_averaged_over_positions() -> None:
    assert align.pooled(torch.arange(4.0).reshape(1, 1, 2, 2)).tolist() == [[1.5]]
    assert align.pooled(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])).tolist() == [[2.0, 3.0]]
    assert align.pooled(torch.tensor([[1.0, 2.0]])).tolist() == [[1.0, 2.0]]


# -- the term ----------------------------------------------------------------------------------------------------------


@needs_lite0
def test_the_term_is_one_minus_the_cosine_by_hand() -> None:
    """(3, 4) against (4, 3) has the cosine 24/25; a prediction along the feature has 1, one against it -1."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.Linear(2, 1), nn.Flatten(0))
    nn.init.eye_(network[1].weight)
    part = align.Align(align.Options(weight=2.0, side=32), align.Tap(network, network[2]), nn.Identity())
    part.frozen = Scores(lambda shown: torch.tensor([[4.0, 3.0], [1.0, 1.0], [1.0, 1.0]]))  # type: ignore[assignment]
    batch = batch_of(torch.tensor([[3.0, 4.0], [2.0, 2.0], [-1.0, -1.0]]), torch.zeros(3, 2))
    step = step_of(loop_with(), "discriminator", images=4)
    for scored in (lambda critic: critic(batch.real), lambda critic: critic.pair(), lambda critic: None):
        critic = part.critic(critic_of(network, batch), step)
        scored(critic)  # alone, beside the fakes, or not at all: then the part makes a pass of its own
        assert part.terms(critic, batch, step)["align"].tolist() == pytest.approx([0.08, 0.0, 4.0], abs=1e-6)


@needs_lite0
@pytest.mark.parametrize("variant", ["gan", "r3gan", "infogan", "projected"])
def test_the_head_and_the_trunk_learn_in_the_discriminators_phase_alone(variant: str) -> None:
    options = {**SMALL, **({"side": 64, "width": 8} if variant == "projected" else {})}
    loop = loop_with("align", variant=variant, options=options, z_dim=20)
    player = loop.players["discriminator"]
    head = [name for name in player.parameters if name.startswith("align.")]
    assert len(head) == 4
    before = {name: player.parameters[name].clone() for name in head}
    fresh = Batch(torch.rand(4, *SHAPE)) if loop.takes_fresh_reals else None
    stats = loop.step(Batch(torch.rand(4, *SHAPE) * 2 - 1, fresh=fresh))
    assert 0 <= float(stats["d/align"]) <= 2
    assert "g/align" not in stats
    assert not any(torch.equal(player.parameters[name], before[name]) for name in head)
    assert any(name.startswith("extra.align.") for name in loop.state_dict())
    assert not any(name.startswith("parts.align") for name in loop.state_dict())
    assert loop.critic_spaces == ("lite0",)
    assert loop.parts["align"].tap.features.numel() == 0  # no graph is kept after a phase


@needs_lite0
def test_the_target_is_of_what_the_discriminator_was_shown() -> None:
    loop = loop_with("diffaugment", "align", options=SMALL)
    shown: list[Tensor] = []
    seen: list[Tensor] = []
    part, network = loop.parts["align"], loop.networks.discriminator
    part.frozen.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    loop.play("discriminator", Batch(torch.rand(4, *SHAPE) * 2 - 1))
    assert len(shown) == 1
    assert torch.equal(shown[0], seen[0])


@needs_lite0
def test_a_stopped_run_is_continued_bit_for_bit(place: Path) -> None:
    settings: dict[str, Any] = {
        "data": "digits", "size": "8x8", "device": "cpu", "batch": 4, "z_dim": 8, "steps": 5,
        "extensions": ["align", "top-k", "diffaugment", "spectral-norm"], "options": SMALL,
    }  # fmt: skip
    straight = api.train("gan", out="a", **settings)
    with pytest.raises(Stopped):
        api.train("gan", out="b", on_step=StopAt(2), **settings)
    api.resume("b")
    assert_same_state(straight.folder, place / "b")
    assert api.load("a").header.critic_spaces == ("lite0",)


@pytest.mark.parametrize("shape", [(2,), (1, 64), (1, 8, 8, 8), (4, 16, 16)])
def test_what_has_no_features_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="align takes the features of grey and RGB images, and the data are"):
        loop_with("align", shape=shape)


def test_an_auto_encoder_is_refused() -> None:
    with pytest.raises(InputError, match="align needs scores, and this discriminator gives none"):
        loop_with("align", variant="began")
