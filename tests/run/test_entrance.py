"""How an adversarial loss enters: the ramp, the ratio of gradients, and its state."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gankit import Entrance
from gankit.errors import InputError


def test_nothing_while_d_learns_then_a_ramp_then_all() -> None:
    entrance = Entrance(weight=0.5, wait=2, ramp=4)
    loss = torch.ones((), requires_grad=True)
    assert [float(entrance(loss, 2 * loss).detach()) for _ in range(8)] == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    at_once = [Entrance(weight=1, wait=wait, ramp=0)(loss, loss).detach().item() for wait in (0, 1)]
    assert at_once == [1, 0]


def test_a_loss_that_does_not_count_sends_no_gradient_and_no_nan() -> None:
    entrance = Entrance(wait=1)
    layer = nn.Linear(2, 1)
    loss = entrance(layer.weight.sum(), layer.weight.sum() * torch.nan) + layer.weight.sum()
    assert bool(loss.isfinite())
    loss.backward()
    assert layer.weight.grad.tolist() == [[1, 1]]


@pytest.mark.parametrize(("weight", "left"), [({}, 0.95**50), ({"weight": 1}, 1)])
def test_by_default_the_other_loss_holds_its_error_back(weight: dict[str, float], left: float) -> None:
    """x²/2 against -x, whose gradients are brought to one norm: x - weight |x|. At 1 every x is a state of rest."""
    x = nn.Parameter(torch.ones(1))
    entrance = Entrance(**weight, wait=0, ramp=0, last_layer=x, memory=0)
    optimizer = torch.optim.SGD([x], 0.1)
    for _ in range(50):
        optimizer.zero_grad()
        other = x.square().sum() / 2
        (other + entrance(other, -x.sum())).backward()
        optimizer.step()
    assert x.item() == pytest.approx(left, rel=1e-4)


def losses(layer: nn.Parameter, other: float, adversarial: float) -> tuple[Tensor, Tensor]:
    """Two losses whose gradients at a layer of four numbers have these norms."""
    return other * layer.sum() / 2, adversarial * layer.sum() / 2


def test_the_ratio_is_that_of_averaged_norms_and_has_a_bound() -> None:
    layer = nn.Parameter(torch.ones(4))
    entrance = Entrance(weight=1, wait=0, ramp=0, last_layer=layer, most=10, memory=0.5)
    entrance(*losses(layer, 3.0, 1.5))
    assert float(entrance.ratio) == pytest.approx(2)  # of one step, it is the ratio of VQGAN
    weighed = entrance(*losses(layer, 1.0, 0.5))  # (3 + 1) / 2 and (1.5 + 0.5) / 2
    assert float(entrance.ratio) == pytest.approx(2)
    assert float(weighed.detach()) == pytest.approx(2 * 0.5 * 4 / 2)
    entrance(*losses(layer, 6.0, 0.0))  # (2 + 6) / 2 and (1 + 0) / 2: one batch in which D says nothing
    assert float(entrance.ratio) == pytest.approx(8)
    for _ in range(20):
        entrance(*losses(layer, 6.0, 0.0))
    assert float(entrance.ratio) == 10
    silent = Entrance(wait=0, ramp=0, last_layer=layer)
    silent(*losses(layer, 0.0, 0.0))
    assert float(silent.ratio) == 0


def test_a_step_that_is_not_finite_changes_no_average() -> None:
    layer = nn.Parameter(torch.ones(4))
    entrance = Entrance(wait=0, ramp=0, last_layer=layer, most=5)
    entrance(*losses(layer, 2.0, 1.0))
    entrance(*losses(layer, torch.inf, torch.nan))
    assert float(entrance.ratio) == pytest.approx(2)


def test_its_state_is_in_its_buffers_and_the_layer_is_not() -> None:
    layer = nn.Parameter(torch.ones(4))
    first, second = (Entrance(wait=1, ramp=3, last_layer=layer) for _ in range(2))
    for _ in range(2):
        first(*losses(layer, 1.0, 2.0))
    assert set(first.state_dict()) == {"steps", "norms"}
    assert not [*first.parameters()]
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(*losses(layer, 1.0, 2.0)), first(*losses(layer, 1.0, 2.0)))


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in ({"weight": 0.0}, {"wait": -1}, {"ramp": -1}, {"most": 0.0}, {"memory": 1.0}):
        with pytest.raises(InputError, match=r"Entrance\(weight="):
            Entrance(**wrong)
    layer, other = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
    with pytest.raises(InputError, match="the adversarial loss does not depend on last_layer"):
        Entrance(last_layer=layer)(layer.sum(), other.sum())
    with pytest.raises(InputError, match="the other loss does not depend on last_layer"):
        Entrance(last_layer=layer)(torch.ones(()), layer.sum())
    with pytest.raises(InputError, match="last_layer is Linear, not a parameter"):
        Entrance(last_layer=nn.Linear(2, 2))
    with pytest.raises(InputError, match="last_layer does not learn"):
        Entrance(last_layer=layer.requires_grad_(False))(other.sum(), other.sum())


def test_validation_without_gradients_counts_nothing() -> None:
    layer = nn.Parameter(torch.ones(4))
    entrance = Entrance(weight=1, wait=0, ramp=0, last_layer=layer, most=5)
    entrance(*losses(layer, 3.0, 1.5))
    with torch.no_grad():
        assert float(entrance(*losses(layer, 1.0, 1.0))) == pytest.approx(2 * 2)
    assert int(entrance.steps) == 1
