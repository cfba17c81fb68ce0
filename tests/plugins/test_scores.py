"""The scores of a phase are those of its batch, whatever else a loss asks the critic for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import HOOKS, LOSS
from support_plugins import loop_with

from gankit.contracts import Batch

ASKS = 'return {"score": critic(batch.fake) - critic(batch.real)'


@pytest.mark.parametrize(
    "more",
    [
        "critic(batch.real[:1]).mean()",  # it begins at the same address
        "critic(batch.fake[:2]).mean()",
        "critic(batch.real.flip(0)).mean()",
        "critic((batch.real + 1).detach().requires_grad_()).mean()",
        "critic(batch.real.view(batch.real.shape)).mean()",
    ],
)
def test_other_samples_do_not_falsify_the_statistics(tmp_path: Path, more: str) -> None:
    source = (LOSS + HOOKS).replace(ASKS, f'{ASKS}, "more": {more}')
    assert source != LOSS + HOOKS
    (tmp_path / "mine.py").write_text(source)
    loop = loop_with(variant=str(tmp_path / "mine.py"), shape=(2,))
    scores: list[torch.Tensor] = []
    loop.networks.discriminator.register_forward_hook(lambda _module, _inputs, output: scores.append(output.detach()))
    stats = loop.step(Batch(torch.randn(4, 2)))
    fake, real, _ = scores[:3]
    assert float(stats["score/real"]) == pytest.approx(float(real.mean()))
    assert float(stats["score/fake"]) == pytest.approx(float(fake.mean()))
