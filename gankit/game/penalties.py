"""Gradients of the critic with respect to its input, and the penalties on them: per sample, never over the batch.

The points at which a gradient is taken are leaves that require grad. Core's critic scores such points in full
precision, independent of the precision of the run, and refuses batch norm, which couples the samples of a batch. Layers
that say so themselves (`couples_samples`) are let pass. Finite differences estimate a squared gradient without a second
derivative, from scores in full precision too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.game.critic import Critic, refuse_coupled_samples, scores_of
from gankit.machine.double_backward import inputs_only


def leaf(points: Tensor) -> Tensor:
    """The same points [N, …] as a new leaf that requires grad, at which a gradient can be taken."""
    return points.detach().requires_grad_(True)


def between(real: Tensor, fake: Tensor) -> Tensor:
    """A leaf [N, …] with one uniform point on the segment between the samples of each pair (one epsilon per sample)."""
    epsilon = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
    return leaf(torch.lerp(fake.detach(), real, epsilon))


def input_gradients(scores: Tensor, points: Tensor) -> Tensor:
    """Scores [N] of leaves [N, …] -> d score_i / d point_i as [N, D], differentiable once more.

    Where a sample has several scores (those of patches, [N · positions] or [N, …]), their mean is differentiated, so
    that a penalty does not grow with the number of patches. The sum over samples is differentiated: where the critic
    couples the samples of a batch, row i also has what sample i does to the scores of its neighbours.
    """
    total, positions = scores.sum(), scores.numel() // len(points)
    with inputs_only():
        (gradients,) = torch.autograd.grad(total if positions == 1 else total / positions, points, create_graph=True)
    return gradients.reshape(len(points), -1)


def gradient_norms(critic: Critic, points: Tensor) -> Tensor:
    """L2 norms [N] of the critic's gradients at `points` [N, …], which must be leaves; a norm of 0 has derivative 0."""
    norms: Tensor = torch.linalg.vector_norm(input_gradients(scores_of(critic(points)), points), dim=1)
    return norms


def gradient_penalty(critic: Critic, points: Tensor, target: float = 1.0, *, one_sided: bool = False) -> Tensor:
    """(||grad D|| - target)^2 as [N], unweighted and two-sided (WGAN-GP eq. 3, DRAGAN); zero-centred for target 0.

    `one_sided` penalises only norms above the target: max(0, ||grad D|| - target)^2 (Petzka et al., 2018, WGAN-LP).
    """
    excess = gradient_norms(critic, points) - target
    return (excess.relu() if one_sided else excess).square()


def squared_gradients(scores: Tensor, points: Tensor) -> Tensor:
    """||grad D||^2 as [N] from computed scores [N], without a factor 1/2 (R1, R2; Mescheder et al. 2018)."""
    return input_gradients(scores, points).square().sum(1)


def _of_samples(scores: Tensor, n: int) -> Tensor:
    """One score for each of n samples: of several, the mean."""
    return scores if len(scores) == n and scores.dim() == 1 else scores.reshape(n, -1).mean(1)


def finite_differences(critic: Critic, points: Tensor, sigma: float = 0.01, condition: Tensor | None = None) -> Tensor:
    """Estimates of ||grad D||^2 as [N] at points [N, …]: ((D(x + sigma e) - D(x)) / sigma)^2 with e ~ N(0, I).

    Two forward passes replace the second derivative (Adversarial Flow Models, 2025, arXiv 2511.22475). The estimate of
    one sample is right on average only, up to terms of the order of sigma^2, and has the spread of a squared normal
    number. Both passes are in full precision, whatever that of the run is: rounding is divided by sigma^2, and under
    bf16 the published sigma of 0.01 was seen to give 4.3 times the penalty. They draw the same random numbers, so that
    augmentations and dropout are those of one network. `condition` [N, K] replaces that of the batch.
    """
    refuse_coupled_samples(critic.discriminator)
    points = points.detach()
    moved = points + sigma * torch.randn_like(points)
    with critic.precision.full():
        with torch.random.fork_rng([points.device] if points.device.type == "cuda" else []):
            before = _of_samples(scores_of(critic(points, condition)), len(points))
        after = _of_samples(scores_of(critic(moved, condition)), len(points))
    return ((after - before) / sigma).square()
