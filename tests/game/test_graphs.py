"""Steps from graphs: when they are recorded, what is copied, what makes them start anew. With a stand-in for CUDA."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor

import gankit
from gankit.contracts import Batch, DataSpec
from gankit.game.graphs import WARM_UP, GraphedPhases, why_not
from gankit.game.loop import TrainingLoop
from gankit.run.build import build_loop
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer
from gankit.testing.recorder import HostRecorder

CPU = torch.device("cpu")


def make_loop(variant: str = "wgan-gp", shape: tuple[int, ...] = (2,), **settings: object) -> TrainingLoop:
    plan = plan_run([Layer("test", {"variant": variant, "batch": 4, "z_dim": 8, "precision": "fp32", **settings})])
    return build_loop(plan, DataSpec(shape), CPU)


def play(loop: TrainingLoop, first: int, last: int, shape: tuple[int, ...] = (2,)) -> list[dict[str, float]]:
    stats = []
    for step in range(first, last):
        torch.manual_seed(step)
        data = Batch(torch.full((4, *shape), 0.1 * step), fresh=Batch(torch.full((4, *shape), -0.2 * step)))
        stats.append({name: float(value) for name, value in loop.step(data).items()})
    return stats


def state(loop: TrainingLoop) -> dict[str, object]:
    return {name: v.tolist() if isinstance(v, Tensor) else v for name, v in loop.state_dict().items()}


@pytest.mark.parametrize(
    ("variant", "settings"),
    [
        ("gan", {}),
        ("wgan", {}),
        ("wgan-gp", {"penalty_every": 2, "d_steps": 3}),
        ("r3gan", {"g_reals": "fresh", "g_lr": "cosine(1e-3, 0, 80)", "options": {"gamma": "cosine(2, 0.1, 80)"}}),
        ("r3gan", {"g_reals": "shared", "d_steps": 2}),
    ],
)
def test_a_run_from_graphs_equals_an_eager_one(variant: str, settings: dict[str, object]) -> None:
    eager, graphed = make_loop(variant, **settings), make_loop(variant, **settings)
    recorder = HostRecorder(graphed)
    graphed.replayed = GraphedPhases(graphed, recorder)
    assert play(eager, 0, 20) == play(graphed, 0, 20)
    assert state(eager) == state(graphed)
    assert all(tape.replays for tape in recorder.tapes)


def test_a_variants_own_phase_its_chance_and_its_running_means_are_recorded_too() -> None:
    """Path lengths in every second step; noise and mixed styles are drawn, the means of w and of the lengths move."""
    options = {"width": 8, "path_length": 2.0, "path_every": 2, "style_mixing": 0.5}
    image = (1, 8, 8)
    eager, graphed = (make_loop("stylegan2", image, penalty_every=2, options=options) for _ in range(2))
    recorder = HostRecorder(graphed)
    graphed.replayed = GraphedPhases(graphed, recorder)
    assert play(eager, 0, 14, image) == play(graphed, 0, 14, image)
    assert state(eager) == state(graphed)
    assert len(recorder.tapes) == 4  # D with and without R1, G, path lengths
    assert all(tape.replays for tape in recorder.tapes)


def test_each_kind_of_phase_has_a_graph_after_its_own_warm_up() -> None:
    loop = make_loop(penalty_every=2, d_steps=1)
    recorder = HostRecorder(loop)
    loop.replayed = GraphedPhases(loop, recorder)
    play(loop, 0, 2 * WARM_UP)
    assert recorder.warmed == 3 * WARM_UP  # D with and without the penalty, G in the first three steps
    assert len(recorder.tapes) == 1  # that of G
    play(loop, 2 * WARM_UP, 2 * WARM_UP + 4)
    assert len(recorder.tapes) == 3
    assert [tape.replays for tape in recorder.tapes] == [WARM_UP + 4, 2, 2]


def test_a_restored_state_is_recorded_anew() -> None:
    straight, broken = make_loop(), make_loop()
    recorder = HostRecorder(broken)
    broken.replayed = GraphedPhases(broken, recorder)
    saved = {name: v.clone() if isinstance(v, Tensor) else v for name, v in straight.state_dict().items()}
    play(broken, 0, 10)
    recorded = len(recorder.tapes)
    broken.load_state_dict(saved)
    play(straight, 0, 10)
    play(broken, 0, 10)
    assert len(recorder.tapes) > recorded
    assert recorder.forgotten == 1  # an allocator gives up a pool whose graphs are gone
    assert state(straight) == state(broken)


def test_what_cannot_be_recorded_goes_on_without_graphs_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    eager, loop = make_loop(d_steps=1), make_loop(d_steps=1)
    loop.replayed = GraphedPhases(loop, HostRecorder(loop, refuses=True))
    with caplog.at_level(logging.WARNING, logger="gankit"):
        assert play(eager, 0, 8) == play(loop, 0, 8)
    assert [record.message for record in caplog.records] == [
        "no CUDA graphs, the steps go on without them: operation not permitted when stream is capturing"
    ]


def test_reasons_against_graphs(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    loop = make_loop()
    assert why_not(loop, [], 1) == "the device is cpu"
    loop.device = torch.device("cuda")
    assert why_not(loop, [], 1) is None
    assert why_not(loop, ["mine"], 1) == "mine may work on the host in a step"
    assert "several processes" in str(why_not(loop, [], 2))
    with caplog.at_level(logging.INFO, logger="gankit"):
        gankit.train("gan", data="ring8", device="cpu", graphs="auto", steps=1, out=tmp_path / "run")
    assert "no CUDA graphs: the device is cpu" in [record.message for record in caplog.records]


def test_plugins_that_do_not_say_that_they_are_capturable_are_named() -> None:
    def bound(*extensions: str) -> list[str]:
        return plan_run([Layer("test", {"variant": "gan", "extensions": list(extensions)})]).composition.host_bound

    assert bound() == []
    assert bound("r1", "diffaugment", "ada") == []
    assert bound("top-k", "spectral-norm") == ["top-k", "spectral-norm"]
