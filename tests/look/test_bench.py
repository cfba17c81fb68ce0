"""`gankit bench`: what it counts is right, its phases add up, and it leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support import gankit
from torch import nn

from gankit.look.bench import Operators, Stopwatch, bench
from gankit.settings.layers import Layer

CPU = torch.device("cpu")


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 4])
def test_flop_of_a_convolution_and_of_its_gradients(transposed: bool, groups: int) -> None:
    layer = (nn.ConvTranspose2d if transposed else nn.Conv2d)(8, 16, 4, stride=2, padding=1, groups=groups, bias=False)
    x = torch.randn(3, 8, 6, 6, requires_grad=True)
    with Operators() as forward:
        y = layer(x)
    positions = 36 if transposed else 9  # at which the 4x4 kernel is applied
    assert forward.flop == 2 * 3 * positions * 16 * (16 // groups) * 8
    with Operators() as backward:
        y.sum().backward()
    assert backward.flop == 2 * forward.flop  # of the samples and of the weights


def test_flop_of_matrix_products_and_of_gradients_taken_twice() -> None:
    layer, x = nn.Linear(5, 7, bias=False), torch.randn(3, 5, requires_grad=True)
    with Operators() as counted:
        (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    assert counted.flop == 2 * (2 * 3 * 5 * 7)
    assert counted.seconds > 0
    with Operators() as twice:
        gradient.sum().backward()
    assert twice.flop >= 3 * (2 * 3 * 5 * 7)


def test_the_time_between_two_places_of_a_step_is_of_what_came_between(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 3.0, 7.0])
    monkeypatch.setattr("gankit.look.bench.time.perf_counter", lambda: next(now))
    watch = Stopwatch(CPU)
    watch.start()
    for what in ("data", "forward", "data"):
        watch.lap(what)
    assert watch.seconds == {"data": 5.0, "forward": 2.0}


def test_the_phases_and_blocks_of_a_game_with_critic_steps_and_lazy_penalties() -> None:
    settings = {"variant": "wgan-gp", "data": "ring8", "device": "cpu", "d_steps": 2, "penalty_every": 3, "batch": 8}
    found = bench([Layer("test", settings)], steps=1)
    assert found.steps == 5 * 6  # whole cycles of both
    assert {"forward of G", "backward of D", "optimisers", "average of G, and the rest"} <= found.phases_ms.keys()
    assert all(ms >= 0 for ms in found.phases_ms.values())
    low, high = found.images_per_s_range
    assert 0 < low <= found.images_per_s <= high
    assert 0 <= found.outside < 1
    assert found.flop_per_s == pytest.approx(found.flop_per_image * found.images_per_s)


def test_the_command_prints_a_table_or_json_and_writes_nothing(tmp_path: Path) -> None:
    arguments = ["bench", "--data", "ring8", "--device", "cpu", "--steps", 1]
    table = gankit(*arguments, cwd=tmp_path)
    assert table.returncode == 0, table.stderr
    assert "images/s" in table.stdout
    assert "backward of G" in table.stdout
    document = json.loads(gankit(*arguments, "--json", "--precision", "fp32", cwd=tmp_path).stdout)
    assert document["precision"] == "fp32"
    assert document["of_matmul"] == pytest.approx(document["flop_per_s"] / document["matmul_flop_per_s"])
    assert list(tmp_path.iterdir()) == []
