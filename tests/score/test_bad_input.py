"""What cannot be scored is refused in one line that names what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import gankit
from support_data import save_digits

import gankit as api
from gankit.errors import GankitError, InputError, ResourceError
from gankit.measure.record import FILE
from gankit.score.evaluate import evaluate

pytestmark = pytest.mark.usefixtures("place")


@pytest.mark.parametrize(
    ("target", "settings", "code", "message"),
    [
        ("nowhere.safetensors", {}, 2, "cannot read checkpoint nowhere.safetensors"),
        ("nowhere", {"against": "digits"}, 2, "'nowhere' is neither a data set nor a path"),
        ("some.npz", {}, 2, "a set of images is scored against real data, and none is named"),
        ("some.npz", {"against": "digitz"}, 2, "'digitz' is neither a data set"),
        ("some.npz", {"against": "digits", "metrics": ["fidd"]}, 2, "unknown metric 'fidd'"),
        ("some.npz", {"against": "digits", "features": "classifer"}, 2, "unknown feature space 'classifer'"),
        ("some.npz", {"against": "digits", "features": "lite0@7"}, 2, "lite0"),
        ("some.npz", {"against": "digits", "features": "inception"}, 4, "inception"),
        ("some.npz", {"against": "digits", "features": "points"}, 2, "points"),
        ("some.npz", {"against": "digits", "split": "test"}, 2, "data set 'digits' has no split 'test'"),
        ("some.npz", {"against": "some.npz", "split": "test"}, 2, "some.npz has no split 'test'"),
        ("some.npz", {"against": "digits", "n": 400}, 2, "-n 400: some.npz holds 300"),
        ("some.npz", {"against": "digits", "n": 20}, 2, "too few"),
        ("small.npz", {"against": "digits"}, 2, r"holds [1, 14, 14], 'digits' [1, 28, 28]"),
        ("flat.npz", {"against": "digits"}, 5, "the samples are all the same: 100 times"),
        ("some.npz", {"against": "digits", "variant": "gan"}, 2, "holds images, no generator of variant 'gan'"),
        ("started", {}, 2, "started has no checkpoint yet"),
    ],
)  # fmt: skip
def test_one_line_for_bad_input(
    place: Path, monkeypatch: pytest.MonkeyPatch, target: str, settings: dict[str, Any], code: int, message: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(place / "none"))
    save_digits(place / "some.npz", 300)
    np.savez(place / "small.npz", images=np.random.RandomState(0).randint(0, 256, (100, 14, 14), np.uint8))
    np.savez(place / "flat.npz", images=np.full((100, 28, 28), 9, np.uint8))
    (place / "started").mkdir()
    (place / "started" / "run.json").write_text("{}")
    with pytest.raises(GankitError) as caught:
        evaluate(target, **settings)
    assert message in caught.value.message
    assert caught.value.hint or "variant" in settings
    assert caught.value.exit_code == code
    assert not (place / FILE).exists()


def test_bad_input_on_the_command_line(place: Path) -> None:
    save_digits(place / "some.npz", 300)
    done = gankit("eval", "some.npz", "--against", "digits", "--metrics", " ", cwd=place)
    assert (done.returncode, done.stderr.strip()) == (2, "error: --metrics is empty — for example --metrics fid,pr")
    done = gankit("eval", "some.npz", "--against", "digits", "-o", "nowhere/x.jsonl", cwd=place)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--out nowhere/x.jsonl: not a file in a folder that exists" in done.stderr


def test_a_generator_with_nan_is_refused(place: Path) -> None:
    from gankit.store.generator_file import pack, read

    api.train("lsgan", steps=1, out="run")
    file = place / "run" / "generator.safetensors"
    header, _ = read(file)
    module = api.load(file).module
    with torch.no_grad():
        next(module.parameters()).fill_(torch.nan)
    values = {k: v for k, v in vars(header).items() if k != "tensors_sha256"}
    file.write_bytes(pack(module, values).data)
    done = gankit("eval", "run", "-n", 100, cwd=place)
    assert done.returncode == 2
    assert "holds numbers that are not finite" in done.stderr


def test_unlabelled_data_without_any_space_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gankit.measure.features.lite0.available", lambda: False)
    monkeypatch.setattr("gankit.measure.features.inception.find_weights", lambda: None)
    np.save(place / "plain.npy", np.random.RandomState(0).randint(0, 256, (300, 16, 16), np.uint8))
    with pytest.raises(ResourceError, match="no feature space for 'plain'") as caught:
        evaluate("plain.npy", against="plain.npy")
    assert caught.value.hint == "pip install 'gankit[lite0]'"


def test_data_that_changed_since_training_is_refused(place: Path) -> None:
    np.save(place / "mine.npy", np.random.RandomState(0).randint(0, 256, (300, 16, 16), np.uint8))
    api.train("gan", data="mine.npy", steps=1, out="run")
    np.save(place / "mine.npy", np.random.RandomState(1).randint(0, 256, (300, 16, 16), np.uint8))
    with pytest.raises(InputError, match="it has changed since"):
        evaluate("run", n=100)
    (place / "run" / "generator.safetensors").rename(place / "alone.safetensors")
    (place / "mine.npy").unlink()
    with pytest.raises(InputError, match="was trained on 'mine', which is not here"):
        evaluate("alone.safetensors", n=100)


def test_data_that_cannot_be_downloaded_may_be_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api.train("gan", steps=1, out="run")

    def offline(*_: object, **__: object) -> None:
        raise ResourceError("data set 'mnist': cannot download", hint="use digits")

    monkeypatch.setattr("gankit.score.evaluate.load_dataset", offline)
    with pytest.raises(ResourceError) as caught:
        evaluate("run", n=100)
    assert caught.value.hint == "use digits; or give the same data with --against PATH"
