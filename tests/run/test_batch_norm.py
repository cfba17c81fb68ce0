"""Batch norm: statistics of the averaged generator, and batches that are too small for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support_runs import StopAt, assert_same_state, state_of, stats_of
from torch import Tensor, nn

import gankit
from gankit.base.seeds import derive_seed
from gankit.data import Preparation, builtin_datasets, load_dataset, spaced
from gankit.errors import Stopped
from gankit.sample.averages import STATISTICS_BATCH, STATISTICS_SAMPLES

LUCIC: dict[str, Any] = {"extensions": ["lucic-nets"], "precision": "fp32", "batch": 8, "z_dim": 8}
LUCIC |= {"data": "digits", "size": "8x8", "device": "cpu"}


def measured(generator: gankit.TrainedGenerator, seed: int) -> dict[str, Tensor]:
    """The means over some batches of what each batch norm gets in training: mean and variance by channel."""
    found: dict[str, list[Tensor]] = {}
    module = generator.module
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.train()

            def record(_layer: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                values = inputs[0].transpose(0, 1).flatten(1)
                found.setdefault(f"{name}.running_mean", []).append(values.mean(1))
                found.setdefault(f"{name}.running_var", []).append(values.var(1))

            layer.register_forward_pre_hook(record)
    z, _ = generator.space.draw(STATISTICS_SAMPLES, derive_seed(seed, "statistics"))
    with torch.no_grad():
        for start in range(0, len(z), STATISTICS_BATCH):
            module(z[start : start + STATISTICS_BATCH])
    return {name: torch.stack(values).mean(0) for name, values in found.items()}


def test_saved_statistics_are_those_of_the_averaged_weights(tmp_path: Path) -> None:
    """With the momentum of 0.001 of these layers, running statistics would hardly have left 0 and 1."""
    result = gankit.train("gan", steps=4, out=tmp_path / "run", g_lr=5e-3, **LUCIC)
    saved = {name: value.clone() for name, value in gankit.load(result.generator).module.named_buffers()}
    expected = measured(gankit.load(result.generator), seed=0)
    assert expected
    for name, value in expected.items():
        torch.testing.assert_close(
            saved[name], value, rtol=1e-4, atol=1e-6, msg=lambda said, name=name: f"{name}: {said}"
        )
    state = state_of(result.folder)
    assert all(torch.equal(state[f"loop.ema.{name}"], saved[name]) for name in expected)


def test_statistics_are_resumed_bit_for_bit_and_training_does_not_notice_them(tmp_path: Path) -> None:
    straight = gankit.train("gan", steps=6, out=tmp_path / "straight", **LUCIC)
    watched = gankit.train("gan", steps=6, out=tmp_path / "watched", sample_every=8, checkpoint_every=16, **LUCIC)
    with pytest.raises(Stopped):
        gankit.train("gan", steps=6, out=tmp_path / "broken", on_step=StopAt(3), **LUCIC)
    resumed = gankit.resume(tmp_path / "broken")
    for run in (watched, resumed):
        assert_same_state(straight.folder, run.folder)
    assert resumed.generator.read_bytes() == straight.generator.read_bytes()


def test_diversity_is_that_of_the_generator_which_is_saved_whenever_it_is_saved(tmp_path: Path) -> None:
    """With statistics that have hardly left 0 and 1, samples of different z look alike."""
    seldom = gankit.train("gan", steps=32, out=tmp_path / "seldom", d_steps=3, sample_every=1000, **LUCIC)
    often = gankit.train("gan", steps=32, out=tmp_path / "often", d_steps=3, checkpoint_every=80, **LUCIC)
    found = [stats_of(run.folder)[-1]["diversity"] for run in (seldom, often)]
    z, _ = gankit.load(seldom.generator).space.draw(64, derive_seed(0, "diversity"))
    with torch.no_grad():
        spread = gankit.load(seldom.generator).module(z).double().var(0).mean().sqrt()
    real = load_dataset("digits", builtin_datasets(), how=Preparation.of({"size": "8x8"}))
    of_real = real.real(spaced(len(real), 1024)).double().var(0).mean().sqrt()
    assert found == [pytest.approx(float(spread / of_real), rel=1e-5)] * 2


@pytest.mark.parametrize(
    ("arguments", "layer"),
    [
        ("--variant dcgan --size 4", "gankit_generator of 'dcgan': batch norm 'layers.0' gets one value a channel"),
        ("--with lucic-nets", "gankit_generator of 'lucic-nets': batch norm 'linear.1' gets one value a channel"),
    ],
)
def test_a_batch_of_one_is_refused_before_the_first_step(
    tmp_path: Path, refusal: Callable[..., str], arguments: str, layer: str
) -> None:
    said = refusal(f"train {arguments} --data digits --device cpu --precision fp32 --batch 1 --steps 1", tmp_path)
    assert layer in said
    assert "--batch 2 or more" in said
    assert not list(tmp_path.iterdir())
