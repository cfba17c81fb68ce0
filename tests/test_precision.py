"""Arithmetic policies, as far as a CPU can tell."""

from __future__ import annotations

import pytest
import torch

from gankit.contracts import Batch
from gankit.errors import InputError
from gankit.loop import BoundCritic
from gankit.meter import Meter
from gankit.networks import Discriminator
from gankit.precision import Precision

CPU = torch.device("cpu")


def test_auto_is_fp32_on_a_cpu() -> None:
    assert Precision("auto", CPU).name == "fp32"


def test_tf32_needs_cuda() -> None:
    with pytest.raises(InputError, match="needs a CUDA device"):
        Precision("tf32", CPU)


def test_bf16_runs_the_network_in_bf16_and_gives_scores_in_fp32() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator((1, 16, 16))
    seen: list[torch.dtype] = []
    discriminator.layers[0].register_forward_hook(lambda *call: seen.append(call[2].dtype))
    x = torch.randn(4, 1, 16, 16)
    batch = Batch(real=x, fake=x.clone(), z=torch.zeros(4, 1))
    scores = {name: BoundCritic(discriminator, batch, Precision(name, CPU))(x) for name in ("fp32", "bf16")}
    assert seen == [torch.float32, torch.bfloat16]
    assert scores["bf16"].dtype == torch.float32
    assert torch.allclose(scores["bf16"], scores["fp32"], atol=2e-2)
    assert not torch.equal(scores["bf16"], scores["fp32"])


def test_a_meter_means_each_name_over_the_steps_that_had_it() -> None:
    meter = Meter()
    meter.add({"d": torch.tensor(1.0), "g": torch.tensor(4.0)})
    meter.add({"d": torch.tensor(3.0)})
    restored = Meter()
    restored.load_state_dict(meter.state_dict())
    restored.add({"d": torch.tensor(5.0)})
    assert meter.read() == {"d": 2.0, "g": 4.0}
    assert restored.read() == {"d": 3.0, "g": 4.0}
    meter.reset()
    assert meter.read() == {}
