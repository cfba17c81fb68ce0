"""The evaluator: features once, a floor from real data, guards, the cache, and the same score in two processes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import ROOT, python
from torch import Tensor

from gankit.data import Dataset
from gankit.errors import DivergedError, InputError, PluginError
from gankit.measure.evaluator import Evaluator, select_metrics
from gankit.measure.features.space import FeatureSpace
from gankit.measure.metrics import builtin_metrics
from gankit.measure.record import protocol_differences


class Toy(FeatureSpace):
    """A fixed random projection of the pixels; counts how many samples it saw."""

    def __init__(self, dim: int = 12, *, logits: bool = True) -> None:
        super().__init__(name="toy", sha256="abc", dim=dim, protocol={"resize": "none"})
        self.weight = torch.randn(64, dim, generator=torch.Generator().manual_seed(0)) / 8
        self.logits = logits
        self.seen = 0

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        self.seen += len(samples)
        features = (samples.float().flatten(1) / 255) @ self.weight
        return features, features[:, :3] if self.logits else None


def pictures(n: int, seed: int) -> Tensor:
    return torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def dataset(n: int = 640, seed: int = 0) -> Dataset:
    return Dataset.from_arrays("toy", pictures(n, seed).numpy())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANKIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def evaluator(space: Toy | None = None, **settings: object) -> Evaluator:
    data = dataset()
    return Evaluator(data, data, space or Toy(), builtin_metrics(), **settings)  # type: ignore[arg-type]


def fresh(start: int, stop: int) -> Tensor:
    return pictures(10_000, 5)[start:stop]


def test_real_data_scores_like_the_floor_and_everything_is_extracted_once() -> None:
    space = Toy()
    scorer = evaluator(space)
    scores = scorer.score(fresh)
    assert list(scores) == ["fid", "kid", "is", "precision", "recall", "density", "coverage", "duplicates"]
    assert (scorer.n, scorer.n_real, scorer.n_floor) == (320, 320, 320)
    assert space.seen == 2 + 640 + 320  # a probe for logits, the real images, the samples
    for name, score in scores.items():
        assert score.value == pytest.approx(score.floor, rel=0.35, abs=0.02 + 3 * (score.floor_spread or 0)), name


def test_reference_and_floor_are_disjoint_and_chosen_by_the_seed() -> None:
    first, second = evaluator(n=100), evaluator(n=100, seed=1)
    order = first._order[:200].tolist()
    assert len(set(order)) == 200
    assert order != second._order[:200].tolist()
    assert first._floor_indices.tolist() == order[100:]


def test_floor_when_more_samples_are_wanted_than_half_the_data() -> None:
    """The reference is half of the data; the floor has the other half, and says how many that are."""
    p = evaluator(n=5000).protocol
    assert (p.n, p.n_real, p.n_floor, p.n_train) == (5000, 320, 320, 640)
    p = evaluator(n=100, n_real=500).protocol
    assert (p.n, p.n_real, p.n_floor) == (100, 500, 100)


def test_too_few() -> None:
    with pytest.raises(InputError, match="too few"):
        evaluator(n=20)
    with pytest.raises(InputError, match="too few"):
        evaluator(n_real=641)


def test_with_all_real_images_in_the_reference_there_is_no_floor() -> None:
    scorer = evaluator(n_real=640, n=100)
    scores = scorer.score(fresh)
    assert (scorer.protocol.n_real, scorer.protocol.n_floor) == (640, 0)
    assert {score.floor for score in scores.values()} == {None}
    assert evaluator(n_real=580, n=300).protocol.n_floor == 0  # 60 others would give a floor that anybody beats
    assert evaluator(n_real=580, n=100).protocol.n_floor == 60
    assert evaluator(n_real=480, n=300).protocol.n_floor == 160
    assert scores["kid"].spread is not None


def test_nan_and_constant_samples_are_diverged_not_a_crash() -> None:
    class Broken(Toy):
        def forward(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
            features, logits = super().forward(samples)
            return torch.where(samples[:, 0, :1, 0] == 255, torch.nan, features), logits

    scorer = evaluator(Broken(128))
    scorer.real.samples.clamp_(max=254)
    with pytest.raises(DivergedError, match="the samples are not finite: 320 of 320"):
        scorer.score(lambda start, stop: torch.full((stop - start, 1, 8, 8), 255, dtype=torch.uint8))
    with pytest.raises(DivergedError, match="the samples are all the same: 320 times"):
        scorer.score(lambda start, stop: torch.full((stop - start, 1, 8, 8), 7, dtype=torch.uint8))


def test_fewer_samples_than_dimensions_is_said(caplog: pytest.LogCaptureFixture) -> None:
    evaluator(Toy(400))
    assert "FID is mostly bias" in caplog.text
    caplog.clear()
    evaluator(Toy(12))
    assert caplog.text == ""


def test_features_of_the_wrong_shape_are_the_spaces_fault() -> None:
    class Wrong(Toy):
        def __init__(self, change: Callable[[Tensor, Tensor | None], object]) -> None:
            super().__init__()
            self.change = change

        def forward(self, samples: Tensor) -> object:  # type: ignore[override]
            return self.change(*super().forward(samples))

    for change, got in (
        (lambda f, g: (f[:-1], g), r"\[1, 12\], \[2, 3\]"),
        (lambda f, g: (f[:, :5], g), r"\[2, 5\], \[2, 3\]"),
        (lambda f, g: (f, g[:, 0]), r"\[2, 12\], \[2\]"),
        (lambda f, g: f, r"\[2, 12\]"),
        (lambda f, g: None, "NoneType"),
        (lambda f, g: (f.numpy(), g), r"ndarray, \[2, 3\]"),
    ):
        with pytest.raises(PluginError, match=f"features 'toy' of 2 samples are {got}"):
            evaluator(Wrong(change))
    with pytest.raises(
        PluginError, match="of the data set 'toy' are not finite: 640 of 640"
    ):  # not the generator's fault
        evaluator(Wrong(lambda f, g: (f * torch.nan, g))).score(fresh)


def test_a_space_without_logits_and_points_leave_metrics_out() -> None:
    assert "is" not in evaluator(Toy(logits=False)).metrics
    with pytest.raises(InputError, match="unknown metric 'fidd'") as caught:
        select_metrics(builtin_metrics(), ["fidd"])
    assert "did you mean 'fid'" in (caught.value.hint or "")
    assert list(select_metrics(builtin_metrics(), ["pr", "fid"])) == ["fid", "pr"]


def test_duplicates_are_looked_for_in_all_training_images() -> None:
    """Also those outside the reference; and the floor does not find its own images there."""
    data = dataset()
    scores = evaluator(n=100).score(lambda start, stop: data.samples[start:stop])
    assert scores["duplicates"].value == 1
    assert scores["duplicates"].floor == 0


def test_on_a_test_split_the_training_set_is_still_what_may_be_copied() -> None:
    test, train = dataset(400, 3), dataset()
    scorer = Evaluator(test, train, Toy(), builtin_metrics(), n=100, split="test")
    assert scorer.score(lambda start, stop: train.samples[start:stop])["duplicates"].value == 1
    scores = scorer.score(lambda start, stop: test.samples[start:stop])
    assert (scores["duplicates"].value, scores["duplicates"].floor) == (0, 0)
    assert scorer.protocol.data_fingerprint == test.fingerprint
    assert scorer.protocol.train_fingerprint == train.fingerprint


def test_features_of_the_real_data_are_cached_by_its_fingerprint(home: Path) -> None:
    first = evaluator(n=100).score(fresh)
    space = Toy()
    assert evaluator(space, n=100).score(fresh) == first
    assert space.seen == 2 + 100  # nothing of the real data
    other = Evaluator(dataset(seed=9), dataset(seed=9), space, builtin_metrics(), n=100)
    other.score(fresh)
    assert space.seen == 2 + 100 + 2 + 200 + 100
    assert len(list((home / "scores").glob("features-*.safetensors"))) == 2


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_a_damaged_cache_is_made_again(home: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    first = evaluator(n=100).score(fresh)
    (file,) = (home / "scores").glob("features-*.safetensors")
    data = file.read_bytes()
    file.write_bytes({"cut": data[:-100], "other": data.replace(b'"gankit"', b'"gunkit"'), "empty": b""}[damage])
    assert evaluator(n=100).score(fresh) == first
    assert "it is made again" in caplog.text
    assert file.read_bytes() == data


def test_what_a_flipped_bit_in_the_cache_would_do(home: Path) -> None:
    """A safetensors file has no checksum of its own: the features' digest is compared."""
    first = evaluator(n=100).score(fresh)
    (file,) = (home / "scores").glob("features-*.safetensors")
    data = bytearray(file.read_bytes())
    data[-3] ^= 0x40
    file.write_bytes(data)
    assert evaluator(n=100).score(fresh) == first


def test_a_metric_of_a_plugin_may_return_one_number_a_pair_or_names() -> None:
    from torchmetrics import Metric

    class Mean(Metric):
        higher_is_better = None
        reads = "pixels"
        protocol = {"power": 1}  # noqa: RUF012

        def __init__(self, space: FeatureSpace) -> None:
            super().__init__()
            self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

        def update(self, values: Tensor, real: bool) -> None:
            if not real:
                self.total += values.double().mean()

        def compute(self) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
            return {"brightness": self.total, "pair": (self.total, self.total)}

    data = dataset()
    scorer = Evaluator(data, data, Toy(), {"mean": Mean}, n=100)
    scores = scorer.score(
        lambda start, stop: (
            torch.full((stop - start, 1, 8, 8), 9, dtype=torch.uint8)
            + (torch.arange(start, stop) % 2).view(-1, 1, 1, 1).to(torch.uint8)
        )
    )
    assert (scores["brightness"].value, scores["brightness"].spread, scores["pair"].spread) == (9.5, None, 9.5)
    assert scorer.protocol.metrics == {"mean": {"power": 1}}

    def broken(result: object, match: str) -> None:
        class Broken(Mean):
            def compute(self) -> object:  # type: ignore[override]
                return result

        with pytest.raises(PluginError, match=match):
            Evaluator(data, data, Toy(), {"mean": Broken}, n=100).score(fresh)

    broken(torch.tensor(torch.nan), "metric 'mean': mean is nan, not finite")
    broken("good", "metric 'mean' computed mean='good'")
    broken((1.0, 2.0, 3.0), "metric 'mean' computed mean=")
    broken({"a": None}, "metric 'mean' computed a=None|metric 'mean': a is None")
    with pytest.raises(PluginError, match="metric 'mean' is a str"):
        Evaluator(data, data, Toy(), {"mean": lambda space: "metric"}, n=100)  # type: ignore[arg-type, return-value]
    with pytest.raises(PluginError, match="metrics 'mean' and 'again' both compute 'brightness'"):
        Evaluator(data, data, Toy(), {"mean": Mean, "again": Mean}, n=100).score(fresh)


def test_global_random_streams_do_not_move() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    evaluator(n=100).score(fresh)
    assert torch.equal(before, torch.get_rng_state())


def test_protocols_differ_in_the_field_that_differs() -> None:
    assert protocol_differences(evaluator(n=100).protocol, evaluator(n=100).protocol) == {}
    assert set(protocol_differences(evaluator(n=100).protocol, evaluator(n=110, seed=2).protocol)) == {
        "n",
        "n_real",
        "n_floor",
        "seed",
    }


TWO_PROCESSES = """
import json, sys
import torch, torch.distributed as dist
sys.path[:0] = sys.argv[4:]
import test_evaluator as t
import test_metrics as m
from gankit.measure.metrics.neighbours import PrecisionRecall
from gankit.measure.metrics.distances import FrechetDistance

rank, size = int(sys.argv[1]), int(sys.argv[2])
if size > 1:
    dist.init_process_group("gloo", init_method="file://" + sys.argv[3], rank=rank, world_size=size)
scores = {}
for n in (310, 200):  # two batches for two processes, then one: a process without work
    for name, score in t.evaluator(n=n).score(t.fresh).items():
        scores[f"{name} {n}"] = [score.value, score.floor, score.spread]
# The metrics themselves, with uneven shards, synchronised by torchmetrics.
for metric in (FrechetDistance(3), PrecisionRecall(3)):
    x, y = (m.X.tolist(), m.Y.tolist())
    rows = slice(None) if size == 1 else (slice(0, 4) if rank == 0 else slice(4, None))
    metric.update(m.X[rows], real=True)
    metric.update(m.Y[rows], real=False)
    result = metric.compute()
    scores[type(metric).__name__] = [float(v) for v in (result.values() if isinstance(result, dict) else [result])]
print(json.dumps(scores))
if size > 1:
    dist.destroy_process_group()
"""


def test_two_processes_give_exactly_the_score_of_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)

    def run(size: int) -> list[dict[str, list[float]]]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GANKIT_HOME": str(tmp_path / f"home-{size}")}
        command = [python(), str(script)]
        store, here = str(tmp_path / f"store-{size}"), [str(ROOT / "tests" / "measure"), str(ROOT / "tests")]
        processes = [
            subprocess.Popen([*command, str(rank), str(size), store, *here], env=environment, stdout=subprocess.PIPE)
            for rank in range(size)
        ]
        return [json.loads(process.communicate(timeout=120)[0]) for process in processes]

    (alone,) = run(1)
    together = run(2)
    assert together[0] == together[1]
    assert {k: v for k, v in together[0].items() if k != "FrechetDistance"} == {
        k: v for k, v in alone.items() if k != "FrechetDistance"
    }
    # torchmetrics adds the sums of two shards: the last bits of a float64 sum depend on the order.
    assert together[0]["FrechetDistance"] == pytest.approx(alone["FrechetDistance"], rel=1e-12)
