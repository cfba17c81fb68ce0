"""`gankit eval` and `gankit compare` as a user meets them: three bad generators told apart, protocols, training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
import torch
from support import gankit, install

import gankit as api
from gankit.base.files import append_line
from gankit.data import builtin_datasets, load_dataset
from gankit.errors import GankitError, InputError, ResourceError
from gankit.measure.record import FILE, read_lines
from gankit.score.compare import collect
from gankit.score.evaluate import evaluate

HEAD = """
import torch
from torch import nn
from gankit.plugin import AdversarialLoss, VariantInfo, hookimpl

class Loss(AdversarialLoss):
    def discriminator(self, critic, batch):
        return {"score": critic(batch.fake) - critic(batch.real)}
    def generator(self, critic, batch):
        return {"score": -0 * critic(batch.fake)}

@hookimpl
def gankit_variant():
    return VariantInfo(api=1, title="A generator that does not learn")

@hookimpl
def gankit_loss():
    return Loss()

class Fixed(nn.Module):
    def __init__(self, pictures):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.register_buffer("pictures", pictures)
    def forward(self, z):
        number = (z[:, 0].double().abs() * 1e6).long() % len(self.pictures)
        return self.pictures[number] + 0 * self.unused

def digits():
    from gankit.data import builtin_datasets
    return builtin_datasets()["digits"]().real(torch.arange(10_000))

@hookimpl
def gankit_discriminator(data):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 1), nn.Flatten(0))
"""
COLLAPSED = (
    HEAD
    + """
@hookimpl
def gankit_generator(data, z_dim):
    # Five blends of digits, which are no training images.
    pictures = digits()
    return Fixed((pictures[:5] + pictures[5:10]) / 2)
"""
)
COPIER = (
    HEAD
    + """
@hookimpl
def gankit_generator(data, z_dim):
    return Fixed(digits())
"""
)
NOISE = (
    HEAD
    + """
@hookimpl
def gankit_generator(data, z_dim):
    class Noise(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))
            self.register_buffer("mixing", torch.randn(z_dim, 784, generator=torch.Generator().manual_seed(0)))
        def forward(self, z):
            return (torch.tanh(z @ self.mixing) + 0 * self.unused).view(-1, 1, 28, 28)
    return Noise()
"""
)


@pytest.fixture(autouse=True)
def place(shared_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANKIT_HOME", str(shared_home))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: object, cwd: Path, home: Path, site: Path | None = None) -> Any:
    return gankit(*arguments, cwd=cwd, site=site, GANKIT_HOME=str(home))


def save_digits(path: Path, indices: Any, classes: bool = False) -> None:
    dataset = load_dataset("digits", builtin_datasets())
    np.savez(path, images=dataset.samples[indices].permute(0, 2, 3, 1).numpy())


# -- three bad generators ----------------------------------------------------------------------------------------------


def score_of(source: str, name: str) -> Any:
    Path(f"{name}.py").write_text(source)
    api.train(f"./{name}.py", steps=2, out=name, batch=8, ema_halflife_images=0)
    return evaluate(name, variant=f"./{name}.py", n=1000)


def test_collapse_copies_and_noise_are_told_apart() -> None:
    collapsed, copier, noise = (
        score_of(COLLAPSED, "collapsed"), score_of(COPIER, "copier"), score_of(NOISE, "noise")
    )  # fmt: skip
    value = {
        name: {key: score.value for key, score in evaluation.scores.items()}
        for name, evaluation in (("collapsed", collapsed), ("copier", copier), ("noise", noise))
    }
    floor = {key: score.floor for key, score in copier.scores.items()}
    assert value["copier"]["duplicates"] == 1
    assert value["copier"]["fid"] < 2 * floor["fid"]  # it wins every other metric
    assert value["copier"]["coverage"] > 0.9 * floor["coverage"]
    assert value["collapsed"]["duplicates"] < 0.01
    assert value["collapsed"]["recall"] < 0.1
    assert value["collapsed"]["coverage"] < 0.1
    assert value["noise"]["precision"] < 0.1
    assert value["noise"]["density"] < 0.1
    assert value["noise"]["duplicates"] < 0.01
    assert floor["fid"] < value["collapsed"]["fid"] < value["noise"]["fid"]

    assert [text.split(":")[0] for text in copier.findings()] == ["copies the training set"]
    assert "misses much of the data" in [text.split(":")[0] for text in collapsed.findings()]
    assert "looks different from the data" in [text.split(":")[0] for text in noise.findings()]
    assert not any("copies" in text for text in (*collapsed.findings(), *noise.findings()))


# -- the command -------------------------------------------------------------------------------------------------------


def test_eval_of_a_run_from_the_command_line(place: Path, shared_home: Path) -> None:
    api.train("lsgan", images=640, out="run", eval_every=320, eval_n=200)
    done = call("eval", "run", "-n", 200, cwd=place, home=shared_home)
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
    printed = call("eval", checkpoint, "-n", 200, "--metrics", "fid", "--json", cwd=place, home=shared_home)
    line = json.loads(printed.stdout)
    assert list(line["scores"]) == ["fid"]
    assert json.loads((place / "run" / FILE).read_text().splitlines()[-1]) == line
    for field in ("data_fingerprint", "split", "features", "features_sha256", "quantisation", "n", "n_real", "seed"):
        assert field in line["protocol"]


def test_a_set_of_images_against_data(place: Path, shared_home: Path) -> None:
    save_digits(place / "half.npz", slice(0, 600))
    done = call("eval", "half.npz", "--against", "digits", cwd=place, home=shared_home)
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
    assert (evaluation.data, evaluation.images_seen) == ("digits", 128)
    assert (place / FILE).exists()


def test_classifier_from_a_file_gives_the_same_score_elsewhere(
    place: Path, shared_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else needs to reproduce a number: the checkpoint, the protocol and the classifier's file."""
    save_digits(place / "some.npz", slice(0, 300))
    here = evaluate("some.npz", against="digits", metrics=["fid"])
    (file,) = (shared_home / "scores").glob(f"classifier-*-{here.protocol.train_fingerprint[:16]}.safetensors")
    (place / "theirs.safetensors").write_bytes(file.read_bytes())
    monkeypatch.setenv("GANKIT_HOME", str(place / "elsewhere"))
    there = evaluate("some.npz", against="digits", metrics=["fid"], features="classifier@theirs.safetensors")
    assert there.protocol == here.protocol
    assert there.scores == here.scores
    assert not list((place / "elsewhere" / "scores").glob("classifier-*"))


def test_a_damaged_classifier_is_trained_again_and_a_users_file_is_refused(place: Path, shared_home: Path) -> None:
    (place / "broken.safetensors").write_bytes(b"nonsense")
    save_digits(place / "some.npz", slice(0, 300))
    with pytest.raises(InputError, match=r"broken\.safetensors"):
        evaluate("some.npz", against="digits", features="classifier@broken.safetensors")
    deep = json.dumps({"__metadata__": {"gankit": "[" * 100_000}}).encode()
    (place / "deep.safetensors").write_bytes(len(deep).to_bytes(8, "little") + deep)
    with pytest.raises(InputError, match="not a classifier written by gankit"):
        evaluate("some.npz", against="digits", features="classifier@deep.safetensors")
    api.train("gan", steps=1, out="run")
    with pytest.raises(InputError, match="not a classifier written by gankit"):
        evaluate("some.npz", against="digits", features="classifier@run/generator.safetensors")


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
    save_digits(place / "some.npz", slice(0, 300))
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


def test_bad_input_on_the_command_line(place: Path, shared_home: Path) -> None:
    save_digits(place / "some.npz", slice(0, 300))
    done = call("eval", "some.npz", "--against", "digits", "--metrics", " ", cwd=place, home=shared_home)
    assert (done.returncode, done.stderr.strip()) == (2, "error: --metrics is empty — for example --metrics fid,pr")
    done = call("eval", "some.npz", "--against", "digits", "-o", "nowhere/x.jsonl", cwd=place, home=shared_home)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--out nowhere/x.jsonl: not a file in a folder that exists" in done.stderr


def test_a_generator_with_nan_is_refused(place: Path, shared_home: Path) -> None:
    from gankit.store.generator_file import pack, read

    api.train("lsgan", steps=1, out="run")
    file = place / "run" / "generator.safetensors"
    header, _ = read(file)
    module = api.load(file).module
    with torch.no_grad():
        next(module.parameters()).fill_(torch.nan)
    values = {k: v for k, v in vars(header).items() if k != "tensors_sha256"}
    file.write_bytes(pack(module, values).data)
    done = call("eval", "run", "-n", 100, cwd=place, home=shared_home)
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


def test_features_and_metrics_of_an_extension(place: Path, site: Path, shared_home: Path) -> None:
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
    save_digits(place / "some.npz", slice(0, 300))
    done = call(
        "eval", "some.npz", "--against", "digits", "--with", "brightness", "--features", "mean@x", "--metrics", "gap,fid",
        "--json", cwd=place, home=shared_home, site=site,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert line["protocol"]["features"] == "meanx"
    assert list(line["scores"]) == ["fid", "gap"]


# -- during training ---------------------------------------------------------------------------------------------------


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
    straight = api.train("gan", images=1280, out="straight", eval_every=256, eval_n=100, checkpoint_every=512)
    api.train("gan", images=512, out="again", eval_every=256, eval_n=100, checkpoint_every=512)
    # What came after the checkpoint is made again: as if the process had died at 1,000 images.
    lines = (place / "straight" / FILE).read_text().splitlines()
    with (place / "again" / FILE).open("a") as file:
        file.write(lines[2] + "\n" + lines[3][:50])
    api.resume("again", images=1280)
    first, second = (
        [(line.images_seen, line.scores) for line in read_lines(place / name / FILE)] for name in ("straight", "again")
    )
    assert first == second
    assert (straight.folder / "best.safetensors").read_bytes()[-64:] == (
        place / "again" / "best.safetensors"
    ).read_bytes()[-64:]


# -- compare -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(place: Path) -> Path:
    for seed in (0, 1, 2):
        api.train("gan", steps=2, out=f"gan-{seed}", seed=seed)
        evaluate(f"gan-{seed}", n=100, metrics=["fid", "pr"])
    return place


def test_compare_prints_a_table_and_the_spread_over_seeds(runs: Path, shared_home: Path) -> None:
    done = call("compare", "gan-0", "gan-1", "gan-2", cwd=runs, home=shared_home)
    assert done.returncode == 0, done.stderr
    for word in ("gan-0", "gan-1", "gan-2", "FID ↓", "precision ↑", "mean of 3 seeds", "floor: real data"):
        assert word in done.stdout
    document = json.loads(call("compare", "gan-0", "gan-1", "gan-2", "--json", cwd=runs, home=shared_home).stdout)
    values = [row["scores"]["fid"]["value"] for row in document["rows"]]
    assert document["repetitions"][0]["scores"]["fid"] == pytest.approx([np.mean(values), np.std(values, ddof=1)])


def test_compare_refuses_incompatible_protocols_and_names_the_field(runs: Path, shared_home: Path) -> None:
    evaluate("gan-1", n=120, metrics=["fid", "pr"])  # a second way to score: the common one is found
    assert call("compare", "gan-0", "gan-1", cwd=runs, home=shared_home).returncode == 0
    (runs / "gan-2" / FILE).unlink()
    evaluate("gan-2", n=100, metrics=["fid", "kid"])  # what both have is enough
    shared = json.loads(call("compare", "gan-0", "gan-2", "--json", cwd=runs, home=shared_home).stdout)
    assert [list(row["scores"]) for row in shared["rows"]] == [["fid", "precision", "recall"], ["fid", "kid"]]
    (runs / "gan-2" / FILE).unlink()
    evaluate("gan-2", n=100, metrics=["kid"])
    refused = call("compare", "gan-0", "gan-2", cwd=runs, home=shared_home)
    assert (refused.returncode, "in incompatible ways: metrics" in refused.stderr) == (2, True)
    (runs / "gan-2" / FILE).unlink()
    evaluate("gan-2", n=100, metrics=["fid", "pr"], seed=7)
    done = call("compare", "gan-0", "gan-2", cwd=runs, home=shared_home)
    assert done.returncode == 2
    assert "gan-0 and gan-2 were scored in incompatible ways: seed 0 and 7" in done.stderr
    (runs / "gan-2" / FILE).unlink()
    done = call("compare", "gan-0", "gan-2", cwd=runs, home=shared_home)
    assert (done.returncode, "gan-2 has no scores — gankit eval gan-2" in done.stderr) == (2, True)


def test_a_damaged_file_of_scores_is_one_line(runs: Path, shared_home: Path) -> None:
    file = runs / "gan-0" / FILE
    sound = file.read_text()
    record = json.loads(sound)

    def changed(**values: object) -> dict[str, object]:
        return {**record, **values}

    protocol, scores = record["protocol"], record["scores"]
    damaged: list[object] = [
        [], {"schema": 1}, {"schema": 99}, {"schema": "1"}, changed(protocol="abc"), changed(scores=3), changed(what="x"),
        changed(images_seen="x"), changed(protocol={**protocol, "n": "x"}), changed(protocol={**protocol, "shape": "abc"}),
        changed(protocol={**protocol, "preparation": None}), changed(scores={"fid": {"value": "abc"}}),
        changed(scores={"fid": {**scores["fid"], "value": None}}), changed(scores={"fid": {**scores["fid"], "value": 10**400}}),
    ]  # fmt: skip
    for value in damaged:
        file.write_text(json.dumps(value) + "\n" + sound)
        with pytest.raises(InputError, match=r"metrics\.jsonl, line 1"):
            read_lines(file)
    done = call("compare", "gan-0", "gan-1", cwd=runs, home=shared_home)
    assert (done.returncode, done.stderr.count("\n"), "Traceback" in done.stderr) == (2, 1, False)
    for raw in (b"\xff\xfe", b""):
        file.write_bytes(raw)
        with pytest.raises(InputError):
            collect([runs / "gan-0"])


def test_somebody_elses_words_in_the_table_are_words(runs: Path, shared_home: Path) -> None:
    """A run's name or a metric's may look like rich's markup, or move the cursor."""
    (runs / "gan-0").rename(runs / "z[bold]")
    file = runs / "z[bold]" / FILE
    file.write_text(file.read_text().replace('"precision"', '"[red]\\u001b[2J"'))
    done = call("compare", "z[bold]", cwd=runs, home=shared_home)
    assert done.returncode == 0, done.stderr
    assert "z[bold]" in done.stdout
    assert "[red]" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_line_cut_by_a_crash_costs_that_line_alone(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = runs / "gan-0" / FILE
    file.write_text(file.read_text() + '{"schema": 1, "wha')
    assert len(read_lines(file)) == 1
    evaluate("gan-0", n=110, metrics=["fid"])
    assert [line.protocol.n for line in read_lines(file)] == [100, 110]
    assert "line 2: not a whole line of JSON, left out" in caplog.text
    caplog.clear()
    _, others = collect([runs / "gan-0"])
    assert (caplog.text.count("left out"), others) == (1, 1)  # the file is read once


def test_a_full_disk_leaves_no_half_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place / "x.jsonl"
    append_line(file, {"a": 1})
    before = file.read_bytes()
    real_open = Path.open

    class Full:
        def __init__(self, raw: Any) -> None:
            self.raw = raw

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self.raw.close()

        def write(self, data: bytes) -> int:
            return int(self.raw.write(data[:5]))  # what a full disk still takes

        def __getattr__(self, name: str) -> Any:
            return getattr(self.raw, name)

    monkeypatch.setattr(Path, "open", lambda self, *rest, **more: Full(real_open(self, *rest, **more)))
    with pytest.raises(ResourceError, match="No space left"):
        append_line(file, {"b": 2})
    monkeypatch.undo()
    assert file.read_bytes() == before


def test_scores_of_other_things_in_a_runs_file_survive_a_resume(place: Path) -> None:
    api.train("gan", steps=2, out="run")
    save_digits(place / "some.npz", slice(0, 300))
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


def test_the_classifier_of_other_data_is_not_taken(
    place: Path, shared_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_digits(place / "some.npz", slice(0, 300))
    here = evaluate("some.npz", against="digits", metrics=["fid"])
    (file,) = (shared_home / "scores").glob(f"classifier-*-{here.protocol.train_fingerprint[:16]}.safetensors")
    monkeypatch.setenv("GANKIT_HOME", str(place / "home"))
    random = np.random.RandomState(0)
    np.savez(place / "other.npz", images=random.randint(0, 256, (200, 28, 28), np.uint8), labels=np.arange(200) % 2)
    other = load_dataset(str(place / "other.npz"), {})
    (place / "home" / "scores").mkdir(parents=True)
    (place / "home" / "scores" / f"classifier-r1-{other.fingerprint[:16]}.safetensors").write_bytes(file.read_bytes())
    there = evaluate("other.npz", against="other.npz", metrics=["fid"])
    assert there.protocol.features_sha256 != here.protocol.features_sha256


def test_two_evaluations_at_once_train_one_classifier(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first: the file of a cache is made under a lock."""
    from gankit.base.cache import cached_file, home

    monkeypatch.setenv("GANKIT_HOME", str(place / "cache"))
    (home() / "scores").mkdir(parents=True)
    with filelock.FileLock(home() / "scores" / ".x.lock"):
        taken = filelock.FileLock(home() / "scores" / ".x.lock", timeout=0)
        with pytest.raises(filelock.Timeout):
            taken.acquire()
    made = []
    for _ in range(2):
        assert cached_file("scores/x", make=lambda: made.append(1) or b"1", read=lambda path: path.read_bytes()) == b"1"
    assert made == [1]
    (place / "file").write_text("")
    monkeypatch.setenv("GANKIT_HOME", str(place / "file"))
    with pytest.raises(ResourceError, match="cannot use the cache"):
        cached_file("scores/x", make=lambda: b"1", read=lambda path: path.read_bytes())
