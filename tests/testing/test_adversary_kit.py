"""The kit for adversaries in other loops: sound ones pass, and each rule is broken by one that is made so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gankit
from gankit.discriminators import Patch
from gankit.plugin import Part, Step
from gankit.testing import CheckFailed
from gankit.testing.adversary import check_adversary

SHAPE = (1, 16, 16)


def decoder() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 256), nn.Tanh(), nn.Unflatten(1, SHAPE))


def built(d: Callable[[], nn.Module], loss: str = "hinge", **more: object) -> Callable[[], gankit.Adversary]:
    def build() -> gankit.Adversary:
        torch.manual_seed(3)
        return gankit.Adversary(d(), loss, shape=SHAPE, **more)  # type: ignore[arg-type]

    return build


class Scores(nn.Module):
    """Scores of a linear layer, changed by `forward` of a subclass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(256, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1)).squeeze(1)


@pytest.mark.parametrize("loss", ["hinge", "r3gan", "wgan-gp"])
def test_a_sound_adversary_passes_and_nothing_of_the_callers_changes(loss: str) -> None:
    make, before = decoder(), torch.get_rng_state()
    check_adversary(built(lambda: Patch(1, width=8, layers=2), loss, parts=["diffaugment"]), make, (4, 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in make.parameters())


class Coupled(Scores):
    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return scores + scores.mean()


class Infinite(Scores):
    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return scores if self.layer(x.flatten(1)).dtype == torch.float32 else scores / 0


class Forgetful(Scores):
    """Its state is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * (1 + 0.1 * self.calls)


class Blind(Scores):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.zeros_like(x.flatten(1))).squeeze(1)


class Thawing(Part):
    def terms(self, critic: object, batch: object, step: Step) -> dict[str, Tensor]:
        for parameter in step.player.parameters.values():
            parameter.requires_grad_(True)
        return {"more": critic(batch.fake)} if step.name == "generator" else {}  # type: ignore[operator, attr-defined]


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (built(Coupled), "the score of a sample is another when its neighbours are"),
        (built(Infinite), "in bf16 .* is not finite"),
        (built(Forgetful), "a continued loop differs: discriminator.layer"),
        (built(Blind), "g_loss gives your network no gradient"),
        (built(Scores, parts=[Thawing()]), "g_loss left a gradient in D"),
    ],
)
def test_each_rule_is_broken_by_one_that_is_made_so(build: Callable[[], gankit.Adversary], said: str) -> None:
    with pytest.raises(CheckFailed, match=said) as failed:
        check_adversary(build, decoder(), (4, 8))
    assert failed.value.hint


def test_a_network_of_another_shape_is_told() -> None:
    with pytest.raises(CheckFailed, match=r"your network makes \[4, 8\]"):
        check_adversary(built(Scores), nn.Linear(8, 8), (4, 8))
