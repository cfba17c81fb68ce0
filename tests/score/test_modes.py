"""Modes: counts and divergences worked out by hand, floors of perfect samplers, and the command from end to end."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support import gankit
from torch import Tensor

import gankit as api
from gankit.data import Dataset
from gankit.data.sets.catalogue import digits
from gankit.data.sets.stacked import stackedmnist
from gankit.data.sets.synthetic import MIXTURES
from gankit.errors import DivergedError, InputError
from gankit.measure.features import FeatureSpace
from gankit.measure.record import FILE, read_lines
from gankit.score.compare import collect
from gankit.score.evaluate import EvalSettings
from gankit.score.mode_counts import ModeCounts, count_modes, jensen_shannon, kullback_leibler, nearest_modes
from gankit.score.modes import class_modes, evaluate_modes, floor_of, mixture_modes, stacked_modes

CPU = torch.device("cpu")


class ByPixel(FeatureSpace):
    """A perfect classifier of pictures whose first pixel is their class."""

    def __init__(self) -> None:
        super().__init__(name="pixel", sha256="0", dim=1, protocol={})

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        first = samples[:, 0, 0, 0].long()
        return first[:, None].float(), torch.nn.functional.one_hot(first, 10).float()


def marked_digits() -> Dataset:
    """The digits, each with its label in the first pixel."""
    data = digits()
    assert data.labels is not None
    data.samples[:, 0, 0, 0] = data.labels.to(torch.uint8)
    return data


def test_divergences_are_those_worked_out_by_hand() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    assert kullback_leibler(p, q) == pytest.approx(math.log(2))
    # m = (3/8, 3/8, 1/4): KL(p||m) = ln 4/3, KL(q||m) = 1/2 ln 2/3 + 1/2 ln 2 = 1/2 ln 4/3
    assert jensen_shannon(p, q) == jensen_shannon(q, p) == pytest.approx(0.75 * math.log(4 / 3))
    assert kullback_leibler(q, q) == jensen_shannon(q, q) == 0
    assert jensen_shannon(np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(math.log(2))


def test_counts_of_a_small_example() -> None:
    modes = torch.tensor([0] * 39 + [1] * 20 + [2] * 2 + [-1] * 19)  # mode 2: 2 of 80, a tenth of 20
    counted = count_modes(modes, np.full(4, 0.25))
    assert counted.counts.tolist() == [39, 20, 2, 0]
    assert (counted.covered, counted.held, counted.good) == (3, 3, 61 / 80)
    shares = np.array([39, 20, 2]) / 61
    assert counted.scores()["kl"] == pytest.approx((shares * np.log(4 * shares)).sum())
    assert ModeCounts(np.array([78, 1, 0, 1]), 80, np.array([0.7, 0.1, 0.1, 0.1])).held == 3  # 1 is over 0.8
    assert ModeCounts(np.array([79, 1]), 80, np.array([0.5, 0.5])).held == 1


def test_without_a_good_sample_there_is_no_divergence() -> None:
    counted = count_modes(torch.full((5,), -1), np.full(2, 0.5))
    assert counted.scores() == {"covered": 0, "held": 0, "good": 0}


def test_points_are_good_within_three_sigma_of_the_nearest_mode() -> None:
    truth = MIXTURES["grid25"]  # sigma 0.05
    points = torch.tensor(
        [[-4.0, -4.0], [0.1, 0.1], [0.0, 0.149], [0.0, 0.151], [1.0, 0.0], [math.nan, 0.0], [4.0, 4.1]]
    )
    assert nearest_modes(points, truth).tolist() == [0, 12, 12, -1, -1, -1, 24]


@pytest.mark.parametrize(
    ("name", "jsd"), [("grid25", 24 / (8 * 2472)), ("ring8", 7 / (8 * 2472))]
)  # (K - 1) / 8 n: the first term of the expansion
def test_the_floor_of_points_is_that_of_a_perfect_sampler(name: str, jsd: float) -> None:
    floor = floor_of(mixture_modes(MIXTURES[name]), 2_500)
    k = len(MIXTURES[name].centres)
    assert floor["covered"] == floor["held"] == (k, 0)
    assert floor["good"] == (pytest.approx(1 - math.exp(-4.5), abs=1e-3), pytest.approx(0.0021, rel=0.3))
    assert floor["jsd"][0] == pytest.approx(jsd, rel=0.15)
    assert floor["kl"][0] == pytest.approx(4 * jsd, rel=0.15)
    assert floor_of(mixture_modes(MIXTURES[name]), 2_500) == floor


def test_the_floor_of_stacked_digits_is_that_of_a_perfect_sampler() -> None:
    known = stacked_modes(marked_digits(), ByPixel(), CPU)
    floor = floor_of(known, 26_000)
    assert floor["covered"] == floor["held"] == (1000, 0)
    assert floor["kl"] == (pytest.approx(0.0194, abs=0.0003), pytest.approx(0.00087, rel=0.25))
    assert known.scores == ("covered", "held", "jsd", "kl")  # every image has a nearest mode


def test_the_mode_of_a_stacked_image_is_its_label() -> None:
    real = marked_digits()
    data = stackedmnist(real)
    known = stacked_modes(real, ByPixel(), CPU)
    assert data.labels is not None
    assert torch.equal(known.mode_of(data.samples[::501]), data.labels[::501])
    assert known.names[123] == "123"


def test_classes_are_weighted_as_in_the_data() -> None:
    data = marked_digits()
    known = class_modes(data, ByPixel(), CPU)
    assert data.labels is not None
    assert (known.weights[5], known.weights.sum()) == (0.0892, pytest.approx(1))
    assert floor_of(known, 10_000)["kl"][0] == pytest.approx(9 / 20_000, rel=0.2)
    collapsed = count_modes(known.mode_of(data.samples[data.labels == 5][:100]), known.weights)
    assert (collapsed.covered, collapsed.scores()["kl"]) == (1, pytest.approx(-math.log(0.0892)))


def test_points_from_the_command_line_are_stored_shown_and_drawn(place: Path) -> None:
    api.train("lsgan", data="ring8", z_dim=2, steps=2, batch=16, device="cpu", out="run")
    done = gankit("modes", "run", "-n", 300, "--picture", "modes.png", "--device", "cpu", cwd=place)
    assert done.returncode == 0, done.stderr
    for word in (
        "against ring8",
        "300 samples as float32 against the true distribution",
        "modes covered ↑",
        "good within 3 sigma",
    ):
        assert word in done.stdout
    assert "stored in run/metrics.jsonl" in done.stderr
    assert (place / "modes.png").stat().st_size > 1000
    (line,) = read_lines(place / "run" / FILE)
    assert line.protocol.metrics["modes"] == {"modes": 8, "sigma": 0.02, "within": 3.0, "floor_draws": 100}
    assert (line.protocol.n, line.protocol.seed, line.images_seen) == (300, 0, 32)
    assert line.scores["covered"].floor == 8
    rows, _ = collect([Path("run")])
    assert rows[0].evaluation == line


def test_a_mode_is_found_in_the_weights_of_a_trained_generator(place: Path) -> None:
    """A generator that draws around one centre of ring8 covers one mode; NaN ends with exit code 5."""
    api.train("lsgan", data="ring8", z_dim=2, steps=1, batch=16, device="cpu", out="run")

    class AtOne(torch.nn.Module):
        def __init__(self, x: float) -> None:
            super().__init__()
            self.x = torch.nn.Parameter(torch.tensor([x, 0.0]))

        def forward(self, z: Tensor) -> Tensor:
            return self.x + 0.01 * z

    for x, found in ((2.0, 1), (1.0, 0)):
        with pytest.MonkeyPatch.context() as patch:
            _replace(patch, AtOne(x))
            result = evaluate_modes("run", n=200)
        assert result.counted.covered == found
        assert len(result.lost) == 8 - found
        assert ("jsd" in result.evaluation.scores) == bool(found)
    assert result.evaluation.record()["scores"]["good"]["value"] == 0
    with pytest.MonkeyPatch.context() as patch:
        _replace(patch, AtOne(math.nan))
        with pytest.raises(DivergedError, match="not finite: 200 of 200"):
            evaluate_modes("run", n=200)


def _replace(patch: pytest.MonkeyPatch, module: torch.nn.Module) -> None:
    """Let every checkpoint that is opened have this generator."""
    from gankit.score import modes
    from gankit.score.evaluate import OpenCheckpoint

    original = modes.open_checkpoint

    def opened(path: Path, options: EvalSettings) -> OpenCheckpoint:
        real = original(path, options)
        trained = type(real.trained)(module.requires_grad_(False), real.trained.header, CPU)
        return OpenCheckpoint(real.file, trained)

    patch.setattr(modes, "open_checkpoint", opened)


def test_classes_of_images_with_json_and_a_sample_of_each(place: Path) -> None:
    rng = np.random.RandomState(0)
    labels = np.arange(600) % 3
    images = np.clip(rng.normal(40 + 80 * labels[:, None, None], 10, (600, 8, 8)), 0, 255).astype(np.uint8)
    np.savez(place / "greys.npz", images=images, labels=labels)
    api.train("lsgan", data="greys.npz", steps=2, batch=16, device="cpu", out="run")
    done = gankit("modes", "run", "-n", 50, "--picture", "m.png", "-o", "x.jsonl", "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record == json.loads((place / "x.jsonl").read_text())
    protocol = record["protocol"]
    assert (protocol["features"], len(protocol["features_sha256"])) == ("classifier", 64)
    assert protocol["preparation"]["accuracy"] > 0.9
    assert protocol["metrics"]["modes"]["modes"] == record["scores"]["covered"]["floor"] == 3
    assert "good" not in record["scores"]
    assert (place / "m.png").exists()
    with pytest.raises(InputError, match="--features lite0: modes are found by a classifier"):
        evaluate_modes("run", EvalSettings(features="lite0"))


def test_what_has_no_known_modes_is_refused(place: Path, refusal: Callable[..., str]) -> None:
    api.train("lsgan", data="ring8", z_dim=2, steps=1, batch=16, device="cpu", out="ring")
    assert "-n 5: too few samples for 8 modes — leave out -n" in refusal("modes ring -n 5", place)
    assert "points need no classifier" in refusal("modes ring --features classifier", place)
    assert "x.jpg" in refusal("modes ring --picture x.jpg", place)
    api.train("lsgan", data="gaussian1d", z_dim=2, steps=1, batch=16, device="cpu", out="line")
    assert "the modes of 'gaussian1d' are not known — they are known for ring8, grid25, stackedmnist" in refusal(
        "modes line", place
    )
    np.save(place / "grid25.npy", np.random.RandomState(0).normal(size=(100, 2)).astype(np.float32))
    api.train("lsgan", data="grid25.npy", z_dim=2, steps=1, batch=16, device="cpu", out="fake")
    assert "was trained on other data, or another size, than 'grid25'" in refusal("modes fake", place)
    assert "cannot read checkpoint" in refusal("modes nowhere", place)
    assert not list(place.rglob(FILE))
