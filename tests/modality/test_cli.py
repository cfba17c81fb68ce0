"""Signals, sound, volumes and many channels through the installed command, from the file to samples that are read back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from support import gankit

from gankit.data import Preparation
from gankit.data.loading import load_dataset

TRAIN = ("--variant", "gan", "--device", "cpu", "--batch", "8", "--steps", "4")


def waves(n: int, steps: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of sines between -7 and 7: slow and fast."""
    labels = np.arange(n) % 2
    phase = np.linspace(0, 6, n)[:, None, None]
    time = np.arange(steps)[None, :, None] / steps * 2 * np.pi
    return (7 * np.sin((1 + 5 * labels[:, None, None]) * time + phase + [0, 1])).astype(np.float32), labels


def balls(n: int) -> np.ndarray:
    """Grey balls of several radii in 12x12x12 voxels."""
    axis = np.linspace(-1, 1, 12)
    distance = np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1), axis=-1)
    return (255 * (distance[None] < np.linspace(0.3, 0.9, n)[:, None, None, None])).astype(np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds")
    signals, labels = waves(120)
    np.savez(folder / "waves.npz", signals=signals, labels=labels, rate=32)
    np.save(folder / "balls.npy", balls(120))
    for name, hertz in (("low", 200), ("high", 1600)):
        (folder / "sounds" / name).mkdir(parents=True)
        for number in range(6):
            tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(900 + 50 * number) / 8000 + number)
            soundfile.write(folder / "sounds" / name / f"{number}.wav", tone, 8000)
    bands = np.random.default_rng(0).integers(0, 256, (120, 8, 8, 6), dtype=np.uint8)
    np.save(folder / "bands.npy", bands)
    return folder


def test_signals_are_trained_sampled_scored_and_read_back(place: Path) -> None:
    info = json.loads(gankit("data", "info", "waves.npz", "--json", cwd=place).stdout)
    assert (info["kind"], info["shape"], info["count"]) == ("signals", [2, 64], 120)
    trained = gankit("train", *TRAIN, "--data", "waves.npz", "--conditional", "-o", "w", cwd=place)
    assert trained.returncode == 0, trained.stderr
    assert "120 signals, 64 steps, 2 channels, 2 s at 32 Hz" in trained.stderr
    with Image.open(place / "w/samples/latest.png") as picture:
        assert picture.size[0] > 400
    made = gankit("sample", "w", "-n", "60", "-o", "fakes.npz", cwd=place)
    assert made.returncode == 0, made.stderr
    content = np.load(place / "fakes.npz")
    assert content["signals"].shape == (60, 64, 2)
    assert int(content["rate"]) == 32
    assert np.abs(content["signals"]).max() <= 7.001  # the units of the source
    back = load_dataset(str(place / "fakes.npz"), {}, how=Preparation(value_range=(-7, 7)))
    assert (back.spec.kind, back.spec.rate, len(back)) == ("signals", 32, 60)
    scored = gankit("eval", "w", "-n", "50", "--json", "--features", "statistics", cwd=place)
    assert scored.returncode == 0, scored.stderr
    of_run = json.loads(scored.stdout)["scores"]["fid"]["value"]
    assert of_run > 0
    of_set = gankit("eval", "fakes.npz", "--against", "waves.npz", "--features", "statistics", "--json", cwd=place)
    assert of_set.returncode == 0, of_set.stderr
    assert json.loads(of_set.stdout)["protocol"]["shape"] == [2, 64]
    walked = gankit("interpolate", "w", cwd=place)
    assert walked.returncode == 2
    assert "needs images, the generator makes signals" in walked.stderr


def test_labelled_signals_are_scored_by_a_classifier(place: Path) -> None:
    signals, labels = waves(400, 32)
    np.savez(place / "many.npz", signals=signals, labels=labels)
    assert gankit("train", *TRAIN, "--data", "many.npz", "-o", "m", cwd=place).returncode == 0
    scored = gankit("eval", "m", "-n", "100", "--json", cwd=place)
    assert scored.returncode == 0, scored.stderr
    assert "classifier" in json.dumps(json.loads(scored.stdout)["protocol"])
    assert "right about" not in scored.stderr  # slow and fast waves are told apart


def test_a_resumed_run_of_signals_is_the_uninterrupted_one(place: Path) -> None:
    whole = ("train", *TRAIN[:-2], "--data", "waves.npz", "--checkpoint-every", "24")
    assert gankit(*whole, "--steps", "6", "-o", "whole", cwd=place).returncode == 0
    assert gankit(*whole, "--steps", "3", "-o", "parts", cwd=place).returncode == 0
    assert gankit("resume", "parts", "--steps", "6", cwd=place).returncode == 0
    for run in ("whole", "parts"):
        assert gankit("sample", run, "-o", f"{run}.npz", "-n", "4", cwd=place).returncode == 0
    assert np.array_equal(np.load(place / "whole.npz")["signals"], np.load(place / "parts.npz")["signals"])


def test_volumes_are_trained_and_sampled(place: Path) -> None:
    trained = gankit("train", *TRAIN, "--data", "balls.npy", "-o", "b", cwd=place)
    assert trained.returncode == 0, trained.stderr
    assert "read as volumes" in trained.stderr
    assert gankit("sample", "b", "-n", "5", "-o", "b.npz", cwd=place).returncode == 0
    assert np.load(place / "b.npz")["volumes"].shape == (5, 12, 12, 12, 1)
    assert gankit("sample", "b", "-n", "5", "-o", "b.png", cwd=place).returncode == 0
    single = gankit("sample", "b", "-n", "5", "-o", "folder", cwd=place)
    assert single.returncode == 2
    assert "volumes have no single files" in single.stderr
    scored = gankit("eval", "b", "-n", "50", "--json", cwd=place)
    assert scored.returncode == 0, scored.stderr
    assert "statistics" in scored.stdout


def test_sounds_are_cut_into_clips_and_written_as_sounds(place: Path) -> None:
    uneven = gankit("data", "info", "sounds", cwd=place)
    assert uneven.returncode == 2
    assert "--length 900 cuts clips of that length" in uneven.stderr
    info = json.loads(gankit("data", "info", "sounds", "--length", "256", "--json", cwd=place).stdout)
    assert (info["kind"], info["count"], info["classes"]) == ("signals", 42, {"high": 21, "low": 21})
    trained = gankit("train", *TRAIN, "--data", "sounds", "--length", "256", "--conditional", "-o", "s", cwd=place)
    assert trained.returncode == 0, trained.stderr
    assert gankit("sample", "s", "-n", "4", "-o", "made", cwd=place).returncode == 0
    files = sorted((place / "made").rglob("*.wav"))
    assert {file.parent.name for file in files} <= {"high", "low"}
    assert len(files) == 4
    assert (soundfile.info(files[0]).frames, soundfile.info(files[0]).samplerate) == (256, 8000)
    again = gankit("data", "info", "made", "--json", cwd=place)
    assert json.loads(again.stdout)["shape"] == [1, 256]


def test_sounds_that_differ_or_are_damaged_are_named(place: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(300) + 0.1, 8000)
    soundfile.write(tmp_path / "b.wav", np.zeros(300) + 0.1, 16000)
    rates = gankit("data", "info", tmp_path, cwd=place)
    assert rates.returncode == 2
    assert "'a.wav' has 8,000 Hz, 'b.wav' 16,000" in rates.stderr
    (tmp_path / "b.wav").write_bytes(b"RIFF0000WAVE" + bytes(30))
    damaged = gankit("data", "info", tmp_path, cwd=place)
    assert damaged.returncode == 2 or "skipped" in damaged.stdout + damaged.stderr
    strict = gankit("train", *TRAIN, "--data", tmp_path, cwd=place)
    assert strict.returncode == 2
    assert "b.wav: not a sound file that is read" in strict.stderr


def test_sounds_without_soundfile_say_what_to_install(place: Path, tmp_path: Path) -> None:
    (tmp_path / "soundfile.py").write_text("raise ImportError('none')")
    found = gankit("data", "info", "sounds", "--length", "256", cwd=place, site=tmp_path)
    assert found.returncode == 4
    assert "pip install 'gankit[audio]'" in found.stderr
    assert "soundfile" in sys.modules  # the tests have it


def test_many_channels_are_trained_on_and_the_first_three_are_shown(place: Path) -> None:
    ambiguous = gankit("data", "info", "bands.npy", cwd=place)
    assert ambiguous.returncode == 2
    assert "--kind images or --kind volumes" in ambiguous.stderr
    assert gankit("data", "preview", "bands.npy", "--kind", "images", "-o", "p.png", cwd=place).returncode == 0
    with Image.open(place / "p.png") as picture:
        assert picture.mode == "RGB"
    trained = gankit(
        "train", *TRAIN, "--data", "bands.npy", "--kind", "images", "--channels", "5,1,2,0", "-o", "c", cwd=place
    )
    assert trained.returncode == 0, trained.stderr
    assert "channels 5,1,2,0 of 6" in trained.stderr
    assert gankit("sample", "c", "-n", "3", "-o", "c.npz", cwd=place).returncode == 0
    assert np.load(place / "c.npz")["samples"].shape == (3, 8, 8, 4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "waves.npz", "--size", "32"), "holds signals: --size is for images"),
        (("--data", "waves.npz", "--length", "65"), "64 steps, fewer than 65"),
        (("--data", "waves.npz", "--channels", "2"), "has 2 channels, not number 2"),
        (("--data", "waves.npz", "--channels", "blue"), "neither colours nor numbers of channels"),
        (("--data", "sounds", "--kind", "images"), "files of signals hold no images"),
        (("--data", "digits", "--length", "5"), "holds images, which have no length"),
        (("--data", "waves.npz", "--variant", "dcgan", "--with", "diffaugment"), "images"),
    ],
)
def test_settings_of_other_kinds_are_refused(place: Path, arguments: tuple[str, ...], said: str) -> None:
    refused = gankit("train", "--device", "cpu", "--steps", "2", *arguments, "-o", "refused", cwd=place)
    assert refused.returncode == 2, refused.stderr
    assert said in refused.stderr
    assert not (place / "refused").exists()
