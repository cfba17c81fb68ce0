"""DRAGAN: where its penalty is taken."""

from __future__ import annotations

import pytest
import torch

from gankit_variants import dragan


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, 0.07549024320360753), (0.5, 0.017403715465645866)])
def test_dragan_perturbs_with_half_the_standard_deviation_of_the_batch(alpha: float, expected: float) -> None:
    real = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    points = dragan.perturb(real, "one-sided", torch.ones_like(real), torch.full((2, 1), alpha))
    norms = points.norm(dim=1)  # the gradient of ||x||^2 / 2
    assert (norms - 1).square().mean().item() == pytest.approx(expected)


def test_dragans_centred_noise_stays_within_the_range_of_images() -> None:
    real = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1)
    moved = dragan.perturb(real, "centred", torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1), torch.ones(2, 1, 1, 1))
    assert moved.flatten().tolist() == [-1.0, 1.0]
    inwards = dragan.perturb(real, "centred", torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1), torch.ones(2, 1, 1, 1))
    assert inwards.flatten().tolist() == pytest.approx([-0.5, 0.5])
    signals, volumes = real.reshape(2, 1, 1), real.reshape(2, 1, 1, 1, 1)
    for samples in (signals, volumes):
        outwards = torch.tensor([0.0, 1.0]).reshape(samples.shape)
        assert dragan.perturb(samples, "centred", outwards, torch.ones_like(samples)).flatten().tolist() == [-1.0, 1.0]
