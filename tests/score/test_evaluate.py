"""`gankit eval` and `evaluate`: a run, a generator file, a set of images, points, and metrics of an extension."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import gankit, install
from support_data import save_digits

import gankit as api
from gankit.errors import InputError
from gankit.measure.record import FILE, read_lines
from gankit.score.evaluate import evaluate

pytestmark = pytest.mark.usefixtures("place")


def test_eval_of_a_run_from_the_command_line(place: Path) -> None:
    api.train("lsgan", images=640, out="run", eval_every=320, eval_n=200)
    done = gankit("eval", "run", "-n", 200, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "run at 640 images against digits" in done.stdout
    assert "200 samples as uint8 against 200 of train; floor: 200 others;" in done.stdout
    for word in ("FID ↓", "KID ×1000 ↓", "IS ↑", "precision ↑", "recall ↑", "density ↑", "coverage ↑", "duplicates ↓"):
        assert word in done.stdout
    assert "stored in run/metrics.jsonl" in " ".join(done.stderr.split())

    during, at_end, afterwards = read_lines(place / "run" / FILE)
    assert (during.images_seen, at_end.images_seen, afterwards.images_seen) == (320, 640, 640)
    # The same samples, the same reference: the number during training is the one that anybody gets from the file.
    assert afterwards.protocol == at_end.protocol
    assert afterwards.scores["fid"].value == pytest.approx(at_end.scores["fid"].value, rel=1e-4)
    assert afterwards.scores["duplicates"] == at_end.scores["duplicates"]

    # One of the checkpoints in the run, by its own path, is stored with the run as well.
    checkpoint = next((place / "run" / "checkpoints").glob("step-*/generator.safetensors"))
    printed = gankit("eval", checkpoint, "-n", 200, "--metrics", "fid", "--json", cwd=place)
    line = json.loads(printed.stdout)
    assert list(line["scores"]) == ["fid"]
    assert json.loads((place / "run" / FILE).read_text().splitlines()[-1]) == line
    for field in ("data_fingerprint", "split", "features", "features_sha256", "quantisation", "n", "n_real", "seed"):
        assert field in line["protocol"]


def test_a_set_of_images_against_data(place: Path) -> None:
    save_digits(place / "half.npz", 600)
    done = gankit("eval", "half.npz", "--against", "digits", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "600 samples as uint8 against 600 of train" in done.stdout
    assert "copies the training set" in done.stdout
    (line,) = read_lines(place / FILE)
    assert line.what["kind"] == "images"
    assert line.step is None


def test_points_have_their_own_space() -> None:
    api.train("gan", data="ring8", steps=2, out="run", z_dim=2)
    evaluation = evaluate("run", n=500, metrics=None)
    assert evaluation.protocol.features == "points"
    assert list(evaluation.scores) == ["fid", "kid", "precision", "recall", "density", "coverage"]
    assert evaluation.scores["fid"].floor < 0.1 < evaluation.scores["fid"].value
    with pytest.raises(InputError, match="duplicates cannot be computed"):
        evaluate("run", n=500, metrics=["fid", "duplicates"])


def test_a_file_alone_is_enough(place: Path) -> None:
    """Data, size and split come from the header; the run folder is gone."""
    api.train("lsgan", steps=2, out="run")
    (place / "run" / "generator.safetensors").rename(place / "alone.safetensors")
    evaluation = evaluate("alone.safetensors", n=200, metrics=["fid"])
    assert (evaluation.data, evaluation.images_seen) == ("digits", 64)
    assert (place / FILE).exists()


def test_features_and_metrics_of_an_extension(place: Path, site: Path) -> None:
    install(site, "gankit-brightness", '''
        """Mean grey level, for tests."""
        import torch
        from torchmetrics import Metric
        from gankit.plugin import FeatureSpace, hookimpl

        class Mean(FeatureSpace):
            def __init__(self, argument):
                super().__init__(name=f"mean{argument}", sha256="none", dim=28, protocol={})
            def forward(self, samples):
                return samples.float().mean(dim=(1, 2)), None

        class Gap(Metric):
            higher_is_better = False
            def __init__(self):
                super().__init__()
                self.add_state("real", torch.zeros(()), dist_reduce_fx="sum")
                self.add_state("fake", torch.zeros(()), dist_reduce_fx="sum")
            def update(self, values, real):
                if real:
                    self.real = values.mean()
                else:
                    self.fake = values.mean()
            def compute(self):
                return (self.real - self.fake).abs()

        @hookimpl
        def gankit_features():
            return {"mean": lambda data, argument: Mean(argument)}

        @hookimpl
        def gankit_metrics():
            return {"gap": lambda space: Gap()}
        ''', extensions=("brightness",))  # fmt: skip
    save_digits(place / "some.npz", 300)
    done = gankit(
        "eval", "some.npz", "--against", "digits", "--with", "brightness", "--features", "mean@x", "--metrics", "gap,fid",
        "--json", cwd=place, site=site,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert line["protocol"]["features"] == "meanx"
    assert list(line["scores"]) == ["fid", "gap"]
