"""TensorBoard, Weights & Biases and trackio: what they are sent, and how a run ends there."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from support_runs import RING8, StopAt

import gankit
from gankit.errors import DivergedError, ResourceError, Stopped
from gankit.run.run import Run

# Faults of gankit/run/steps.py.


class Recorder:
    """Stands for tensorboard's writer and for the module wandb: it remembers what it was called with."""

    def __init__(self, *arguments: object, **named: object) -> None:
        self.calls: list[tuple[str, tuple[object, ...], dict[str, object]]] = []

    def __getattr__(self, name: str):
        return lambda *arguments, **named: self.calls.append((name, arguments, named))

    def named(self, name: str) -> list[dict[str, object]]:
        return [named for called, _, named in self.calls if called == name]

    def of(self, name: str) -> list[tuple[object, ...]]:
        return [arguments for called, arguments, _ in self.calls if called == name]


def test_tensorboard_gets_statistics_scores_and_grids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writers: list[Recorder] = []

    def make(folder: str, **named: object) -> Recorder:
        writers.append(Recorder())
        return writers[-1]

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=make))
    gankit.train("gan", extensions=["tensorboard"], steps=250, sample_every=2000, out=tmp_path / "a", **RING8)
    (writer,) = writers
    assert {("d/real", 2000), ("d/real", 4000)} <= {(name, seen) for name, _, seen in writer.of("add_scalar")}
    assert [arguments[2] for arguments in writer.of("add_image")] == [0, 2000, 4000]
    assert len(writer.of("close")) == 1


def test_trackers_get_rows_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Recorder()
    monkeypatch.setitem(sys.modules, "trackio", tool)
    settings = {**RING8, "extensions": ["wandb"], "options": {"wandb": {"tool": "trackio"}}}
    gankit.train("gan", steps=125, out=tmp_path / "a", **settings)
    (row,) = [row for (row,) in tool.of("log") if "d/real" in row]
    assert row["images_seen"] == 2000
    assert len(tool.of("finish")) == 1


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboard"), ("wandb", "wandb")])
def test_a_missing_tracker_is_named_before_anything_is_written(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("torch.utils.tensorboard", "tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ResourceError, match="needs the package") as caught:
        gankit.train("gan", extensions=[name], steps=1, out=tmp_path / "a", **RING8)
    assert caught.value.hint == f"pip install {package}"
    assert not (tmp_path / "a").exists()


WANDB = {**RING8, "extensions": ["wandb"]}


def test_a_resumed_run_goes_on_under_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", tool)
    with pytest.raises(Stopped):
        gankit.train("gan", steps=4, out=tmp_path / "run", on_step=StopAt(2), **WANDB)
    gankit.resume(tmp_path / "run")
    gankit.train("gan", steps=1, out=tmp_path / "other", **WANDB)
    first, second, other = (named["id"] for named in tool.named("init"))
    assert first == second != other
    assert {named["resume"] for named in tool.named("init")} == {"allow"}
    assert [named["exit_code"] for named in tool.named("finish")] == [130, 0, 0]


def test_nothing_is_sent_before_the_session_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", tool)
    gankit.train("gan", steps=1, out=tmp_path / "run", **WANDB)
    names = [name for name, _, _ in tool.calls if name != "Image"]
    assert (names[0], names[-1]) == ("init", "finish")


@pytest.mark.parametrize("images", [16, 10**9])
def test_a_diverged_run_is_reported_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    """Found in a line of the statistics, or when the run ends and saves its last state."""
    monkeypatch.setattr("gankit.run.observers.statistics.STATS_EVERY_IMAGES", images)
    tool = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", tool)

    def poison(run: Run) -> None:
        next(run.loop.networks.discriminator.parameters()).data.fill_(float("nan"))

    with pytest.raises(DivergedError):
        gankit.train("gan", steps=3, out=tmp_path / "run", on_step=poison, **WANDB)
    assert [named["exit_code"] for named in tool.named("finish")] == [5]


def test_a_run_with_a_bug_is_reported_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", tool)
    with pytest.raises(ZeroDivisionError):
        gankit.train("gan", steps=3, out=tmp_path / "run", on_step=lambda _: 1 / 0, **WANDB)
    assert [named["exit_code"] for named in tool.named("finish")] == [1]
