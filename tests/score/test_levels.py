"""Real samples are brought to the numbers of a generator as its training data were, or they are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gankit
from gankit import core
from gankit.data import Preparation
from gankit.errors import InputError
from gankit.score.evaluate import real_data_of

RNG = np.random.default_rng(0)


def test_signals_of_another_split_are_read_in_the_units_of_the_training_data(tmp_path: Path) -> None:
    train, test = (RNG.uniform(-1, 1, (8, 16, 1)).astype(np.float32) for _ in range(2))
    train[0, 0], test[0, 0] = 1, 1
    np.savez(tmp_path / "x.npz", x_train=4 * train, x_test=2 * test)
    how = Preparation(kind="signals")
    real, trained = real_data_of(str(tmp_path / "x.npz"), "test", how, core.compose_catalogues([]))
    assert real.spec.units == trained.spec.units == (-4, 4)
    assert real.samples.max() == pytest.approx(0.5)


@pytest.mark.parametrize("form", ["npz", "folder"])
def test_another_split_with_other_levels_is_refused_and_range_mends_it(tmp_path: Path, form: str) -> None:
    train, test = (RNG.integers(0, most, (8, 12, 12)).astype(np.uint16) for most in (4096, 1024))
    train[0, 0, 0], test[0, 0, 0] = 4095, 1023
    path = tmp_path / "x.npz" if form == "npz" else tmp_path
    if form == "npz":
        np.savez(path, x_train=train, x_test=test)
    else:
        for split, images in (("train", train), ("test", test)):
            (tmp_path / split).mkdir()
            for number, image in enumerate(images):
                Image.fromarray(image).save(tmp_path / split / f"{number}.png")
    catalogues = core.compose_catalogues([])
    with pytest.raises(InputError, match="the split 'test' was read with 0 and 1023") as caught:
        real_data_of(str(path), "test", Preparation(), catalogues)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("--range=0,4095")
    real, trained = real_data_of(str(path), "test", Preparation(value_range=(0, 4095)), catalogues)
    _, inferred = real_data_of(str(path), "train", Preparation(), catalogues)
    assert trained.fingerprint == inferred.fingerprint  # so the run stays one of these data
    assert real.samples.max() == 64


def test_signals_to_score_against_are_read_in_the_units_of_the_generator(tmp_path: Path) -> None:
    loud, quiet = tmp_path / "loud.npy", tmp_path / "quiet.npy"
    signals = RNG.uniform(-1, 1, (60, 16, 1)).astype(np.float32)
    signals[0, 0] = 1
    np.save(loud, 4 * signals)
    np.save(quiet, 2 * signals)
    run = gankit.train("gan", data=loud, kind="signals", steps=1, device="cpu", out=tmp_path / "run").folder
    given = {"kind": "signals", "features": "statistics", "metrics": "fid", "n": 50, "n_real": "all", "device": "cpu"}
    with pytest.raises(InputError, match="'quiet' was read with -2 and 2"):
        gankit.evaluate(run, against=str(quiet), value_range="-2,2", **given)
    gankit.evaluate(run, against=str(quiet), **given)
    in_units = real_data_of(
        str(quiet), "train", Preparation(kind="signals", value_range=(-4.0, 4.0)), core.compose_catalogues([])
    )[0]
    assert in_units.fingerprint in (run / "metrics.jsonl").read_text()
