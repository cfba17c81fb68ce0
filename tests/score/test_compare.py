"""`gankit compare`: a table of scored runs, unlike protocols, damaged files of scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import gankit

import gankit as api
from gankit.errors import InputError
from gankit.measure.record import FILE, read_lines
from gankit.score.compare import collect
from gankit.score.evaluate import evaluate


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, which are trained and scored once."""
    folder = tmp_path_factory.mktemp("scored")
    for seed in (0, 1, 2):
        api.train("gan", steps=2, out=folder / f"gan-{seed}", seed=seed)
        evaluate(str(folder / f"gan-{seed}"), n=100, metrics=["fid", "pr"])
    return folder


@pytest.fixture
def runs(scored: Path, place: Path) -> Path:
    """The current folder, with copies of the three runs."""
    shutil.copytree(scored, place, dirs_exist_ok=True)
    return place


def test_compare_prints_a_table_and_the_spread_over_seeds(runs: Path) -> None:
    done = gankit("compare", "gan-0", "gan-1", "gan-2", cwd=runs)
    assert done.returncode == 0, done.stderr
    for word in ("gan-0", "gan-1", "gan-2", "FID ↓", "precision ↑", "mean of 3 seeds", "floor: real data"):
        assert word in done.stdout
    document = json.loads(gankit("compare", "gan-0", "gan-1", "gan-2", "--json", cwd=runs).stdout)
    values = [row["scores"]["fid"]["value"] for row in document["rows"]]
    assert document["repetitions"][0]["scores"]["fid"] == pytest.approx([np.mean(values), np.std(values, ddof=1)])


def test_compare_refuses_unlike_protocols_and_names_the_field(runs: Path) -> None:
    evaluate("gan-1", n=120, metrics=["fid", "pr"])  # a second way to score: the common one is found
    assert gankit("compare", "gan-0", "gan-1", cwd=runs).returncode == 0
    (runs / "gan-2" / FILE).unlink()
    evaluate("gan-2", n=100, metrics=["fid", "kid"])  # what both have is enough
    shared = json.loads(gankit("compare", "gan-0", "gan-2", "--json", cwd=runs).stdout)
    assert [list(row["scores"]) for row in shared["rows"]] == [["fid", "precision", "recall"], ["fid", "kid"]]
    (runs / "gan-2" / FILE).unlink()
    evaluate("gan-2", n=100, metrics=["kid"])
    refused = gankit("compare", "gan-0", "gan-2", cwd=runs)
    assert (refused.returncode, "in incompatible ways: metrics" in refused.stderr) == (2, True)
    (runs / "gan-2" / FILE).unlink()
    evaluate("gan-2", n=100, metrics=["fid", "pr"], seed=7)
    done = gankit("compare", "gan-0", "gan-2", cwd=runs)
    assert done.returncode == 2
    assert "gan-0 and gan-2 were scored in incompatible ways: seed 0 and 7" in done.stderr
    (runs / "gan-2" / FILE).unlink()
    done = gankit("compare", "gan-0", "gan-2", cwd=runs)
    assert (done.returncode, "gan-2 has no scores — gankit eval gan-2" in done.stderr) == (2, True)


def test_somebody_elses_words_in_the_table_are_words(runs: Path) -> None:
    """A run's name or a metric's may look like rich's markup, or move the cursor."""
    (runs / "gan-0").rename(runs / "z[bold]")
    file = runs / "z[bold]" / FILE
    file.write_text(file.read_text().replace('"precision"', '"[red]\\u001b[2J"'))
    done = gankit("compare", "z[bold]", cwd=runs)
    assert done.returncode == 0, done.stderr
    assert "z[bold]" in done.stdout
    assert "[red]" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_damaged_file_of_scores_is_one_line(runs: Path) -> None:
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
    done = gankit("compare", "gan-0", "gan-1", cwd=runs)
    assert (done.returncode, done.stderr.count("\n"), "Traceback" in done.stderr) == (2, 1, False)
    for raw in (b"\xff\xfe", b""):
        file.write_bytes(raw)
        with pytest.raises(InputError):
            collect([runs / "gan-0"])


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
