"""Top-k: whose gradients count, and how k falls."""

from __future__ import annotations

import torch
from support_plugins import loop_with

from gankit.contracts import Batch
from gankit_extensions import top_k


def test_only_the_top_scores_have_gradients_and_the_mean_is_over_them() -> None:
    scores = torch.tensor([0.5, 3.0, -1.0, 2.0], requires_grad=True)
    kept = top_k.only_top(scores, 0.5)
    assert torch.equal(kept, scores)
    (gradient,) = torch.autograd.grad(kept.square().mean(), scores)
    (expected,) = torch.autograd.grad(scores[[1, 3]].square().mean(), scores)
    assert torch.allclose(gradient, expected)


def test_k_falls_to_its_floor() -> None:
    part = top_k.TopK(top_k.Options(least=0.5, decay=0.9, images=100))
    assert [round(64 * part.share(images)) for images in (0, 99, 100, 200, 10_000)] == [64, 64, 58, 52, 32]


def test_only_the_generator_learns_from_a_part_of_the_fakes() -> None:
    loop = loop_with("top-k", shape=(2,), options={"top-k": {"least": 0.25, "decay": 0.01, "images": 1}})
    gradients: dict[str, int] = {}

    def count(phase: str) -> None:
        def hook(gradient: torch.Tensor) -> None:
            gradients[phase] = int((gradient.flatten(1) != 0).any(1).sum())

        loop.networks.discriminator.register_forward_hook(lambda _module, inputs, _output: watch(inputs[0], hook))
        loop.play(phase, Batch(torch.randn(4, 2)))

    def watch(samples: torch.Tensor, hook: object) -> None:
        if samples.requires_grad:
            samples.register_hook(hook)

    count("generator")
    assert gradients == {"generator": 1}
