"""A run from start to end in one process: folders, files, resume bit for bit, observers, budgets."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import TINY_VARIANT, install
from torch import Tensor

import gankit
from gankit.base import files
from gankit.errors import DivergedError, InputError, PluginError, ResourceError, Stopped
from gankit.hookspecs import hookimpl
from gankit.run.run import Run
from gankit.store import checkpoint

SMALL: dict[str, Any] = {"batch": 8, "z_dim": 8, "device": "cpu"}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight by eight images of four classes in ./tiny.npz; runs/ is born here."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("tiny.npz", images=rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), labels=np.arange(40) % 4)
    return tmp_path


def train(variant: str = "lsgan", **settings: Any) -> gankit.RunResult:
    return gankit.train(variant, data="tiny.npz", **{**SMALL, **settings})


def state_of(folder: Path) -> dict[str, Any]:
    found = checkpoint.read_latest(folder / "checkpoints")
    assert found is not None
    return dict(found.state)


def assert_same_state(a: Path, b: Path) -> None:
    first, second = state_of(a), state_of(b)
    assert first.keys() == second.keys()
    for name, value in first.items():
        same = torch.equal(value, second[name]) if isinstance(value, Tensor) else value == second[name]
        assert same, name


def stats_of(folder: Path) -> list[dict[str, Any]]:
    """Lines of stats.jsonl without their clock."""
    lines = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("wall_s", "images_per_s")} for line in lines]


class StopAt:
    """Sends a signal to this process after a step, as Ctrl-C or a scheduler would."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        self.step, self.number = step, number

    @hookimpl
    def gankit_step_end(self, run: Run) -> None:
        if run.step == self.step:
            os.kill(os.getpid(), self.number)


def test_a_run_leaves_what_it_promises(in_an_empty_folder: Path) -> None:
    result = train(steps=30, sample_every=80, checkpoint_every=80)
    folder = result.folder
    assert folder == Path("runs/lsgan-tiny-0001")
    assert (result.step, result.images_seen) == (30, 240)
    for name in ("run.json", "config.json", "command.txt", "environment.json", "status.json", "stats.jsonl", "log.txt"):
        assert (folder / name).stat().st_size > 0, name
    assert sorted(path.name for path in (folder / "samples").iterdir()) == [
        *(f"{images:09d}.png" for images in (0, 80, 160, 240)),
        "real.png",
    ]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        f"step-{step:09d}" for step in (10, 20, 30)
    ]
    with Image.open(result.picture) as grid:
        assert grid.size == (8 * 58 + 2, 8 * 58 + 2)
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["exit_code"], status["images_seen"]) == ("finished", 0, 240)
    assert stats_of(folder)[-1]["step"] == 30
    newest = folder / "checkpoints" / "step-000000030" / "generator.safetensors"
    assert newest.read_bytes() == result.generator.read_bytes()


def test_runs_are_numbered_and_a_finished_one_is_not_continued() -> None:
    assert [train(steps=2).folder.name for _ in range(2)] == ["lsgan-tiny-0001", "lsgan-tiny-0002"]


@pytest.mark.parametrize("variant", ["gan", "lsgan"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_continued_by_the_same_call_equals_one_that_never_stopped(variant: str, number: int) -> None:
    straight = train(variant, steps=40, batch=16, d_steps=2, out="straight")
    with pytest.raises(Stopped) as caught:
        train(variant, steps=40, batch=16, d_steps=2, observers=[StopAt(17, number)])
    assert caught.value.exit_code == 128 + number
    folder = Path(f"runs/{variant}-tiny-0001")
    assert str(folder) in str(caught.value.hint)
    assert json.loads((folder / "status.json").read_text())["exit_code"] == 128 + number
    resumed = train(variant, steps=40, batch=16, d_steps=2)
    assert resumed.folder == folder
    assert_same_state(straight.folder, folder)
    assert stats_of(straight.folder) == stats_of(folder)
    assert straight.generator.read_bytes() == resumed.generator.read_bytes()
    assert straight.picture.read_bytes() == resumed.picture.read_bytes()


def test_stats_lines_do_not_depend_on_where_a_run_was_interrupted() -> None:
    """250 steps of 8 make one line; stopping in the middle of a window must not change its mean."""
    straight = train(steps=500, out="straight", checkpoint_every=10**6)
    with pytest.raises(Stopped):
        train(steps=500, out="broken", observers=[StopAt(333)])
    train(steps=500, out="broken")
    assert [line["step"] for line in stats_of(straight.folder)] == [250, 500]
    assert stats_of(straight.folder) == stats_of(Path("broken"))


def test_lines_written_after_the_checkpoint_that_is_resumed_are_dropped() -> None:
    result = train(steps=250, out="run")
    with (result.folder / "stats.jsonl").open("a") as file:
        file.write('{"step": 400, "lost": true}\n{"step": 4')
    gankit.resume("run", steps=500)
    assert [line["step"] for line in stats_of(Path("run"))] == [250, 500]


def test_saving_and_sampling_more_often_changes_nothing() -> None:
    a = train(steps=20, out="a", sample_every=8, checkpoint_every=8)
    b = train(steps=20, out="b", sample_every=160, checkpoint_every=160)
    assert_same_state(a.folder, b.folder)


def test_the_seed_decides_and_the_callers_streams_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = train(steps=3, out="a")
    assert torch.equal(torch.rand(3), expected)
    second = train(steps=3, out="b")
    other = train(steps=3, out="c", seed=1)
    assert first.generator.read_bytes() == second.generator.read_bytes()
    assert first.generator.read_bytes() != other.generator.read_bytes()


def test_resume_goes_beyond_the_budget() -> None:
    train(steps=10, out="a")
    more = gankit.resume("a", images=160)
    assert (more.step, more.images_seen) == (20, 160)
    straight = train(images=160, out="b")
    assert_same_state(straight.folder, Path("a"))


def test_a_finished_run_is_not_trained_again_by_the_same_call() -> None:
    first = train(steps=4, out="a")
    before = first.generator.read_bytes()
    again = train(steps=4, out="a")
    assert (again.step, again.generator.read_bytes()) == (4, before)


def test_other_settings_in_the_same_folder_are_refused_with_the_difference() -> None:
    train(steps=2, out="a")
    with pytest.raises(InputError, match="seed 0 -> 3"):
        train(steps=2, out="a", seed=3)
    with pytest.raises(InputError, match="c 1.0 -> 0.0"):
        train(steps=2, out="a", options={"c": 0})


def test_changed_data_is_refused() -> None:
    train(steps=2, out="a")
    np.savez("tiny.npz", images=np.zeros((40, 8, 8), np.uint8))
    with pytest.raises(InputError, match="has changed since"):
        gankit.resume("a", steps=4)


def test_a_foreign_folder_is_refused_and_left_alone() -> None:
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty and not a run"):
        train(steps=2, out="mine")
    Path("file").write_text("x")
    with pytest.raises(InputError, match="a file of that name exists"):
        train(steps=2, out="file")
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]


def test_a_run_within_its_own_data_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sample grids would be images of the next run."""
    Path("photos/old").mkdir(parents=True)
    for name in ("a", "b"):
        Image.new("L", (16, 16), 200).save(f"photos/{name}.png")
    with pytest.raises(InputError, match="lies within the data"):
        gankit.train("lsgan", data="photos", out="photos/old/run", steps=1, **SMALL)
    monkeypatch.chdir("photos")
    with pytest.raises(InputError, match="lies within the data"):
        gankit.train("lsgan", data=".", steps=1, **SMALL)
    assert sorted(path.name for path in Path().rglob("*")) == ["a.png", "b.png", "old"]


def test_data_without_any_difference_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sample has no variance; a hundred equal ones have 0."""
    for name, images in (("one", np.full((1, 8, 8), 9, np.uint8)), ("equal", np.full((9, 8, 8), 9, np.uint8))):
        np.save(f"{name}.npy", images)
        result = gankit.train("lsgan", data=f"{name}.npy", steps=1, **SMALL)
        assert "diversity" not in stats_of(result.folder)[-1]


def test_two_runs_in_one_folder_are_refused() -> None:
    train(steps=2, out="a")

    class Second:
        @hookimpl
        def gankit_step_end(self, run: Run) -> None:
            gankit.resume("a", steps=10)

    with pytest.raises(ResourceError, match=f"in use by process {os.getpid()}"):
        gankit.resume("a", steps=6, observers=[Second()])


def test_a_time_budget_ends_a_run() -> None:
    result = train(time_s=0.5)
    assert 0.5 <= result.train_s < 5


def test_divergence_stops_the_run_and_keeps_the_last_good_state() -> None:
    class Poison:
        @hookimpl
        def gankit_step_end(self, run: Run, stats: Mapping[str, Tensor]) -> None:
            if run.step == 40:
                next(run.loop.networks.generator.parameters()).data.fill_(float("nan"))

    with pytest.raises(DivergedError, match="no longer finite") as caught:
        train(steps=300, checkpoint_every=80, observers=[Poison()], out="a")
    assert caught.value.exit_code == 5
    assert json.loads(Path("a/status.json").read_text())["state"] == "diverged"
    assert [name for name, v in state_of(Path("a")).items() if isinstance(v, Tensor) and not v.isfinite().all()] == []


def test_a_failing_observer_keeps_its_traceback_and_marks_the_run() -> None:
    class Broken:
        @hookimpl
        def gankit_step_end(self) -> None:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        train(steps=2, out="a", observers=[Broken()])
    assert json.loads(Path("a/status.json").read_text())["state"] == "failed"


def test_a_run_of_a_file_is_resumed_only_with_that_file() -> None:
    Path("mine.py").write_text(TINY_VARIANT)
    train("./mine.py", steps=2, out="a")
    with pytest.raises(InputError, match="a file"):
        gankit.resume("a", steps=4)
    assert gankit.resume("a", steps=4, variant="./mine.py").step == 4


@pytest.mark.parametrize("name", ["gaussian1d", "ring8"])
@pytest.mark.parametrize("variant", ["gan", "lsgan"])
def test_points_train_as_images_do(name: str, variant: str) -> None:
    result = gankit.train(variant, data=name, steps=3, **SMALL)
    generator = gankit.load(result.generator)
    dimensions = generator.data.shape[0]
    samples = generator.sample(5)
    assert samples.shape == (5, dimensions)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("shape", [(9, 13), (16, 12, 3), (8, 8, 4)])
def test_any_size_and_channels_train(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    np.save("x.npy", rng.integers(0, 256, (24, *shape), dtype=np.uint8))
    result = gankit.train("lsgan", data="x.npy", steps=2, **SMALL)
    height, width, channels = (*shape, 1)[:3]
    assert gankit.load(result.generator).sample(3).shape == (3, height, width, channels)


def test_a_run_of_a_file_goes_on_after_the_file_moved() -> None:
    Path("mine.py").write_text(TINY_VARIANT)
    train("./mine.py", steps=2, out="a")
    Path("elsewhere").mkdir()
    Path("mine.py").rename("elsewhere/mine.py")
    assert gankit.resume("a", steps=4, variant="elsewhere/mine.py").step == 4
    assert train("elsewhere/mine.py", steps=5, out="a").step == 5
    Path("elsewhere/mine.py").rename("other.py")
    with pytest.raises(InputError, match="trained with variant 'mine', not 'other'"):
        gankit.resume("a", steps=6, variant="other.py")
    with pytest.raises(InputError, match="is another run: variant"):
        train("other.py", steps=6, out="a")


def test_a_run_of_a_file_goes_on_when_the_file_has_become_a_package(site: Path) -> None:
    Path("mine.py").write_text(TINY_VARIANT)
    train("./mine.py", steps=2, out="a")
    install(site, "gankit-mine", TINY_VARIANT, variants=("mine",))
    assert gankit.resume("a", steps=4, variant="mine").step == 4
    Path("gankit_mine.py").write_text(TINY_VARIANT)
    assert gankit.resume("a", steps=6, variant="./gankit_mine.py").step == 6


def test_a_run_says_that_the_code_of_its_variant_has_changed(caplog: pytest.LogCaptureFixture) -> None:
    Path("mine.py").write_text(TINY_VARIANT)
    train("./mine.py", steps=2, out="a")
    with caplog.at_level("INFO", "gankit"):
        gankit.resume("a", steps=3, variant="./mine.py")
    assert "not bit for bit" not in caplog.text
    Path("mine.py").write_text(TINY_VARIANT.replace("-critic(batch.fake)}", "-2 * critic(batch.fake)}"))
    with caplog.at_level("INFO", "gankit"):
        gankit.resume("a", steps=4, variant="./mine.py")
    assert "goes on, but not bit for bit: the code of mine " in caplog.text


def test_an_extension_wraps_and_is_recorded() -> None:
    Path("wrap.py").write_text(
        "from gankit.plugin import hookimpl\n"
        "@hookimpl(wrapper=True)\n"
        "def gankit_generator():\n"
        "    network = yield\n"
        "    network.register_buffer('mark', __import__('torch').ones(3))\n"
        "    return network\n"
    )
    result = train(steps=2, extensions=["./wrap.py"])
    plugins = json.loads((result.folder / "run.json").read_text())["plugins"]
    assert [(plugin["kind"], plugin["name"]) for plugin in plugins] == [("variant", "lsgan"), ("extension", "wrap")]
    assert "ema.mark" in {name.removeprefix("loop.") for name in state_of(result.folder)}


# -- accidents: a run folder that somebody or something damaged, and stops at every moment ------------------------------


def test_an_extended_run_that_is_stopped_goes_on_to_its_new_budget() -> None:
    train(steps=3, out="a")
    with pytest.raises(Stopped):
        gankit.resume("a", steps=40, observers=[StopAt(9)])
    assert gankit.resume("a").step == 40


def test_a_process_that_died_while_it_made_the_folder_does_not_block_it() -> None:
    Path("a").mkdir()
    Path("a/environment.json").write_text("{}")
    Path("a/.config.json.0123abcd.tmp").write_text("{")
    assert train(steps=2, out="a").step == 2


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"state": 3}'])
@pytest.mark.parametrize("name", ["status.json", "config.json", "run.json"])
def test_damage_in_an_old_run_does_not_stop_a_new_one(name: str, text: str) -> None:
    old = train(steps=2)
    (old.folder / name).write_text(text)
    assert train(steps=2, seed=1).step == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "{}"),
        ("run.json", "nonsense"),
        ("config.json", "{}"),
        ("config.json", '{"config": 3, "options": {}}'),
        ("config.json", '{"config": {}, "options": 3}'),
        ("config.json", '{"config": {"colour": 1}, "options": {}}'),
        ("config.json", '{"config": {"variant": null}, "options": {}}'),
    ],
)
def test_a_damaged_run_is_named_in_one_line(name: str, text: str) -> None:
    train(steps=2, out="a")
    Path("a", name).write_text(text)
    with pytest.raises(InputError) as caught:
        gankit.resume("a", steps=4)
    assert "\n" not in caught.value.message


def test_lost_samples_and_scrambled_stats_do_not_stop_a_resume() -> None:
    train(steps=2, out="a")
    shutil.rmtree("a/samples")
    Path("a/stats.jsonl").write_bytes(b'\xff\xfe\n{"step": 1}\n')
    Path("a/generator.safetensors").unlink()
    result = gankit.resume("a", steps=4)
    assert result.picture.exists()
    assert result.generator.exists()


def test_a_build_that_fails_leaves_no_folder() -> None:
    Path("wrong.py").write_text(
        "from gankit.plugin import hookimpl\n@hookimpl\ndef gankit_generator(data, z_dim):\n    return 5\n"
    )
    with pytest.raises(PluginError, match="returned int"):
        train(steps=2, extensions=["./wrong.py"])
    np.save("dot.npy", np.zeros((9, 1, 1), np.uint8))
    with pytest.raises(InputError, match="too small for the default networks"):
        gankit.train("gan", data="dot.npy", steps=2, **SMALL)
    assert not Path("runs").exists()


def test_a_run_goes_on_from_any_folder_and_after_its_data_moved(in_an_empty_folder: Path, monkeypatch: Any) -> None:
    train(steps=2, out="a")
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert gankit.resume("../a", steps=3).step == 3
    Path("../tiny.npz").rename("moved.npz")
    with pytest.raises(InputError, match="tiny.npz"):
        gankit.resume("../a", steps=4)
    assert gankit.resume("../a", steps=4, data=Path("moved.npz")).step == 4


def test_a_path_is_not_shared_with_the_file() -> None:
    header = gankit.load(train(steps=2).generator).header
    assert header.config["data"] == "tiny"
    assert "/" not in json.dumps(header.config)


def test_the_second_signal_leaves_at_once_and_says_what_is_lost() -> None:
    class Twice:
        @hookimpl
        def gankit_step_end(self, run: Run) -> None:
            if run.step == 25:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped, match="stopped at once at 200 images") as caught:
        train(steps=40, checkpoint_every=80, out="a", observers=[Twice()])
    assert caught.value.exit_code == 130
    status = json.loads(Path("a/status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("stopped", 130)
    found = checkpoint.read_latest(Path("a/checkpoints"))
    assert found is not None
    assert found.step == 20


def test_divergence_before_the_first_checkpoint_does_not_promise_one() -> None:
    with pytest.raises(DivergedError) as caught:
        train(steps=300, d_lr=1e30, out="a")
    assert "intact" not in str(caught.value.hint)


def test_the_process_is_left_as_it_was() -> None:
    def small() -> float:
        return (torch.tensor(1e-40) * 1).item()

    log = logging.getLogger("gankit")
    before = (small(), signal.getsignal(signal.SIGINT), log.level, log.handlers[:], torch.get_default_dtype())
    assert before[0] > 0
    train(steps=2)
    assert (small(), signal.getsignal(signal.SIGINT), log.level, log.handlers, torch.get_default_dtype()) == before


def test_it_trains_in_a_thread_and_with_two_observers_of_one_class() -> None:
    results: list[gankit.RunResult] = []
    thread = threading.Thread(
        target=lambda: results.append(train(steps=2, observers=[StopAt(99), StopAt(98)], options=None, size=None))
    )
    thread.start()
    thread.join()
    assert results[0].step == 2


def test_a_catalogue_that_is_no_mapping_is_a_plugin_error() -> None:
    Path("sets.py").write_text(
        "from gankit.plugin import hookimpl\n@hookimpl\ndef gankit_datasets():\n    return ['mine']\n"
    )
    with pytest.raises(PluginError, match="gankit_datasets returned list"):
        train(steps=2, extensions=["./sets.py"])


def test_an_extension_may_bring_a_data_set() -> None:
    Path("sets.py").write_text(
        "import numpy as np\n"
        "from gankit.plugin import Dataset, hookimpl\n"
        "@hookimpl\n"
        "def gankit_datasets():\n"
        "    return {'ramp': lambda: Dataset.from_arrays('ramp', np.arange(640, dtype=np.uint8).reshape(10, 8, 8))}\n"
    )
    result = gankit.train("gan", data="ramp", extensions=["./sets.py"], steps=2, **SMALL)
    assert result.folder.name == "gan-ramp-0001"


@pytest.mark.parametrize(
    ("name", "value"), [("train_s", "1e400"), ("train_s", None), ("device", None), ("lr", "nan"), ("lr", [1])]
)
def test_a_sealed_state_that_says_nonsense_is_one_line(name: str, value: object) -> None:
    result = train(steps=2, out="a")
    folder = next((result.folder / "checkpoints").iterdir())
    scalars = json.loads((folder / "state.json").read_text())
    part = scalars["loop"] if name == "lr" else scalars["progress"]
    key = next(key for key in part if key.endswith(name))
    part |= {key: value} if value is not None else {}
    if value is None:
        del part[key]
    state = files.canonical_json(scalars).encode()
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    del manifest["self_sha256"]
    manifest["files"]["state.json"] = {"bytes": len(state), "sha256": files.sha256(state)}
    manifest["self_sha256"] = files.sha256(files.canonical_json(manifest).encode())
    (folder / "state.json").write_bytes(state)
    (folder / "MANIFEST.json").write_text(files.canonical_json(manifest))
    with pytest.raises(InputError, match="does not hold the state of this run") as caught:
        gankit.resume("a", steps=4)
    assert "\n" not in caught.value.message


def test_a_run_killed_between_its_last_checkpoint_and_its_end_writes_what_is_missing() -> None:
    class Dies:
        @hookimpl
        def gankit_checkpoint(self, run: Run) -> None:
            if run.step == 20:
                raise KeyboardInterrupt

    straight = train(steps=20, checkpoint_every=80, sample_every=96, out="straight")
    with pytest.raises(KeyboardInterrupt):
        train(steps=20, checkpoint_every=80, sample_every=96, out="a", observers=[Dies()])
    assert not Path("a/samples/000000160.png").exists()
    again = train(steps=20, checkpoint_every=80, sample_every=96, out="a")
    assert again.picture.read_bytes() == straight.picture.read_bytes()
    assert stats_of(again.folder) == stats_of(straight.folder)
    assert json.loads(Path("a/status.json").read_text())["state"] == "finished"


def test_a_full_disk_says_why_and_writes_no_traceback(monkeypatch: Any, capsys: Any) -> None:
    """log.txt cannot be written either, nor status.json; the first failure is the one that is told."""

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    class Fills:
        @hookimpl
        def gankit_step_end(self, run: Run) -> None:
            if run.step == 15:
                (log,) = [h for h in logging.getLogger("gankit").handlers if isinstance(h, logging.FileHandler)]
                log.stream.close()
                log.stream = open("/dev/full", "w")  # noqa: SIM115, PTH123 - the handler closes it
                logging.getLogger("gankit").warning("is written to log.txt")
                monkeypatch.setattr(files, "write_new", full)
                monkeypatch.setattr(checkpoint, "write_new", full)

    with pytest.raises(ResourceError, match=r"step-000000020: No space left") as caught:
        train(steps=30, checkpoint_every=80, sample_every=10**6, out="a", observers=[Fills()])
    assert caught.value.exit_code == 4
    assert "Traceback" not in capsys.readouterr().err
    assert state_of(Path("a"))["loop.steps"] == 10


@pytest.mark.parametrize("text", ["", "nonsense", "{}", '{"state": "failed"}'])
def test_a_damaged_status_does_not_stop_a_resume_and_is_mended(text: str) -> None:
    train(steps=3, out="a")
    Path("a/status.json").write_text(text)
    assert gankit.resume("a").step == 3
    assert json.loads(Path("a/status.json").read_text())["state"] == "finished"


def test_a_file_quoted_in_an_error_does_not_fill_the_screen() -> None:
    assert len(InputError("x" * 10_000).message) == 1_000
