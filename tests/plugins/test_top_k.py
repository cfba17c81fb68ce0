"""Top-k: whose gradients count, and how k falls."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support_plugins import loop_with
from support_runs import RING8, StopAt, assert_same_state

import gankit
from gankit.contracts import Batch
from gankit.errors import Stopped
from gankit_extensions import top_k


def test_only_the_top_scores_have_gradients_and_the_mean_is_over_them() -> None:
    scores = torch.tensor([0.5, 3.0, -1.0, 2.0], requires_grad=True)
    kept = top_k.only_top(scores, 0.5)
    assert torch.equal(kept, scores)
    (gradient,) = torch.autograd.grad(kept.square().mean(), scores)
    (expected,) = torch.autograd.grad(scores[[1, 3]].square().mean(), scores)
    assert torch.allclose(gradient, expected)


def test_k_falls_to_its_floor() -> None:
    part = top_k.TopK(top_k.Options(least=0.5, decay=0.9, images=100), None)
    assert [round(64 * part.share(images)) for images in (0, 99, 100, 200, 10_000)] == [64, 64, 58, 52, 32]


def test_k_reaches_half_of_the_batch_at_half_of_the_budget() -> None:
    """0.99^68 = 0.5049 and 0.99^69 = 0.4998: 69 reductions in 100,000 images, one in 1449.3."""
    part = top_k.TopK(top_k.Options(), 200_000)
    shares = {
        0: 1,
        1_449: 1,
        1_450: 0.99,
        2_899: 0.9801,
        50_000: 0.99**34,
        99_999: 0.99**68,
        100_001: 0.5,
        200_000: 0.5,
    }
    assert {images: part.share(images) for images in shares} == pytest.approx(shares)
    assert round(64 * part.share(200_000)) == 32
    late = top_k.TopK(top_k.Options(until=1.0, least=0.25), 1_000)
    assert [late.share(500), late.share(999), late.share(1_001)] == pytest.approx([0.99**69, 0.99**137, 0.25])


def test_the_pace_of_the_paper_is_a_reduction_in_each_epoch() -> None:
    for part in (top_k.TopK(top_k.Options(images=50_000), 200_000), top_k.TopK(top_k.Options(), None)):
        assert [part.share(images) for images in (49_999, 50_000, 200_000)] == pytest.approx([1, 0.99, 0.99**4])
        assert part.share(50_000 * 69) == 0.5


@pytest.mark.parametrize("options", [{"least": 1.0}, {"decay": 1.0}])
def test_k_never_falls_below_the_batch_where_it_is_not_asked_to(options: dict[str, float]) -> None:
    assert top_k.TopK(top_k.Options(**options), 1_000).share(1_000_000) == 1


def test_the_pace_follows_the_budget_of_the_run() -> None:
    for settings, interval in (({"images": 138_000}, 1_000), ({"steps": 34_500}, 1_000), ({"time_s": 60}, 50_000)):
        part = loop_with("top-k", shape=(2,), **settings).parts["top-k"]
        assert isinstance(part, top_k.TopK)
        assert part.interval == interval


def test_a_stopped_run_has_the_pace_of_its_budget_again(tmp_path: Path) -> None:
    settings = {**RING8, "extensions": ["top-k"], "options": {"top-k": {"decay": 0.7}}, "steps": 8}
    straight = gankit.train("gan", out=tmp_path / "a", **settings)
    with pytest.raises(Stopped):
        gankit.train("gan", out=tmp_path / "b", on_step=StopAt(3), **settings)
    gankit.resume(tmp_path / "b")
    assert_same_state(straight.folder, tmp_path / "b")


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
