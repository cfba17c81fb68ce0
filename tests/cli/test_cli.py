"""The installed command, end to end: what it prints where, and how it fails."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import GANKIT, OWN_NETWORKS, TINY_VARIANT, gankit, install, python

TINY = ("--data", "tiny.npz", "--batch", 8, "--z-dim", 8, "--device", "cpu")
POINTS = ("--data", "ring8", "--batch", 8, "--z-dim", 8, "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny.npz and a finished run in ./done."""
    path = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    np.savez(path / "tiny.npz", images=rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), labels=np.arange(40) % 4)
    done = gankit("train", "--variant", "lsgan", *TINY, "--steps", 5, "-o", "done", cwd=path)
    assert done.returncode == 0, done.stderr
    return path


def one_line(text: str) -> str:
    """The only line of stderr, which must be an error of ours."""
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    assert lines[0].startswith("error: "), text
    return lines[0]


def test_train_talks_on_stderr_and_answers_on_stdout(folder: Path) -> None:
    result = gankit("train", "--variant", "lsgan", *TINY, "--steps", 5, "--out", "talk", cwd=folder)
    assert result.returncode == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["picture", "checkpoint", "run"]
    for expected in (
        r"gankit \d+\.\d+\.\d+ · lsgan from gankit",
        r"tiny: 40 images, grey 8x8, 4 classes",
        r"parameters: G [\d,]+ D [\d,]+ · cpu · (fp32|bf16)",  # as measured
        r"built by: generator core, discriminator core, loss lsgan, training loop core",
        r"100 % 40/40 images · [\d,]+/s · D\(real\) [\d.-]+ D\(fake\) [\d.-]+ · d \d\.\d+ g \d\.\d+",
    ):
        assert re.search(expected, result.stderr), (expected, result.stderr)
    assert "\x1b" not in result.stderr + result.stdout


def test_train_json_is_one_document(folder: Path) -> None:
    result = gankit("train", "--variant", "gan", *TINY, "--steps", 2, "--out", "json", "--json", cwd=folder)
    document = json.loads(result.stdout)
    assert (document["folder"], document["images_seen"]) == ("json", 16)
    assert Path(folder, document["generator"]).exists()


def test_print_config_shows_each_schedule_over_the_budget(folder: Path) -> None:
    command = (
        "train",
        "--variant",
        "gan",
        *TINY,
        "--print-config",
        "--steps",
        100,
        "--g-lr",
        "linear(4e-4, 0, 50%-100%)",
    )
    options = ("--betas", "0.5,steps(0.9, 0.99@400)", "-s", "label_smoothing=linear(0.2, 0, 800)")
    shown = gankit(*command, *options, cwd=folder)
    assert shown.returncode == 0, shown.stderr
    rows = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines() if line.strip()}
    assert rows["schedule"] == ["at", "the", "start", "25%", "50%", "75%", "100%"]
    assert rows["betas.1"] == ["0.9", "0.9", "0.99", "0.99", "0.99"]
    document = json.loads(gankit(*command, *options, "--json", cwd=folder).stdout)
    assert document["settings"]["g_lr"] == {"value": "linear(0.0004, 0.0, 50%-100%)", "source": "flag"}
    assert document["schedules"]["g_lr"] == pytest.approx([4e-4, 4e-4, 4e-4, 2e-4, 0])
    assert document["schedules"]["options.label_smoothing"] == pytest.approx([0.2, 0.15, 0.1, 0.05, 0])


def test_a_budget_in_which_the_generator_never_moves_is_a_warning(folder: Path) -> None:
    result = gankit("train", "--variant", "gan", *TINY, "--print-config", "--steps", 3, "--d-steps", 5, cwd=folder)
    assert result.returncode == 0
    assert result.stderr == (
        "warning: the generator never moves: the budget is 3 steps, and it moves after 5 of the discriminator (--d-steps)\n"
    )
    assert (
        gankit("train", "--variant", "gan", *TINY, "--print-config", "--steps", 5, "--d-steps", 5, cwd=folder).stderr
        == ""
    )


def test_dry_run_tells_everything_and_writes_nothing(folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    result = gankit("train", "--variant", "gan", *TINY, "-n", "--seed", 3, cwd=folder, GANKIT_TRAIN_G_LR="0.001")
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in folder.iterdir()) == before
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line.strip()}
    assert rows["seed"][-2:] == ["3", "flag"]
    assert rows["g_lr"][-2:] == ["0.001", "environment"]
    assert rows["d_steps"][-1] == "core"
    assert rows["images"][-2:] == ["200000", "core"]
    assert rows["options.objective"][-2:] == ["non-saturating", "variant"]
    assert rows["built"][1:4] == ["by", "generator", "core,"]
    assert "parameters" in rows
    assert re.search(r"estimate +about [\d:]+ at [\d,]+ images/s", result.stdout)
    document = json.loads(gankit("train", "--variant", "gan", *TINY, "-n", "--json", cwd=folder).stdout)
    assert document["estimate"]["parameters"]["generator"] > 0
    assert document["built_by"]["loss"] == "gan"


def test_the_same_command_again_continues_and_resume_extends(folder: Path) -> None:
    command = ("train", "--variant", "lsgan", *POINTS, "--images", 8_000_000, "--out", "again")
    process = subprocess.Popen(
        [python(), GANKIT, *map(str, command)], cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (folder / "again" / "stats.jsonl").exists() or (folder / "again" / "stats.jsonl").stat().st_size == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1].startswith("stopped at ")
    assert "gankit resume again" in stderr.splitlines()[-1]
    status = json.loads((folder / "again" / "status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("stopped", 130)
    target = status["images_seen"] + 80
    resumed = gankit("resume", "again", "--images", target, "--json", cwd=folder)
    assert f"resumed at {status['images_seen']:,} images" in resumed.stderr
    assert json.loads(resumed.stdout)["images_seen"] == target
    same = gankit(*command[:-4], "--images", target, "--out", "again", cwd=folder)
    assert "nothing to do" in same.stderr
    assert same.returncode == 0


def test_sampling_needs_the_file_alone(folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((folder / "done" / "generator.safetensors").read_bytes())
    result = gankit("sample", "alone.safetensors", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("samples.png  64 samples in ")
    with Image.open(tmp_path / "samples.png") as grid:
        assert grid.size == (466, 466)
    assert gankit("sample", "alone.safetensors", "--seeds", "0,1,4-6", "-o", "out/", cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [
        f"seed{seed:06d}.png" for seed in (0, 1, 4, 5, 6)
    ]
    result = gankit("sample", "alone.safetensors", "-n", 300, "-o", "many.zip", "--json", cwd=tmp_path)
    assert json.loads(result.stdout)["samples"] == 300
    with zipfile.ZipFile(tmp_path / "many.zip") as archive:
        assert len(archive.namelist()) == 300
        assert archive.read("seed000004.png") == (tmp_path / "out" / "seed000004.png").read_bytes()
    assert gankit("sample", folder / "done", "-n", 3, "-o", "few.npz", cwd=tmp_path).returncode == 0
    with np.load(tmp_path / "few.npz") as arrays:
        assert arrays["samples"].shape == (3, 8, 8, 1)


def test_variants_and_show(folder: Path) -> None:
    listing = json.loads(gankit("variants", "--json", cwd=folder).stdout)
    assert {"gan", "lsgan"} <= {row["name"] for row in listing}
    assert re.search(r"lsgan +Least-squares GAN", gankit("variants", cwd=folder).stdout)
    shown = json.loads(gankit("variants", "show", "gan", "--json", cwd=folder).stdout)
    assert shown["paper"].startswith("https://arxiv.org/")
    assert [row["name"] for row in shown["options"]] == ["objective", "label_smoothing", "networks"]
    assert shown["options"][0]["type"] == "non-saturating | minimax"
    assert "label_smoothing" in gankit("variants", "show", "gan", cwd=folder).stdout


def test_doctor_reports_health_and_a_broken_plugin(folder: Path, site: Path) -> None:
    healthy = gankit("doctor", "--json", cwd=folder)
    report = json.loads(healthy.stdout)
    assert healthy.returncode == 0
    assert {row["state"] for row in report["plugins"]} == {"ok"}
    assert report["packages"]["torch"]
    assert report["scores"][0].startswith("torchmetrics 1.")
    assert "lite0" in report["scores"]
    install(site, "gankit-broken", "import no_such_module", variants=("broken",))
    sick = gankit("doctor", cwd=folder, site=site)
    assert sick.returncode == 3
    assert re.search(r"broken +variant +gankit-broken 1\.2\.3 +broken", sick.stdout)
    assert "broken" in one_line(sick.stderr)


def test_completion_of_variants(folder: Path) -> None:
    result = gankit(
        cwd=folder, _GANKIT_COMPLETE="complete_bash", COMP_WORDS="gankit train --variant ls", COMP_CWORD="3"
    )
    assert result.stdout.split() == ["lsgan"]


def test_a_one_file_variant_outside_the_repository_trains_and_samples(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TINY_VARIANT)
    data = ("--data", folder / "tiny.npz", *TINY[2:])
    result = gankit("train", "--variant", "./mine.py", *data, "--steps", 3, "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "loss mine" in result.stderr
    assert gankit("sample", "run", cwd=tmp_path).returncode == 0


def test_a_terminal_gets_a_live_line(folder: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [python(), GANKIT, "train", "--variant", "gan", *map(str, POINTS), "--steps", "400", "--out", "live"], cwd=folder, stdout=subprocess.PIPE,
        stderr=follower, env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the other side is gone
            break
        if not chunk:
            break
        shown += chunk
    os.close(leader)
    process.communicate(timeout=60)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(
        r"100% 3,200/3,200 images · [\d,]+/s · D\(x\) 0\.\d\d D\(G\(z\)\) 0\.\d\d · d [\d.]+ g [\d.]+", text
    ), text


@pytest.mark.parametrize(
    "command", [["train", "--help"], ["sample", "-h"], ["variants", "show", "--help"], ["--version"]]
)
def test_help_is_there(folder: Path, command: list[str]) -> None:
    result = gankit(*command, cwd=folder)
    assert result.returncode == 0
    assert result.stdout.strip()


# -- bad input: one line, what and where and what to do, and the documented exit code ----------------------------------

BAD = {
    "unknown variant": (["train", "--variant", "lsgam"], 2, "unknown variant 'lsgam' — did you mean 'lsgan'?"),
    "missing file variant": (["train", "--variant", "./no.py"], 2, "no such plugin file: ./no.py"),
    "unknown option": (["train", "-s", "smooth=1"], 2, "unknown option of variant 'gan': smooth — did you mean 'label_smoothing'?"),
    "option of a wrong type": (["train", "-s", "label_smoothing=much"], 2, "label_smoothing='much'"),
    "option without a value": (["train", "-s", "label_smoothing"], 2, "-s label_smoothing: not KEY=VALUE"),
    "option out of range": (["train", "-s", "label_smoothing=2"], 2, "less than 1"),
    "option of an absent extension": (["train", "-s", "ada.target=0.6"], 2, "option 'ada.target': no extension 'ada' is part of this run"),
    "bad schedule": (["train", "--g-lr", "cosine(2e-4, 0)"], 2, "--g-lr cosine(2e-4, 0): cosine takes two values and a length"),
    "schedule of an integer": (["train", "--batch", "linear(8, 64, 1k)"], 2, "--batch linear(8, 64, 1k): it takes one value for the whole run"),
    "schedule out of bounds": (["train", "--betas", "0.5,linear(0.9, 1, 1k)"], 2, "--betas 0.5,linear(0.9, 1, 1k): 1 should be less than 1"),
    "share of no budget": (["train", "--g-lr", "linear(1e-3, 0, 50%-100%)", "--time", "1h"], 2, "a share of the budget (50%) needs a budget in images or steps"),
    "momentum of adam": (["train", "--momentum", "0.9"], 2, "momentum has no effect: the players are trained with adam"),
    "betas of rmsprop": (["train", "--optimizer", "rmsprop", "--betas", "0,0.9"], 2, "betas has no effect"),
    "budget no number": (["train", "--images", "lots"], 2, "--images lots: not a count: write 50000, 50k or 2M"),
    "zero batch": (["train", "--batch", "0"], 2, "--batch 0: it should be 1 or more"),
    "unknown data": (["train", "--data", "digitz"], 2, "did you mean 'digits'?"),
    "missing data folder": (["train", "--data", "./nothing"], 2, "nothing"),
    "empty data folder": (["train", "--data", "empty"], 2, "empty"),
    "mixed sizes": (["train", "--variant", "gan", "--data", "mixed"], 2, "--size"),
    "unreadable image": (["train", "--data", "broken"], 2, "--on-bad-image skip"),
    "object array": (["train", "--data", "object.npy"], 2, "object.npy"),
    "unknown device": (["train", "--variant", "gan", "--device", "abacus"], 2, "unknown device 'abacus'"),
    "absent device": (["train", "--variant", "gan", "--device", "cuda:0"], 2, "not available"),
    "unknown extension": (["train", "--with", "ghost"], 2, "unknown extension 'ghost'"),
    "missing config": (["train", "--config", "no.toml"], 2, "no.toml"),
    "bad config key": (["train", "--config", "bad.toml"], 2, "unknown setting: imgaes"),
    "foreign run folder": (["train", "--variant", "gan", "--out", "foreign"], 2, "not empty and not a run"),
    "unwritable run folder": (["train", "--variant", "gan", "--data", "tiny.npz", "--out", "/proc/run"], 4, "cannot write /proc/run"),
    "resume nothing": (["resume", "foreign"], 2, "not the folder of a run"),
    "missing checkpoint": (["sample", "no.safetensors"], 2, "cannot read checkpoint no.safetensors"),
    "truncated checkpoint": (["sample", "cut.safetensors"], 2, "cut.safetensors is"),
    "pickle": (["sample", "model.pt"], 2, "never unpickles"),
    "bad seeds": (["sample", "done", "--seeds", "0,x"], 2, "'x' is not a seed"),
    "a seed twice": (["sample", "done", "--seeds", "1,0-3"], 2, "1 is named twice"),
    "too many samples": (["sample", "done", "--seeds", "0-99999999999"], 2, "is not a range"),
    "empty output": (["sample", "done", "-o", ""], 2, "-o is empty"),
    "sheet onto a folder": (["sample", "done", "-o", "sheet.png"], 2, "exists and is a folder"),
    "empty run folder name": (["train", "--out", ""], 2, "--out is empty"),
    "endless name": (["train", "--variant", "gan", "--data", "tiny.npz", "--out", "x" * 300], 4, "File name too long"),
    "nobody's home": (["train", "--variant", "~nobody-of-that-name/x.py"], 2, "~nobody-of-that-name/x.py: Could not determine"),
    "nobody's recipe": (["recipes", "show", "~nobody-of-that-name/x.toml"], 2, "write the whole path"),
    "endless checkpoint": (["sample", "x" * 300], 2, "no file has so long a name"),
    "endless plugin": (["train", "--variant", "./" + "x" * 300 + ".py"], 2, "no file has so long a name"),
    "endless run": (["compare", "x" * 300, "done"], 2, "no file has so long a name"),
    "not a plugin file": (["train", "--variant", "./bad.toml"], 2, "no such plugin file"),
    "huge batch": (["train", "--batch", "99999999999999999999"], 2, "--batch 99999"),
    "endless count": (["train", "--images", "1" + "0" * 400], 2, "is never reached"),
    "resume as another variant": (["resume", "done", "--variant", "gan"], 2, "was trained with variant 'lsgan'"),
    "seeds and n": (["sample", "done", "--seeds", "0", "-n", "3"], 2, "exclude each other"),
    "unknown kind of output": (["sample", "done", "-o", "x.mp3"], 2, "unknown kind of output"),
    "show an unknown variant": (["variants", "show", "lsgam"], 2, "did you mean"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bad(folder: Path) -> Path:
    """Everything the table above points at."""
    (folder / "empty").mkdir()
    (folder / "mixed").mkdir()
    (folder / "broken").mkdir()
    for index, size in enumerate([(8, 8), (8, 8), (9, 9)]):
        Image.new("L", size).save(folder / "mixed" / f"{index}.png")
        Image.new("L", (8, 8)).save(folder / "broken" / f"{index}.png")
    (folder / "broken" / "3.png").write_bytes((folder / "broken" / "0.png").read_bytes()[:40])
    np.save(folder / "object.npy", np.array([{}]), allow_pickle=True)
    (folder / "bad.toml").write_text("imgaes = 3\n")
    (folder / "foreign").mkdir()
    (folder / "sheet.png").mkdir()
    (folder / "foreign" / "x").write_text("x")
    (folder / "cut.safetensors").write_bytes((folder / "done" / "generator.safetensors").read_bytes()[:-100])
    (folder / "model.pt").write_bytes(b"\x80\x02" + b"x" * 64)
    return folder


@pytest.mark.parametrize("name", BAD)
def test_bad_input(bad: Path, name: str) -> None:
    command, code, message = BAD[name]
    result = gankit(*command, cwd=bad)
    assert message in one_line(result.stderr)
    assert result.returncode == code
    assert result.stdout == ""
    assert not (bad / "runs").exists()


def test_a_misspelt_variable_is_not_ignored(folder: Path) -> None:
    result = gankit("train", "--variant", "gan", *TINY, "--print-config", cwd=folder, GANKIT_TRAIN_BACTH="3")
    assert "unknown environment variable GANKIT_TRAIN_BACTH — did you mean 'GANKIT_TRAIN_BATCH'?" in one_line(
        result.stderr
    )
    assert result.returncode == 2
    ghost = gankit("train", "--variant", "gan", *TINY, "--print-config", cwd=folder, GANKIT_TRAIN_WITH="ghost")
    assert "unknown extension 'ghost'" in one_line(ghost.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_outside_a_run_is_one_line_and_leaves_nothing(folder: Path, tmp_path: Path, number: int) -> None:
    command = [python(), GANKIT, "sample", folder / "done", "-n", "9000000", "-o", "many.zip"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (128 + number, "stopped at once\n")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_the_command_starts_is_no_traceback() -> None:
    (script,) = entry_points(group="console_scripts", name="gankit")
    program = f"""
import os, signal, sys

class Interrupt:  # when what follows the first lines of the command is looked for
    def find_spec(self, name, path=None, target=None):
        if name == "gankit.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
import {script.module}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_skipped_image_is_named_and_the_rest_is_used(bad: Path) -> None:
    result = gankit(
        "train",
        "--variant",
        "gan",
        "--data",
        "broken",
        "--on-bad-image",
        "skip",
        "--steps",
        1,
        "--batch",
        2,
        "--out",
        "skipped",
        cwd=bad,
    )
    assert result.returncode == 0, result.stderr
    assert "3.png" in result.stderr
    assert "3 images" in result.stderr


def test_broken_plugins_hurt_only_those_who_choose_them(folder: Path, site: Path) -> None:
    install(site, "gankit-broken", "raise RuntimeError('no luck')", variants=("broken",))
    install(site, "gankit-twin", TINY_VARIANT, variants=("lsgan",))
    result = gankit("train", "--variant", "gan", *TINY, "--steps", 1, "--out", "beside", cwd=folder, site=site)
    assert result.returncode == 0, result.stderr
    chosen = gankit("train", "--variant", "broken", cwd=folder, site=site)
    assert "variant 'broken' from gankit-broken 1.2.3 failed to import: RuntimeError: no luck" in one_line(
        chosen.stderr
    )
    assert chosen.returncode == 3
    clash = gankit("train", "--variant", "lsgan", cwd=folder, site=site)
    assert "gankit-twin:lsgan" in one_line(clash.stderr)
    assert clash.returncode == 3
    mine = gankit(
        "train", "--variant", "gankit-twin:lsgan", *TINY, "--steps", 1, "--out", "twin", cwd=folder, site=site
    )
    assert mine.returncode == 0, mine.stderr


def test_a_checkpoint_without_its_plugin_says_what_to_install(tmp_path: Path, site: Path) -> None:
    install(site, "gankit-own", OWN_NETWORKS, variants=("own",))
    np.save(tmp_path / "x.npy", np.zeros((8, 2, 2, 3), np.uint8))
    made = gankit(
        "train",
        "--variant",
        "own",
        "--data",
        "x.npy",
        "--steps",
        1,
        "--batch",
        4,
        "--out",
        "run",
        cwd=tmp_path,
        site=site,
    )
    assert made.returncode == 0, made.stderr
    result = gankit("sample", "run", cwd=tmp_path)
    assert result.returncode == 3
    assert one_line(result.stderr).endswith(
        "needs variant 'own' from gankit-own 1.2.3 — gankit install gankit-own==1.2.3"
    )


def test_debug_shows_the_traceback(folder: Path) -> None:
    result = gankit("train", "--variant", "lsgam", cwd=folder, GANKIT_DEBUG="1")
    assert "Traceback" in result.stderr
    assert result.returncode == 1


# -- recipes -----------------------------------------------------------------------------------------------------------

POINTS_RECIPE = """
title = "Points"
about = "eight Gaussians"
[settings]
variant = "lsgan"
data = "ring8"
steps = 3
batch = 8
z_dim = 8
d_lr = "linear(1e-3, 0, 100%)"
[data]
shape = [2]
[expect]
features = "points"
metrics = ["fid"]
n = 100
source = "measured in a test"
[expect.scores]
fid = { low = 0, high = 1e-9 }
"""


@pytest.fixture
def recipe(folder: Path) -> str:
    (folder / "points.toml").write_text(POINTS_RECIPE)
    return "./points.toml"


def test_recipes_are_listed_and_shown(folder: Path, recipe: str, tmp_path: Path) -> None:
    listed = gankit("recipes", "--json", cwd=folder)
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert (rows["digits"]["images"], rows["digits"]["dist"]) == (100_000, "gankit")
    assert listed.stderr == ""
    narrow = gankit("recipes", cwd=folder, COLUMNS="80")
    assert max(map(len, narrow.stdout.splitlines())) <= 80
    assert narrow.stderr.startswith("next: ")
    home = {"GANKIT_HOME": str(tmp_path)}
    shown = gankit("recipes", "show", recipe, "--measure", cwd=folder, **home)
    assert shown.returncode == 0, shown.stderr
    for expected in (
        "d_lr +linear.* recipe points",
        "d_lr +0.001 +0.0005 +0",
        "expected +fid 0 to 1e-09",
        "here +about",
    ):
        assert re.search(expected, shown.stdout), (expected, shown.stdout)
    again = json.loads(
        gankit("recipes", "show", recipe, "--json", cwd=folder, **home).stdout
    )  # the speed is remembered
    assert again["here"]["images_per_s"] > 0
    assert again["schedules"]["d_lr"] == [1e-3, 5e-4, 0]
    assert again["expect"]["scores"]["fid"]["high"] == 1e-9


def test_a_recipe_is_trained_with_what_the_flags_change(folder: Path, recipe: str) -> None:
    shown = gankit("train", "--recipe", recipe, "--batch", 4, "--print-config", "--json", cwd=folder)
    settings = json.loads(shown.stdout)["settings"]
    assert settings["batch"] == {"value": 4, "source": "flag"}
    assert settings["z_dim"] == {"value": 8, "source": "recipe points"}
    variable = gankit("train", "--print-config", "--json", cwd=folder, GANKIT_TRAIN_RECIPE=recipe)
    assert json.loads(variable.stdout)["settings"]["z_dim"] == {"value": 8, "source": "recipe points"}
    (folder / "with-recipe.toml").write_text('recipe = "./points.toml"\nz_dim = 4\n')
    from_toml = gankit("train", "--config", "with-recipe.toml", "--print-config", "--json", cwd=folder)
    settings = json.loads(from_toml.stdout)["settings"]
    assert (settings["z_dim"], settings["batch"]["source"]) == (
        {"value": 4, "source": "with-recipe.toml"},
        "recipe points",
    )


def test_outside_of_the_expectation_is_exit_code_6(folder: Path, recipe: str) -> None:
    done = gankit("reproduce", recipe, "--device", "cpu", "--out", "again", "--json", cwd=folder)
    assert done.returncode == 6, done.stderr
    assert json.loads(done.stdout) == json.loads((folder / "again" / "reproduce.json").read_text())
    assert json.loads(done.stdout)["within"] is False
    text = gankit("reproduce", recipe, "--device", "cpu", "--out", "again", cwd=folder)
    assert re.search(r"FID +[\d.,]+ +0\.000 to 0\.000 +outside", text.stdout), text.stdout
    (folder / "points.toml").write_text(POINTS_RECIPE.replace("high = 1e-9", "high = 1e9"))
    assert gankit("reproduce", recipe, "--device", "cpu", "--out", "within", cwd=folder).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--recipe", "digist"], "unknown recipe 'digist' — did you mean 'digits'?"),
        (["train", "--recipe", "dcgan-celeba64"], "recipe 'dcgan-celeba64' needs data of yours: CelebA"),
        (["recipes", "show", "./none.toml"], "no such recipe file: ./none.toml"),
        (["reproduce", "paper-dcgan"], "recipe 'paper-dcgan' needs data of yours: centred faces"),
    ],
)
def test_a_wrong_recipe_is_one_line(folder: Path, arguments: list[str], message: str) -> None:
    result = gankit(*arguments, cwd=folder)
    assert result.returncode == 2
    assert message in one_line(result.stderr)
