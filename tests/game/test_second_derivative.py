"""Penalties of networks whose usual kernels have no second derivative: attention, and operations without one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import gankit
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from gankit.contracts import Batch
from gankit.game.critic import Critic
from gankit.game.penalties import leaf, squared_gradients
from gankit.machine.precision import Precision


class Attention(nn.Module):
    """Points [N, 8] as four tokens that attend to each other -> scores [N]."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(len(x), 1, 4, 2)
        return scaled_dot_product_attention(tokens, tokens, tokens).square().flatten(1).sum(1)


def test_attention_is_penalised_exactly() -> None:
    """PyTorch's fused attention has no second derivative: a penalised pass takes the one that has."""
    torch.manual_seed(0)
    x = torch.randn(3, 8)
    critic = Critic(Attention(), Batch(x), Precision("fp32", torch.device("cpu")))
    points = leaf(x)
    penalty = squared_gradients(critic(points), points).sum()
    (second,) = torch.autograd.grad(penalty, points)
    step = 1e-4
    up, down = (leaf(x.double() + sign * step) for sign in (1, -1))
    rise = squared_gradients(critic(up), up).sum() - squared_gradients(critic(down), down).sum()
    assert float(second.sum()) == pytest.approx(float(rise.detach()) / (2 * step), rel=1e-3)


ONCE = """
import math
import torch
from torch import nn
from gankit.plugin import hookimpl

class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * gradient

class Critic(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.score = nn.Linear(math.prod(shape), 1)

    def forward(self, x):
        return self.score(Twice.apply(x.flatten(1))).squeeze(1)

@hookimpl
def gankit_discriminator(data):
    return Critic(data.shape)
"""


def test_an_operation_without_one_is_refused_in_words_and_learns_by_finite_differences(tmp_path: Path) -> None:
    (tmp_path / "once.py").write_text(ONCE)
    train = ["train", "--data", "ring8", "--with", "./once.py", "--with", "r1", "--steps", 2, "--device", "cpu"]
    refused = gankit(*train, "-o", "exact", cwd=tmp_path)
    assert refused.returncode == 2
    assert "error: a gradient penalty needs a second derivative" in refused.stderr
    assert "estimate=finite" in refused.stderr
    taken = gankit(*train, "-s", "r1.estimate=finite", "-o", "finite", cwd=tmp_path)
    assert taken.returncode == 0, taken.stderr
