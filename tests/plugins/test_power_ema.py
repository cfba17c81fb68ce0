"""`--with power-ema` and `gankit average`: from a run to an average of another width, as a user meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from support import gankit

from gankit.errors import InputError
from gankit.store.generator_file import read
from gankit_extensions.power_ema import Options, PowerEmaFiles

TRAIN = ("train", "--data", "ring8", "--with", "power-ema", "--batch", "32", "--device", "cpu", "--precision", "fp32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with snapshots at its end, and one at a checkpoint in the middle."""
    where = tmp_path_factory.mktemp("power")
    assert gankit(*TRAIN, "--images", "3200", "-o", "run", cwd=where).returncode == 0
    assert gankit("resume", "run", "--images", "6400", cwd=where).returncode == 0
    return where


def test_a_file_of_another_width_is_sampled_like_any_other(folder: Path) -> None:
    made = gankit("average", "run", "--std", "0.07", "-o", "wide.safetensors", cwd=folder)
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[0] == "wide.safetensors"
    assert "gankit eval wide.safetensors" in made.stderr
    header, tensors = read(folder / "wide.safetensors")
    assert (header.average_std, header.images_seen) == (0.07, 6400)
    kept = [read(path) for path in sorted((folder / "run" / "averages").glob("*"))]
    for name, tensor in tensors.items():  # between the two that it lies between, and neither of them
        assert all(not torch.equal(tensor, other[name]) for _, other in kept), name
    assert gankit("sample", "wide.safetensors", "-n", "4", "-o", "x.npz", cwd=folder).returncode == 0


def test_the_width_of_a_half_life_and_json(folder: Path) -> None:
    made = gankit("average", "run", "--halflife", "640", "--json", cwd=folder)
    document = json.loads(made.stdout)
    assert document["file"] == "run/average-0.116.safetensors"
    assert document["images_seen"] == 6400
    assert document["error"] < 0.1
    assert (folder / document["file"]).is_file()


def test_snapshots_of_a_run_that_was_given_more_images_are_of_one_run(folder: Path, tmp_path: Path) -> None:
    """Those of its first budget name that budget, and count beside those of the longer one."""
    assert gankit(*TRAIN, "--images", "3200", "-o", "run", cwd=tmp_path).returncode == 0
    kept = tmp_path / "run" / "averages" / "0008-0.1.safetensors"
    shutil.copy(kept, kept.with_name("0003-0.1.safetensors"))  # of a moment that the longer run does not overwrite
    assert gankit("resume", "run", "--images", "6400", cwd=tmp_path).returncode == 0
    made = gankit("average", "run", "--std", "0.07", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert read(kept.with_name("0003-0.1.safetensors"))[0].config["images"] == 3200
    assert json.loads(made.stdout)["images_seen"] == 6400


def test_a_run_that_was_stopped_keeps_the_same_averages(folder: Path, tmp_path: Path) -> None:
    straight = gankit(*TRAIN, "--images", "6400", "-o", "run", cwd=tmp_path)
    assert straight.returncode == 0
    for std in ("0.05", "0.1"):
        last = f"run/averages/0008-{std}.safetensors"
        ours, theirs = read(folder / last)[1], read(tmp_path / last)[1]
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "one of --std and --halflife"),
        (["run", "--std", "0.1", "--halflife", "1k"], "one of --std and --halflife"),
        (["run", "--std", "0.5"], "a standard deviation of 0.5 of the run"),
        (["run", "--halflife", "many"], "--halflife many: not a count"),
        (["run", "--halflife", "6000"], "a half-life of 0.938 of the run"),
        (["none", "--std", "0.1"], "none is not a run"),
        (["run", "--std", "0.1", "-o", ""], "-o is empty"),
        (["plain", "--std", "0.1"], "plain keeps no averages"),
        (["two", "--std", "0.1"], "two/averages holds averages of two runs"),
        (["other", "--std", "0.1"], "is no average by a power function"),
    ],
)
def test_what_cannot_be_put_together(folder: Path, arguments: list[str], says: str) -> None:
    run, averages = folder / "run", folder / "run" / "averages"
    if arguments[0] in ("plain", "two", "other") and not (folder / arguments[0]).exists():
        shutil.copytree(run, folder / arguments[0], ignore=shutil.ignore_patterns("averages"))
    if arguments[0] == "two" and not (folder / "two" / "averages").exists():
        assert gankit(*TRAIN, "--seed", "1", "--images", "640", "-o", "seed1", cwd=folder).returncode == 0
        shutil.copytree(averages, folder / "two" / "averages")
        shutil.copy(folder / "seed1/averages/0008-0.1.safetensors", folder / "two" / "averages" / "9999.safetensors")
    if arguments[0] == "other" and not (folder / "other" / "averages").exists():
        shutil.copytree(averages, folder / "other" / "averages")
        shutil.copy(run / "generator.safetensors", folder / "other" / "averages")
    result = gankit("average", *arguments, cwd=folder)
    assert result.returncode == 2
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("stds", ["0.05", "0.05,x", "0.05,0.05"])
def test_two_widths_are_needed(stds: str) -> None:
    with pytest.raises(InputError, match="power-ema"):
        PowerEmaFiles(Options(stds=stds))
