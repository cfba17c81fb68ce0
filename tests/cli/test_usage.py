"""Wrong usage: one line that says what to type instead, also for the words of other tools."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gankit.cli import main

Refusal = Callable[..., str]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("train --epochs 5", "gankit train: no such option: --epochs — --images 500k: the budget counts images"),
        ("train --lr 2e-4", "no such option: --lr — --g-lr 1e-3 --d-lr 1e-3"),
        ("train --batch_size 16", "no such option: --batch_size — --batch 64"),
        ("train --dataset x", "— --data NAME or --data PATH"),
        ("train --latent_dim 100", "— --z-dim 64"),
        ("train --n_critic 5", "— --d-steps 5"),
        ("train --gpu 0", "— --device cuda, or --device cuda:1"),
        ("train --optoin x", "no such option: --optoin — did you mean --"),
        ("train --batch", "option '--batch' requires an argument — `gankit --help` shows how"),
        ("train gan", "got unexpected extra argument(s) (gan) — --variant gan"),
        ("train photos", "got unexpected extra argument(s) (photos) — --data photos"),
        ("train nothing", "— what is trained is named by flags: --variant NAME --data PATH"),
        ("train --seed 0,1,2", "--seed 0,1,2: one run has one seed — for x in 0 1 2; do gankit train --seed $x; done"),
        ("train --variant gan,lsgan", "one run has one variant — for x in gan lsgan; do"),
        (
            "train --variant gan -s label_smoothing=0.9",
            "the label of real samples would be 0.1 — s is taken away from 1; an article's label of 0.9 is "
            "-s label_smoothing=0.1",
        ),
        (
            "sample",
            "gankit sample: missing argument 'CKPT' — gankit sample RUN: a run folder, which `gankit train` makes",
        ),
        ("eval", "missing argument 'CKPT|DIR|ZIP|NPZ' — gankit eval RUN: a run folder"),
        ("data info", "gankit data info: missing argument 'DATA' — `gankit data info --help` shows how"),
        ("bench lsgan", "got unexpected extra argument(s) (lsgan) — --variant lsgan"),
        ("figure1d gan,lsgan", "gan,lsgan is not the folder of a run — --variant gan,lsgan: trains it, and draws"),
        ("variants gan", "no such command 'gan' — gankit variants show gan"),
        ("recipes digits", "no such command 'digits' — gankit recipes show digits"),
        ("eval nowhere", "nowhere: there is no such file or folder — give a run folder"),
        ("resume nowhere", "nowhere is not the folder of a run — runs lie below runs/"),
        ("plugin check specral-norm", "unknown variant or extension 'specral-norm' — did you mean 'spectral-norm'?"),
        ("train --variant gan --size big", "'big' is not an image size — write SIZE or HEIGHTxWIDTH"),
        (
            "train --data words.txt",
            "words.txt: not a kind of file that is read (it starts with 'hello you') — read are",
        ),
        ("train --batch 0", "--batch 0: it should be 1 or more — images in each batch"),
        ("train --batch 2.5", "--batch 2.5: it should be a whole number — "),
        ("train --time soon", "--time soon: not a duration: write 90s, 15m, 2h or 1h30m"),
        (
            "train --optimizer Adam",
            "--optimizer Adam: it should be adam, adamw, rmsprop or sgd — optimiser of both players",
        ),
        ("train --betas 0.5", "--betas 0.5: a second value is missing after a comma"),
        (
            "train --batch 0 --seed -1",
            "--batch 0: it should be 1 or more; --seed -1: it should be 0 or more — --batch: images",
        ),
        ("sample x -n 0", "invalid value for '-n': it should be 1 or more"),
        ("sample x --images 4", "no such option: --images — -n 64"),
        ("resume x --epochs 3", "no such option: --epochs — --images 500k: the budget counts images"),
        ("sample x --seed 3", "no such option: --seed — --seeds 7, or --seeds 0-63"),
        ("eval x --data y", "no such option: --data — --against DATA"),
        ("evaluate x", "gankit: no such command 'evaluate' — gankit eval"),
        ("lsgan", "gankit: no such command 'lsgan' — gankit train --variant lsgan"),
        ("trian", "gankit: no such command 'trian' — did you mean 'train', 'variants'?"),
        ("plugin make", "gankit plugin: no such command 'make' — `gankit plugin --help` lists the commands"),
        ("sample x --class", "option '--class' requires an argument"),
        ("sample x -n many", "invalid value for '-n': it should be a whole number"),
    ],
)
def test_wrong_usage_is_answered_with_what_to_type(typed: str, answer: str, refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "words.txt").write_text("hello\nyou\n")
    said = refusal(typed, tmp_path)
    assert said.startswith("error: ")
    assert answer in said


def test_what_is_missing_is_the_newest_run_here(refusal: Refusal, tmp_path: Path) -> None:
    for number, name in enumerate(("runs/a-1", "my run", "runs/b-2")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}")
        os.utime(tmp_path / name, (number, number) if name != "my run" else (9, 9))
    assert "missing argument 'RUN' — gankit resume 'my run', the newest run here" in refusal("resume", tmp_path)
    inside = refusal("resume runs/a-1/checkpoints", tmp_path)
    assert inside.endswith("runs/a-1/checkpoints is not the folder of a run — runs/a-1 is one")


@pytest.mark.parametrize("typed", ["", "plugin", "data"])
def test_a_bare_command_shows_where_to_begin(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gankit", *typed.split()])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert (end.value.code, err) == (0, "")
    if not typed:
        assert [line.split()[:2] for line in out.splitlines() if line.startswith("  ")] == [
            ["gankit", "train"],
            ["gankit", "train"],
            ["gankit", "sample"],
        ]


def test_as_a_module_it_is_the_same_command() -> None:
    command = [sys.executable, "-m", "gankit", "variants", "gan"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = "error: gankit variants: no such command 'gan' — gankit variants show gan\n"
    assert (done.returncode, done.stderr) == (2, said)
