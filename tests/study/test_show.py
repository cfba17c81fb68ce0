"""`gankit study show`: cells, pairs and searches of a study, also while it runs, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import gankit
from support_study import PROTOCOL, finish, write_study

from gankit.errors import InputError
from gankit.study import journal
from gankit.study.export import to_json
from gankit.study.findings import findings
from gankit.study.table import read_table

GOOD = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
BAD = [2.0, 2.1, 2.2, 2.3, 2.4, 2.5]


def test_the_table_has_cells_pairs_and_a_next_step_in_80_columns(tmp_path: Path) -> None:
    write_study(tmp_path / "losses", {"good": GOOD, "bad": BAD, "like-bad": [2.05, *BAD[:4], "collapsed"]})
    done = gankit("study", "show", "losses", cwd=tmp_path, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    text = " ".join(done.stdout.split())
    assert "18 of 18 planned trials finished" in text
    assert "good 6 1.250 1.250 1.000 to 1.500 0.500" in text
    assert "1 collapsed" in text
    assert "good is better than bad (by 1.000 (1.000 to 1.000), P 1.00, p 0.006)" in text
    assert "no difference shown between bad and like-bad" in text
    assert done.stderr.startswith("next: gankit study report losses")


def test_a_study_that_still_runs_is_shown_and_left_as_it_is(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a": [1.0, 2.0], "b": [3.0]}, unfinished=1)
    file = tmp_path / "s" / "journal.jsonl"
    with file.open("ab") as torn:
        torn.write(b'{"event": "finis')
    before = {path: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    done = gankit("study", "show", "s", cwd=tmp_path)
    assert "3 of 6 planned trials finished, 3 running" in done.stdout
    assert {path: path.read_bytes() for path in (tmp_path / "s").iterdir()} == before


def test_every_output_has_the_same_numbers(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a_1": GOOD, "b": [*BAD[:5], "diverged"]})
    document = json.loads(gankit("study", "show", "s", "--json", cwd=tmp_path).stdout)
    assert [cell["median"] for cell in document["cells"]] == pytest.approx([1.25, 2.25])
    assert document["cells"][1]["failed"] == 1
    assert document["cells"][1]["mean"] == pytest.approx(2.2)
    assert document["cells"][1]["median_high"] is None  # infinity: a failed run
    assert len(document["runs"]) == 12
    assert {run["status"] for run in document["runs"]} == {"ok", "diverged"}
    (pair,) = document["comparisons"]
    assert (pair["better"], pair["paired_seeds"]) == ("a_1", 6)
    lines = list(csv.DictReader(io.StringIO(gankit("study", "show", "s", "--csv", cwd=tmp_path).stdout)))
    assert [float(line["median"]) for line in lines] == pytest.approx([1.25, 2.25])
    assert lines[1]["median_high"] == ""
    markdown = gankit("study", "show", "s", "--markdown", cwd=tmp_path).stdout
    assert r"| a\_1 | 6 | 0 | 1.250 | 1.250 (1.000 to 1.500) | 0.500 |" in markdown
    latex = gankit("study", "show", "s", "--latex", cwd=tmp_path).stdout
    assert r"a\_1 & 6 & 0 & 1.250 & 1.250 (1.000 to 1.500) & 0.500 \\" in latex
    assert "failed" in latex


def test_a_search_shows_the_expected_best_and_what_became_of_the_best(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a": [1.5, 1.7]}, {"a": [4.0, 1.0, 3.0, 2.0], "b": [5.0, "failed", 6.0, 7.0]})
    text = " ".join(gankit("study", "show", "s", cwd=tmp_path).stdout.split())
    assert "a 2.500 1.000" in text  # k = 1 and k = 4
    assert "b 6.250 5.000" in text  # the failed trial counts as 7, the worst of the study
    assert "a: 4 trials; best 1.000 (number 1), own settings 4.000; the best on 2 fresh seeds: median 1.600" in text
    assert "b: 4 trials, 1 failed; best 5.000 (number 0), own settings 5.000; not yet confirmed on fresh seeds" in text


def test_what_cannot_be_shown_is_said(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a": GOOD[:3], "b": BAD[:3], "c": BAD[:3]})
    (said,) = [sentence for sentence in findings(read_table(tmp_path / "s")) if "no difference" in sentence]
    assert said == (
        "with 3 seeds a cell and 3 pairs no difference can be shown, however large: 5 seeds are enough for the largest"
    )


def test_a_cell_without_runs_does_not_hide_what_the_others_can_show(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a": GOOD[:4], "b": BAD[:4], "c": []}, unfinished=0)
    assert any("a is better than b" in sentence for sentence in findings(read_table(tmp_path / "s")))
    write_study(tmp_path / "t", {"a": GOOD[:4], "b": BAD[:2]})
    (said,) = [sentence for sentence in findings(read_table(tmp_path / "t")) if "no difference" in sentence]
    assert said.startswith("with 2 to 4 seeds a cell and 1 pair no difference can be shown, however large: 4 seeds")


def test_outliers_are_omitted_only_when_asked_and_that_is_printed(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a": [*GOOD, 87.0, "collapsed"], "b": BAD})
    assert "omitted" not in gankit("study", "show", "s", cwd=tmp_path).stdout
    text = " ".join(gankit("study", "show", "s", "--omit-outliers", cwd=tmp_path).stdout.split())
    assert "a 6 1.250 1.250" in text
    assert "outliers are omitted: 2 runs (a 2); without the option they count" in text
    assert to_json(read_table(tmp_path / "s", omit_outliers=True))["cells"][0]["omitted"] == 2


def test_more_may_be_better(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a": [9.0, 9.1, 9.2, "failed"], "b": [1.0, 1.1, 1.2, 1.3]}, metric="f1", higher=True)
    table = read_table(tmp_path / "s")
    assert table.rows[0].median.value == pytest.approx(9.05)
    assert table.rows[0].median.low == float("-inf")
    assert table.comparisons[0].improvement.value == 0.75
    assert table.score_of(table.rows[0].runs[0]) == 9.0


def test_cells_on_different_data_are_not_compared(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a": GOOD, "b": BAD}, settings={"a": {"data": "digits"}, "b": {"data": "triangles"}})
    table = read_table(tmp_path / "s")
    assert table.data_sets == ["digits", "triangles"]
    assert table.comparisons == ()


def test_cells_of_recipes_are_compared_when_their_data_are_the_same(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {name: [1.0] for name in "abcd"})
    file = tmp_path / "s" / journal.FILE
    file.unlink()
    for trial in study.grid_trials():
        settings = {key: value for key, value in trial.settings.items() if key != "data"}
        trial = type(trial)(**{**trial.to_json(), "settings": settings})
        other = {"protocol": {**PROTOCOL, "data_fingerprint": "e" * 64}} if trial.cell == "c" else {}
        finish(file, trial, "failed" if trial.cell == "d" else 1.0, **other)
    table = read_table(tmp_path / "s")
    assert [(pair.a, pair.b) for pair in table.comparisons] == [("a", "b")]
    assert table.data_sets == ["data dddddddd", "data eeeeeeee", "unknown data"]


def test_incompatible_scores_are_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"a": GOOD, "b": BAD})
    (trial,) = [trial for trial in study.grid_trials() if trial.cell == "b" and trial.seed == 0]
    finish(tmp_path / "s" / journal.FILE, trial, 2.0, protocol={**PROTOCOL, "n": 500})
    with pytest.raises(InputError, match="scored in incompatible ways: n (2000 and 500|500 and 2000)"):
        read_table(tmp_path / "s")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("study show nothing", "nothing is not the folder of a study"),
        ("study show empty", "empty has no results yet — gankit study run -o empty"),
        ("study show s --metric fud", "the study has no metric 'fud' — did you mean 'fid'?"),
        ("study show s --csv --json", "are different outputs"),
        ("study report nothing", "nothing is not the folder of a study"),
        ("study report s -o page.pdf", "the report is an HTML page"),
        ("study report s -o no/page.html", "its folder does not exist"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(
    tmp_path: Path, refusal: Callable[..., str], arguments: str, said: str
) -> None:
    write_study(tmp_path / "s", {"a": [1.0]})
    write_study(tmp_path / "empty", {"a": []}, unfinished=1)
    assert said in refusal(arguments, tmp_path)


def test_showing_needs_no_torch(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"a": GOOD, "b": BAD})
    program = (
        "import sys; from gankit.cli import main\nsys.argv = ['gankit', 'study', 'show', 's']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True, timeout=60)
