"""Thousands of steps of a penalised game in half precision."""

from __future__ import annotations

import pytest
import torch

from gankit.contracts import Batch, DataSpec
from gankit.run.build import build_loop
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_wgan_gp_under_amp_stays_finite_for_thousands_of_steps(precision: str) -> None:
    plan = plan_run(
        [Layer("test", {"variant": "wgan-gp", "precision": precision, "batch": 16, "z_dim": 4, "d_steps": 5})]
    )
    loop = build_loop(plan, DataSpec((2,)), CPU)
    torch.manual_seed(0)
    skipped = torch.zeros(())
    for _ in range(2000):
        angle = torch.randint(8, (16,)) * torch.pi / 4
        stats = loop.step(Batch(torch.stack([angle.cos(), angle.sin()], dim=1) + 0.02 * torch.randn(16, 2)))
        skipped += stats.get("skipped/discriminator", 0)
        assert all(bool(torch.isfinite(value)) for value in stats.values())
    assert skipped <= 10
    samples = loop.generate(loop.sample_z(500))
    assert 0.7 < float(samples.detach().norm(dim=1).mean()) < 1.3, "it did not learn the ring"
