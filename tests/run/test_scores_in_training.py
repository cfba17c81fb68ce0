"""Scores during training: they do not change it, survive a resume, and the best generator is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from support_data import save_digits
from support_runs import RING8

import gankit as api
from gankit.base.files import tensors_digest
from gankit.errors import InputError, ResourceError
from gankit.measure.record import FILE, read_lines
from gankit.score.evaluate import evaluate

pytestmark = pytest.mark.usefixtures("place")


def test_scores_during_training_do_not_change_it_and_best_follows(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="gankit")
    plain = api.train("lsgan", images=1280, out="plain")
    scored = api.train("lsgan", images=1280, out="scored", eval_every=512, eval_n=150)
    from gankit.store.generator_file import read

    assert read(plain.generator)[0].tensors_sha256 == read(scored.generator)[0].tensors_sha256
    announced = next(m for m in caplog.messages if m.startswith("scores every"))
    assert "scores every 512 images: 150 samples in the space 'classifier' against 150 real ones, about" in announced
    assert "3 times: about" in announced
    lines = read_lines(place / "scored" / FILE)
    assert [line.images_seen for line in lines] == [512, 1024, 1280]
    best = min(lines, key=lambda line: line.scores["fid"].value)
    assert read(place / "scored" / "best.safetensors")[0].images_seen == best.images_seen
    assert not (place / "plain" / "best.safetensors").exists()
    assert (plain.best, scored.best) == (None, scored.folder / "best.safetensors")


def test_scores_that_cannot_be_had_are_refused_before_a_run_begins(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gankit.measure.features.lite0.available", lambda: False)
    monkeypatch.setattr("gankit.measure.features.inception.find_weights", lambda: None)
    np.save(place / "plain.npy", np.random.RandomState(0).randint(0, 256, (300, 16, 16), np.uint8))
    with pytest.raises(ResourceError, match="no feature space for 'plain'"):
        api.train("gan", data="plain.npy", steps=1, out="run", eval_every=64)
    np.savez(
        place / "few.npz",
        images=np.random.RandomState(0).randint(0, 256, (80, 16, 16), np.uint8),
        labels=np.arange(80) % 2,
    )
    with pytest.raises(InputError, match="too few"):
        api.train("gan", data="few.npz", steps=1, out="run", eval_every=64)
    assert not (place / "run").exists()


def test_scores_of_a_resumed_run_are_those_of_a_straight_one(place: Path) -> None:
    settings: dict[str, Any] = {**RING8, "eval_every": 256, "eval_n": 100, "checkpoint_every": 512}
    api.train("gan", images=1280, out="straight", **settings)
    api.train("gan", images=512, out="again", **settings)
    # What came after the checkpoint is made again: as if the process had died at 1,000 images.
    lines = (place / "straight" / FILE).read_text().splitlines()
    with (place / "again" / FILE).open("a") as file:
        file.write(lines[2] + "\n" + lines[3][:50])
    api.resume("again", images=1280)
    first, second = (
        [(line.images_seen, line.scores) for line in read_lines(place / name / FILE)] for name in ("straight", "again")
    )
    assert first == second
    best = [load_file(place / name / "best.safetensors") for name in ("straight", "again")]
    assert tensors_digest(best[0]) == tensors_digest(best[1])


def test_scores_of_other_things_in_a_runs_file_survive_a_resume(place: Path) -> None:
    api.train("gan", steps=2, out="run")
    save_digits(place / "some.npz", 300)
    evaluate("some.npz", against="digits", metrics=["fid"], save="run/metrics.jsonl")
    api.resume("run", steps=3)
    assert [line.what["kind"] for line in read_lines(place / "run" / FILE)] == ["images"]
    (place / "run" / FILE).unlink()
    (place / "run" / FILE).mkdir()
    with pytest.raises(ResourceError, match="cannot write run/metrics.jsonl"):
        api.resume("run", steps=4)


def test_a_users_own_evaluation_does_not_become_the_best_of_training(place: Path) -> None:
    api.train("gan", images=256, out="run", eval_every=128, eval_n=100)
    file = place / "run" / FILE
    record = json.loads(file.read_text().splitlines()[0])
    del record["what"]["during"]
    record["scores"]["fid"]["value"] = 0.0
    file.write_text(json.dumps(record) + "\n" + file.read_text())
    (place / "run" / "best.safetensors").unlink()
    api.resume("run", images=512)
    lines = [line for line in read_lines(file) if line.what.get("during") == "training"]
    best = min(lines, key=lambda line: line.scores["fid"].value)
    assert (place / "run" / "best.safetensors").exists() == (best.images_seen > 256)  # type: ignore[operator]
