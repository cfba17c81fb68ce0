"""The folder of a run: what it holds, how it is named, and which folders are refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support_runs import SMALL, state_of, stats_of, train

import gankit
from gankit.errors import InputError, PluginError, ResourceError
from gankit.run.header import shareable_config
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer

pytestmark = pytest.mark.usefixtures("tiny_data")


def test_a_run_leaves_what_it_promises() -> None:
    result = train(steps=30, sample_every=80, checkpoint_every=80)
    folder = result.folder
    assert folder == Path("runs/lsgan-tiny-0001")
    assert (result.step, result.images_seen) == (30, 240)
    for name in ("run.json", "config.json", "command.txt", "environment.json", "status.json", "stats.jsonl", "log.txt"):
        assert (folder / name).stat().st_size > 0, name
    assert sorted(path.name for path in (folder / "samples").iterdir()) == [
        *(f"{images:09d}.png" for images in (0, 80, 160, 240)),
        "latest.png",
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


def test_a_path_is_not_shared_with_the_file() -> None:
    header = gankit.load(train(steps=2).generator).header
    assert header.config["data"] == "tiny"
    assert "/" not in json.dumps(header.config)


def test_nor_is_the_path_of_a_feature_space() -> None:
    plan = plan_run([Layer("test", {"variant": "gan", "eval_features": "classifier@/home/me/mine.npz"})])
    assert shareable_config(plan, "tiny")["eval_features"] == "classifier@mine.npz"


def test_other_settings_in_the_same_folder_are_refused_with_the_difference() -> None:
    train(steps=2, out="a")
    with pytest.raises(InputError, match="seed 0 -> 3"):
        train(steps=2, out="a", seed=3)
    with pytest.raises(InputError, match="c 1.0 -> 0.0"):
        train(steps=2, out="a", options={"c": 0})


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


def test_two_runs_in_one_folder_are_refused() -> None:
    train(steps=2, out="a")
    with pytest.raises(ResourceError, match=f"in use by process {os.getpid()}"):
        gankit.resume("a", steps=6, on_step=lambda _: gankit.resume("a", steps=10))


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


def test_a_process_that_died_while_it_made_the_folder_does_not_block_it() -> None:
    Path("a/samples").mkdir(parents=True)
    for name in ("LOCK", "environment.json", ".config.json.0123abcd.tmp"):
        Path("a", name).write_text("{")
    assert train(steps=2, out="a").step == 2


@pytest.mark.parametrize("name", ["samples/0.png", "config.json", "notes.tmp", "samples"])
def test_a_folder_of_the_users_that_looks_like_one_of_ours_is_left_alone(name: str) -> None:
    for number in range(3):
        Path("mine/samples").mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 60 * number).save(f"mine/samples/{number}.png")
    Path("mine", "LOCK").write_text("x")
    if name == "config.json":
        shutil.rmtree("mine/samples")
        Path("mine/LOCK").unlink()
    if name == "notes.tmp":
        shutil.rmtree("mine/samples")
    if not Path("mine", name).exists():
        Path("mine", name).write_text("precious")
    before = sorted(Path("mine").rglob("*"))
    for more in ({}, {"init_from": "nowhere"}):
        with pytest.raises(InputError, match="not empty and not a run"):
            train(steps=1, out="mine", **more)
    if Path("mine/samples").exists():
        with pytest.raises(InputError, match="not empty and not a run"):
            gankit.train("lsgan", data="mine/samples", out="mine", steps=1, **SMALL)
    assert sorted(Path("mine").rglob("*")) == before
