"""Studies from the command line: grids, searches, kills at any time, growth, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import GANKIT, gankit, python

from gankit.errors import InputError
from gankit.study import journal

BASE = "--data ring8 --batch 64 --z-dim 2 --precision fp32 --device cpu -n 200"
GRID = f"--variant gan,lsgan --images 3200 --seeds 2 {BASE}"


def study(arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return gankit("study", "run", *arguments.split(), cwd=cwd)


def scores(folder: Path) -> dict[str, float]:
    return {result.trial.id: result.scores["fid"] for result in journal.results(folder / "journal.jsonl")}


def records(folder: Path, event: str) -> list[dict[str, Any]]:
    return [record for record in journal.read(folder / "journal.jsonl") if record["event"] == event]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """A study that nothing disturbed."""
    done = study(f"{GRID} -o whole", place)
    assert done.returncode == 0, done.stderr
    assert "next: gankit study show whole" in done.stderr
    return place / "whole"


def test_every_run_of_a_grid_is_trained_and_scored_once(whole: Path) -> None:
    results = journal.results(whole / "journal.jsonl")
    assert [(r.trial.cell, r.trial.seed, r.status) for r in results] == [
        ("gan-ring8", 0, "ok"),
        ("lsgan-ring8", 0, "ok"),
        ("gan-ring8", 1, "ok"),
        ("lsgan-ring8", 1, "ok"),
    ]
    for result in results:
        assert result.images_seen == 3200
        assert result.protocol["seed"] == 1  # that of the report
        assert result.floors["fid"] > 0
        assert (whole / "trials" / result.trial.id / "generator.safetensors").exists()
    assert len(set(scores(whole).values())) == 4


def test_a_trial_is_scored_as_eval_scores_it(whole: Path) -> None:
    name, value = next(iter(scores(whole).items()))
    options = "--metrics fid -n 200 --seed 1 --device cpu --json"
    done = gankit("eval", whole / "trials" / name, *options.split(), cwd=whole)
    assert json.loads(done.stdout)["scores"]["fid"]["value"] == value


def test_trials_share_the_real_side_of_their_scores(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gankit.measure.evaluator import Evaluator
    from gankit.study.folder import StudyFolder
    from gankit.study.trial import Bench

    extracted = []
    extract = Evaluator._extract

    def spy(self: Evaluator, source: Any, n: int, what: str) -> Any:
        extracted.append(what)
        return extract(self, source, n, what)

    monkeypatch.setattr(Evaluator, "_extract", spy)
    definition = StudyFolder(whole).definition()
    bench = Bench(definition.score, "cpu")
    for trial in definition.grid_trials()[:2]:
        record = bench.run(trial, whole / "trials" / trial.id)  # it is trained already
        assert record["scores"]["fid"]["value"] == scores(whole)[trial.id]
        assert record["overhead_s"] >= 0
    assert extracted == ["features of the samples"] * 2  # real features come from the cache of the machine


def test_a_collapsed_trial_is_scored_and_never_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gankit.run.health import Finding
    from gankit.study import trial as module
    from gankit.study.definition import Scoring, Trial

    found: list[Finding] = []
    monkeypatch.setattr(module, "findings", lambda *_: found)
    bench = module.Bench(Scoring(n=100, features="points"), "cpu")
    settings = {"variant": "gan", "data": "ring8", "images": 640, "z_dim": 2, "seed": 0, "precision": "fp32"}
    trial = Trial(id="x", cell="gan", phase="search", number=0, seed=0, settings=settings)
    healthy = bench.run(trial, tmp_path / "x")
    assert healthy["choice"] == healthy["scores"]["fid"]["value"]
    found.append(Finding("collapse", 64, "the samples are alike", "start again"))
    collapsed = bench.run(trial, tmp_path / "x")
    assert (collapsed["status"], collapsed["choice"]) == ("collapsed", None)
    assert collapsed["scores"] == healthy["scores"]


def test_a_study_is_not_scored_in_the_space_of_a_critic(monkeypatch: pytest.MonkeyPatch) -> None:
    from gankit.game.game import Game
    from gankit.study.definition import Scoring
    from gankit.study.trial import Bench

    monkeypatch.setattr(Game, "critic_spaces", ("points",))
    bench = Bench(Scoring(n=100), "cpu")
    with pytest.raises(InputError, match="the critic of 'lsgan' is built on points") as caught:
        bench.prepare([{"variant": "lsgan", "data": "ring8", "images": 640, "z_dim": 2}], [0])
    assert "--features" in str(caught.value.hint)


def test_the_same_command_again_does_nothing_and_a_larger_one_adds(whole: Path, place: Path) -> None:
    before = (whole / "journal.jsonl").read_bytes()
    assert study(f"{GRID} -o whole", place).returncode == 0
    assert (whole / "journal.jsonl").read_bytes() == before
    old = scores(whole)
    done = study("--seeds 3 -o whole", place)
    assert done.returncode == 0, done.stderr
    assert (whole / "journal.jsonl").read_bytes().startswith(before)
    assert scores(whole).items() > old.items()
    assert len(records(whole, "started")) == 6


def test_two_workers_make_the_same_results_as_one(whole: Path, place: Path) -> None:
    done = study(f"{GRID} --jobs 2 -o two", place)
    assert done.returncode == 0, done.stderr
    assert scores(place / "two") == {name: value for name, value in scores(whole).items() if "-s2-" not in name}
    assert len({record["worker"] for record in records(place / "two", "started")}) == 2


# -- kills -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def head(place: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a study in a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(arguments: str) -> subprocess.Popen[bytes]:
        command = [python(), str(GANKIT), "study", "run", *arguments.split()]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, cwd=place, env=environment, **quiet))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 240
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that waits for its parent has."""
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_kills_of_workers_and_heads_lose_nothing_and_run_nothing_twice(whole: Path, place: Path, head: Any) -> None:
    folder = place / "killed"

    def started(count: int) -> bool:
        return folder.exists() and len(records(folder, "started")) >= count

    def training() -> bool:
        name = records(folder, "started")[-1]["id"]
        return (folder / "trials" / name / "status.json").exists()

    # A worker dies: its trial is put back, and another worker goes on with it.
    first = head(f"{GRID} -o killed")
    wait_for(lambda: started(1) and training())
    os.kill(int(records(folder, "started")[0]["worker"].split(":")[1]), signal.SIGKILL)
    wait_for(lambda: started(2))
    assert records(folder, "lost")[0]["why"] == "worker killed by signal 9 (SIGKILL)"
    assert [record["attempt"] for record in records(folder, "started")] == [1, 2]

    # The head dies, and its worker with it.
    worker = int(records(folder, "started")[-1]["worker"].split(":")[1])
    first.kill()
    wait_for(lambda: gone(worker))

    # A signal stops the workers at a checkpoint.
    count = len(records(folder, "started"))
    second = head(f"{GRID} -o killed")
    wait_for(lambda: started(count + 1) and training())
    second.send_signal(signal.SIGTERM)
    assert second.wait(120) == 143

    # The journal lost the end of its last line.
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"event": "fini')
    done = study(f"{GRID} -o killed", place)
    assert done.returncode == 0, done.stderr
    undisturbed = {name: value for name, value in scores(whole).items() if "-s2-" not in name}
    assert scores(folder) == undisturbed
    assert set(Counter(record["id"] for record in records(folder, "finished")).values()) == {1}


def test_a_second_head_is_refused(place: Path, head: Any) -> None:
    first = head(f"{GRID} -o locked")
    wait_for(lambda: (place / "locked" / "journal.jsonl").exists())
    done = study(f"{GRID} -o locked", place)
    assert done.returncode == 4
    assert "locked is in use by process" in done.stderr
    first.send_signal(signal.SIGINT)
    assert first.wait(120) == 130


# -- what goes wrong is a result ---------------------------------------------------------------------------------------

BROKEN = '''"""Fails in its second step."""

from gankit.plugin import AdversarialLoss, VariantInfo, hookimpl


class Loss(AdversarialLoss):
    calls = 0

    def discriminator(self, critic, batch):
        self.calls += 1
        return {"score": critic(batch.fake)[: 1 // (2 - self.calls)] if self.calls > 1 else critic(batch.fake)}

    def generator(self, critic, batch):
        return {"score": -critic(batch.fake)}


@hookimpl
def gankit_variant():
    return VariantInfo(api=1, title="Broken")


@hookimpl
def gankit_loss():
    return Loss()
'''


def test_failures_are_results_and_the_rest_of_the_study_goes_on(place: Path) -> None:
    (place / "broken.py").write_text(BROKEN)
    (place / "bad.toml").write_text(
        """
        settings = { data = "ring8", images = 640, batch = 64, z_dim = 2 }
        score = { n = 200 }
        cell = [
            { name = "diverges", variant = "gan", optimizer = "sgd", g_lr = 1e30, d_lr = 1e30 },
            { name = "bug", variant = "./broken.py" },
            { name = "fine", variant = "gan" },
        ]
        """.replace("\n        ", "\n")
    )
    done = study("bad.toml --device cpu -o bad", place)
    assert done.returncode == 0, done.stderr
    results = {result.trial.cell: result for result in journal.results(place / "bad" / "journal.jsonl")}
    assert {name: result.status for name, result in results.items()} == {
        "diverges": "diverged",
        "bug": "failed",
        "fine": "ok",
    }
    assert "no longer finite" in results["diverges"].message
    assert not results["diverges"].scores
    error = place / "bad" / "trials" / results["bug"].trial.id / "error.txt"
    assert "ZeroDivisionError" in (error.read_text() if error.exists() else results["bug"].message)


# -- searches ----------------------------------------------------------------------------------------------------------


def test_tune_writes_the_best_settings_for_train(place: Path) -> None:
    arguments = f"--variant gan --trials 3 --images 320 --seeds 2 {BASE} -o tuned --json"
    done = gankit("tune", *arguments.split(), cwd=place)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    results = journal.results(place / "tuned" / "journal.jsonl")
    assert Counter(result.trial.phase for result in results) == {"search": 3, "best": 2}
    search = [result for result in results if result.trial.phase == "search"]
    best = [result for result in results if result.trial.phase == "best"]
    assert {result.protocol["seed"] for result in search} == {0}
    assert {result.protocol["seed"] for result in best} == {1}
    chosen = min((r for r in search if r.choice is not None), key=lambda r: r.choice or 0)
    assert {r.trial.number for r in best} == {chosen.trial.number}
    assert found["values"] == [r.scores["fid"] for r in best]
    plan = json.loads(gankit("train", "--config", found["best"], "--print-config", "--json", cwd=place).stdout)
    for name, value in chosen.trial.settings.items():
        if name != "seed":
            assert plan["settings"][name]["value"] == value


# -- before it runs ----------------------------------------------------------------------------------------------------


def test_a_dry_run_measures_and_writes_nothing(place: Path) -> None:
    done = study(f"{GRID} --jobs 2 --dry-run --json -o dry", place)
    assert done.returncode == 0, done.stderr
    cost = json.loads(done.stdout)
    assert cost["trials"] == 4
    assert [cell["cell"] for cell in cost["cells"]] == ["gan-ring8", "lsgan-ring8"]
    assert all(cell["images_per_s"] > 0 and cell["bytes"] > 0 for cell in cost["cells"])
    assert cost["seconds"] == pytest.approx(sum(2 * (c["train_s"] + c["score_s"]) for c in cost["cells"]) / 2)
    assert not (place / "dry").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("--variant gna --data ring8 -o x", "2", "unknown variant 'gna'"),
        ("--variant gan,lsgan --data rign8 -o x", "2", "rign8"),
        ("--variant gan --data ring8", "2", "-o is missing"),
        ("-o x", "2", "holds no study"),
        ("--variant , --data ring8 -o x", "2", "--variant is empty"),
        ("--variant gan --data ring8 --search widest -o x", "2", "unknown ranges 'widest'"),
        ("--variant gan --data ring8 --trials 5 -o x", "2", "has no ranges"),
        ("--variant gan --data ring8 --metric fdi -n 200 -o x", "2", "unknown metric 'fdi'"),
        ("--variant gan --data ring8 --metric duplicates -n 200 -o x", "2", "cannot be computed"),
        ("--variant gan --data ring8 --metric recall --metrics fid -n 200 -o x", "2", "compute no score 'recall'"),
        ("missing.toml -o x", "2", "missing.toml"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    arguments: str, code: str, said: str, tmp_path: Path, refusal: Callable[..., str], warm_processes: None
) -> None:
    assert said in refusal(f"study run {arguments}", tmp_path, code)
    assert list(tmp_path.iterdir()) == []


def test_another_study_in_the_folder_is_refused(whole: Path, place: Path, refusal: Callable[..., str]) -> None:
    said = refusal(f"study run {GRID} --scale 2 -o whole", place)
    assert "whole is another study: scale None -> 2" in said
    (place / "photos").mkdir()
    (place / "photos" / "x.png").touch()
    assert "not empty and not a study" in refusal(f"study run {GRID} -o photos", place)


def test_tpe_without_optuna(tmp_path: Path, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    said = refusal("study run --variant gan --data ring8 --search wide --sampler tpe -o x", tmp_path, "4")
    assert "pip install 'gankit[study]'" in said


def test_from_python(whole: Path) -> None:
    import gankit as api

    results = api.study(whole)
    assert {row["cell"] for row in results.rows} == {"gan-ring8", "lsgan-ring8"}
    assert all(row["fid"] > 0 and row["fid_floor"] > 0 and row["batch"] == 64 for row in results.rows)
