"""The classifier that scores labelled images: kept in the cache, taken from a file, never for other data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support_data import save_digits

import gankit as api
from gankit.data import load_dataset
from gankit.errors import InputError
from gankit.score.evaluate import evaluate


@pytest.fixture(autouse=True)
def home(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; classifiers are trained for a few steps only, since no test here depends on their accuracy."""
    monkeypatch.setattr("gankit.measure.features.classifier.STEPS", 20)
    monkeypatch.setenv("GANKIT_HOME", str(place / "home"))
    return place / "home"


def test_classifier_from_a_file_gives_the_same_score_elsewhere(
    place: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else needs to reproduce a number: the checkpoint, the protocol and the classifier's file."""
    save_digits(place / "some.npz", 300)
    here = evaluate("some.npz", against="digits", metrics=["fid"])
    (file,) = (home / "scores").glob(f"classifier-*-{here.protocol.train_fingerprint[:16]}.safetensors")
    (place / "theirs.safetensors").write_bytes(file.read_bytes())
    monkeypatch.setenv("GANKIT_HOME", str(place / "elsewhere"))
    there = evaluate("some.npz", against="digits", metrics=["fid"], features="classifier@theirs.safetensors")
    assert there.protocol == here.protocol
    assert there.scores == here.scores
    assert not list((place / "elsewhere" / "scores").glob("classifier-*"))


def test_a_damaged_classifier_is_trained_again_and_a_users_file_is_refused(place: Path) -> None:
    (place / "broken.safetensors").write_bytes(b"nonsense")
    save_digits(place / "some.npz", 300)
    with pytest.raises(InputError, match=r"broken\.safetensors"):
        evaluate("some.npz", against="digits", features="classifier@broken.safetensors")
    deep = json.dumps({"__metadata__": {"gankit": "[" * 100_000}}).encode()
    (place / "deep.safetensors").write_bytes(len(deep).to_bytes(8, "little") + deep)
    with pytest.raises(InputError, match="not a classifier written by gankit"):
        evaluate("some.npz", against="digits", features="classifier@deep.safetensors")
    api.train("gan", steps=1, out="run")
    with pytest.raises(InputError, match="not a classifier written by gankit"):
        evaluate("some.npz", against="digits", features="classifier@run/generator.safetensors")


def test_the_classifier_of_other_data_is_not_taken(place: Path, home: Path) -> None:
    save_digits(place / "some.npz", 300)
    here = evaluate("some.npz", against="digits", metrics=["fid"])
    (file,) = (home / "scores").glob(f"classifier-*-{here.protocol.train_fingerprint[:16]}.safetensors")
    random = np.random.RandomState(0)
    np.savez(place / "other.npz", images=random.randint(0, 256, (200, 28, 28), np.uint8), labels=np.arange(200) % 2)
    other = load_dataset(str(place / "other.npz"), {})
    (home / "scores" / f"classifier-r1-{other.fingerprint[:16]}.safetensors").write_bytes(file.read_bytes())
    there = evaluate("other.npz", against="other.npz", metrics=["fid"])
    assert there.protocol.features_sha256 != here.protocol.features_sha256
