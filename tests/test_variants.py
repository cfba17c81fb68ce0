"""The formulas of the shipped variants against vectors worked out by hand (float64 in, six digits and more out)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gankit.contracts import Batch
from gankit.loss import AdversarialLoss
from gankit_variants.gan import GanLoss
from gankit_variants.lsgan import LeastSquaresLoss

REAL = [2.0, 0.5, -1.0]  # scores of three real samples
FAKE = [-1.5, 0.0, 1.0]


def losses(loss: AdversarialLoss, real: list[float] = REAL, fake: list[float] = FAKE) -> tuple[float, float]:
    """(discriminator, generator) for given raw scores: the samples are the scores and the critic is the identity."""
    batch = Batch(_float64(real), _float64(fake), z=torch.zeros(len(real), 1))
    critic = lambda scores: scores  # noqa: E731
    d = sum(term.mean() for term in loss.discriminator(critic, batch).values())
    g = sum(term.mean() for term in loss.generator(critic, batch).values())
    return float(d), float(g)


def _float64(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("objective", "smoothing", "expected_d", "expected_g"),
    [
        ("non-saturating", 0.0, 1.3740296096007407, 0.902607382020307),
        ("minimax", 0.0, 1.3740296096007407, -0.7359407153536401),
        ("non-saturating", 0.1, 1.424029609600741, 0.902607382020307),  # the generator's label is never smoothed
    ],
)
def test_gan_losses(objective: str, smoothing: float, expected_d: float, expected_g: float) -> None:
    assert losses(GanLoss(objective, smoothing)) == pytest.approx((expected_d, expected_g), rel=1e-13)


def test_gan_at_zero_scores_costs_two_and_one_times_log_two() -> None:
    assert losses(GanLoss("non-saturating", 0.3), [0.0], [0.0]) == pytest.approx((2 * math.log(2), math.log(2)))


def test_gan_smoothing_pulls_the_real_score_to_log_nine() -> None:
    real = torch.tensor([math.log(9.0)], dtype=torch.float64, requires_grad=True)
    batch = Batch(real, torch.zeros(1, dtype=torch.float64), z=torch.zeros(1, 1))
    term = GanLoss("non-saturating", 0.1).discriminator(lambda scores: scores, batch)["real"]
    assert term.item() == pytest.approx(0.32508297339144815)  # the entropy of 0.9
    (gradient,) = torch.autograd.grad(term.sum(), real)
    assert gradient.item() == pytest.approx(0.0, abs=1e-15)


def test_gan_gradients() -> None:
    real, fake = _float64(REAL).requires_grad_(), _float64(FAKE).requires_grad_()
    batch = Batch(real, fake, z=torch.zeros(3, 1))
    terms = GanLoss("non-saturating", 0.1).discriminator(lambda scores: scores, batch)
    gradients = torch.autograd.grad(sum(term.mean() for term in terms.values()), [real, fake])
    assert gradients[0].tolist() == pytest.approx([-0.0064009740, -0.0925135563, -0.2103528595], abs=1e-9)
    assert gradients[1].tolist() == pytest.approx([0.0608085079, 1 / 6, 0.2436861929], abs=1e-9)


def test_gan_stays_finite_where_sigmoid_saturates() -> None:
    assert losses(GanLoss("non-saturating", 0.0), [-1000.0], [1000.0]) == pytest.approx((2000.0, 0.0))
    assert losses(GanLoss("non-saturating", 0.1), [100.0], [-100.0]) == pytest.approx((10.0, 100.0))
    score = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
    batch = Batch(score, score, z=torch.zeros(1, 1))
    for objective, expected in (("non-saturating", -0.9999999979), ("minimax", -2.0611536e-9)):
        term = GanLoss(objective, 0.0).generator(lambda scores: scores, batch)["fake"].sum()
        (gradient,) = torch.autograd.grad(term, score)
        assert gradient.item() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    ("codes", "real", "fake", "expected"),
    [
        ((0.0, 1.0, 1.0), [0.0], [0.0], (0.5, 0.5)),
        ((0.0, 1.0, 1.0), [0.5], [0.5], (0.25, 0.125)),
        ((-1.0, 1.0, 0.0), [0.0], [0.0], (1.0, 0.0)),
        # ½(1 + ¼ + 4)/3 + ½(2¼ + 0 + 1)/3 and ½(6¼ + 1 + 0)/3
        ((0.0, 1.0, 1.0), REAL, FAKE, (8.5 / 6, 7.25 / 6)),
        # ½(1 + ¼ + 4)/3 + ½(¼ + 1 + 4)/3 and ½(2¼ + 0 + 1)/3
        ((-1.0, 1.0, 0.0), REAL, FAKE, (10.5 / 6, 3.25 / 6)),
    ],
)
def test_lsgan_losses(
    codes: tuple[float, float, float], real: list[float], fake: list[float], expected: tuple[float, float]
) -> None:
    assert losses(LeastSquaresLoss(*codes), real, fake) == pytest.approx(expected, rel=1e-13)
