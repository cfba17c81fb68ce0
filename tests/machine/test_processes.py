"""Several processes for one run: the same gradients, one writer, one end for all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support import GANKIT, ROOT, gankit, python, unlaunched
from support_runs import assert_same_state
from two_processes import COUPLED, games

import gankit as api

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SMALL = ["--variant", "gan", "--data", "ring8", "--device", "cpu", "--batch", "16"]


def test_two_processes_give_the_gradients_of_one_in_every_game(tmp_path: Path) -> None:
    script = ROOT / "tests" / "two_processes.py"

    def run(size: int) -> list[dict[str, dict[str, torch.Tensor]]]:
        outs = [tmp_path / f"{rank}-of-{size}.pt" for rank in range(size)]
        started = [
            subprocess.Popen(
                [python(), str(script), str(rank), str(size), str(tmp_path / "store"), str(out)],
                env=unlaunched(),
            )
            for rank, out in enumerate(outs)
        ]
        assert [process.wait(timeout=240) for process in started] == [0] * size
        return [torch.load(out, weights_only=True) for out in outs]

    (one,) = run(1)
    first, second = run(2)
    assert one.keys() == games().keys()
    for game in one.keys() - COUPLED:
        for name, gradient in one[game].items():
            assert torch.equal(first[game][name], second[game][name]), (game, name)
            scale = float(gradient.abs().max())  # the gradient of a bias may be a sum of numbers near 1 that cancel
            torch.testing.assert_close(
                first[game][name],
                gradient,
                rtol=1e-4,
                atol=1e-5 * scale + 1e-7,
                msg=lambda said, name=name, game=game: f"{game}, {name}: {said}",
            )


SCHEDULES = {
    "--g-lr": "linear(1e-3, 1e-4, 32-96)",
    "--d-lr": "steps(1e-3, 5e-4@64)",
    "--betas": "0.5,linear(0.9, 0.99, 128)",
    "--ema-halflife": "linear(50, 500, 128)",
    "-s": "gamma=cosine(1, 0.1, 128)",
}


@pytest.mark.parametrize("settings", [{}, {"--variant": "r3gan", **SCHEDULES}], ids=["constant", "scheduled"])
def test_a_run_of_two_processes_is_resumed_exactly_and_goes_on_in_one(tmp_path: Path, settings: dict[str, str]) -> None:
    flags = [word for setting in settings.items() for word in setting]
    for name, steps in (("straight", 9), ("broken", 4)):
        result = gankit("train", *SMALL, *flags, "--gpus", 2, "--steps", steps, "--out", name, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("checkpoint") == 1  # one process speaks
    result = gankit("resume", "broken", "--gpus", 2, "--steps", 9, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert_same_state(tmp_path / "straight", tmp_path / "broken")
    assert api.resume(tmp_path / "broken", steps=12).step == 12


MEDDLES = """
from gankit.plugin import hookimpl

@hookimpl
def {event}(run):
    for player in run.loop.players.values():
        player.scale_lr(0.5)
"""


@pytest.mark.parametrize(("event", "images"), [("gankit_record", 16), ("gankit_checkpoint", 32)])
def test_an_event_that_changes_the_game_in_the_first_process_ends_the_run(
    tmp_path: Path, event: str, images: int
) -> None:
    (tmp_path / "meddles.py").write_text(MEDDLES.format(event=event))
    command = ["train", *SMALL, "--gpus", 2, "--with", "./meddles.py", "--steps", 4, "--checkpoint-every", 16]
    result = gankit(*command, "--out", "run", cwd=tmp_path)
    assert result.returncode != 0
    said = " ".join(result.stderr.split())
    assert f"the processes of this run differ at {images} images: 'discriminator." in said
    assert "what changes the game belongs in a Part" in said
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("failed", 3)


def test_what_cannot_be_divided_is_refused_before_anything_starts(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "--gpus 3 with a batch of 32" in refusal("train --gpus 3 --device cpu", tmp_path)
    if torch.cuda.device_count() < 2:
        assert "CUDA devices" in refusal("train --gpus 2", tmp_path)


SOUND = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORLD_SIZE", "abc"),
        ("WORLD_SIZE", "-2"),
        ("RANK", "2"),
        ("RANK", None),
        ("LOCAL_RANK", "x"),
        ("MASTER_ADDR", None),
        ("MASTER_PORT", "http"),
        ("MASTER_PORT", "99999"),
    ],
)
def test_variables_that_are_not_torchruns_are_refused_before_anybody_waits(
    tmp_path: Path, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    for key, sound in SOUND.items():
        monkeypatch.setenv(key, sound)
    monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)
    assert f"invalid: {name}=" in refusal("train --data ring8 --device cpu --steps 1", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_is_no_number_does_not_hurt_other_commands(tmp_path: Path) -> None:
    assert gankit("variants", cwd=tmp_path, RANK="first").returncode == 0


def start(command: list[str], cwd: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, cwd=cwd, env=unlaunched(), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((cwd / "run" / "checkpoints").glob("step-*")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


def process_of_rank(rank: int, cwd: Path) -> int:
    """The worker that torchrun started as this rank in this folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            if f"RANK={rank}".encode() in variables and (entry / "cwd").resolve() == cwd.resolve():
                return int(entry.name)
        except OSError:  # gone, or somebody else's
            continue
    raise AssertionError("no such process")


def torchrun(source: str, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script in two processes, with an empty cache."""
    (cwd / "script.py").write_text(source)
    command = [python(), *TORCHRUN, "script.py", *arguments]
    variables = {**unlaunched(), "GANKIT_HOME": str(cwd / "home")}
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


FAST_BF16 = """
import torch
from gankit.cli import main

torch.ops.mkldnn._is_mkldnn_bf16_supported = lambda: True
main()
"""


def test_the_precision_is_measured_by_one_process_where_batch_norm_is_synchronised(tmp_path: Path) -> None:
    settings = "train --variant dcgan --data digits --device cpu --sync-bn --batch 16 --steps 1 --out run"
    result = torchrun(FAST_BF16, tmp_path, *settings.split())
    assert result.returncode == 0, result.stderr
    (verdict,) = (path for path in (tmp_path / "home" / "autotune").iterdir() if not path.name.startswith("."))
    state = json.loads((tmp_path / "run" / "checkpoints" / "step-000000001" / "state.json").read_text())
    assert state["progress"]["precision"] == verdict.read_text()


COMMAND = "from gankit.cli import main; main()"


def test_synchronised_batch_norm_counts_the_values_of_all_processes(tmp_path: Path) -> None:
    small = "train --variant dcgan --data digits --size 4 --batch 2 --device cpu --precision fp32 --steps 1"
    refused = torchrun(COMMAND, tmp_path, *small.split(), "--out", "apart")
    assert "gets one value a channel, [1, 128, 1, 1]" in refused.stderr
    assert "--batch 4 or more, --sync-bn, a larger --size" in refused.stderr
    assert "Error: Expected more" not in refused.stderr
    assert not (tmp_path / "apart").exists()
    together = torchrun(COMMAND, tmp_path, *small.split(), "--sync-bn", "--out", "together")
    assert together.returncode == 0, together.stderr


OWN_VERDICTS = """
import torch
from gankit.machine import precision, processes

with processes.joined(torch.device("cpu")):
    rank = processes.rank()
    torch.ops.mkldnn._is_mkldnn_bf16_supported = lambda: rank == 0
    precision.fastest = lambda *_: "bf16"
    open(f"{rank}", "w").write(precision.faster_on_cpu("networks", lambda policy: None))
"""


def test_all_processes_get_the_precision_of_the_first(tmp_path: Path) -> None:
    assert torchrun(OWN_VERDICTS, tmp_path).returncode == 0
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["bf16", "bf16"]


DIFFERENT = """
import json, torch
from gankit.machine import processes

with processes.joined(torch.device("cpu")):
    first = processes.rank() == 0
    image = torch.arange(48.0).reshape(1, 3, 4, 4)
    flags = torch.tensor([True, False, True])
    long = torch.zeros((1 << 20) + 3, dtype=torch.float64)
    flipped = long.clone()
    flipped[[5, -1]] = 0.0 if first else -0.0
    moved = long.clone()
    moved[5 if first else -1] = 1.0
    tensors = {
        "nan": torch.tensor(float("nan")),
        "layout": image if first else image.to(memory_format=torch.channels_last),
        "empty": torch.empty(0),
        "flags": flags,
        "part": torch.arange(7, dtype=torch.bfloat16)[1:],
        "long": long,
        "sign of zero": torch.tensor([0.0 if first else -0.0]),
        "signs of two": flipped,
        "place": moved,
        "shape": flags if first else flags[None],
        "dtype": flags if first else flags.byte(),
        **({"in one process": flags} if first else {}),
    }
    with processes.local():
        assert processes.compare("the state", tensors) == []
    open(f"{processes.rank()}", "w").write(json.dumps(processes.compare("the state", tensors)))
"""


def test_processes_compare_their_tensors_bit_for_bit(tmp_path: Path) -> None:
    result = torchrun(DIFFERENT, tmp_path)
    assert result.returncode == 0, result.stderr
    expected = ["dtype", "in one process", "place", "shape", "sign of zero", "signs of two"]
    assert [json.loads((tmp_path / rank).read_text()) for rank in "01"] == [expected, expected]


LOST = """
import os, torch
from gankit.errors import ResourceError
from gankit.game import whole_batch
from gankit.machine import processes

with processes.joined(torch.device("cpu")):
    if processes.rank() == 1:
        os._exit(0)
    try:
        CALL
    except ResourceError as error:
        print(error.message)
"""


@pytest.mark.parametrize(
    ("call", "awaited"),
    [
        (
            "processes.average([torch.ones(3)], 'the gradients of the generator')",
            "the average of the gradients of the generator",
        ),
        ("whole_batch.gather(torch.ones(3))", "numbers of the whole batch"),
    ],
)
def test_a_process_that_loses_the_others_says_what_it_waited_for(tmp_path: Path, call: str, awaited: str) -> None:
    said = torchrun(LOST.replace("CALL", call), tmp_path).stdout
    assert f"process 0 lost the others while it waited for {awaited}" in said


LONG = [*SMALL, "--images", "10M", "--checkpoint-every", "320", "--out", "run"]


def test_a_killed_process_ends_the_run_with_its_state_intact(tmp_path: Path) -> None:
    process = start([python(), str(GANKIT), "train", "--gpus", "2", *LONG], tmp_path)
    os.kill(process_of_rank(1, tmp_path), signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert "lost the others" in said
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["state"], status["exit_code"]) == ("failed", 4)
    seen = status["images_seen"]
    resumed = api.resume(tmp_path / "run", images=seen + 640)
    assert seen <= resumed.images_seen


def test_torchrun_starts_a_run_again_that_lost_a_process(tmp_path: Path) -> None:
    process = start([python(), *TORCHRUN, "--max-restarts", "1", "-m", "gankit", "train", *LONG], tmp_path)
    os.kill(process_of_rank(1, tmp_path), signal.SIGKILL)
    folder, deadline = tmp_path / "run", time.monotonic() + 90
    status = folder / "status.json"
    while "resumed at" not in (folder / "log.txt").read_text() or json.loads(status.read_text())["state"] != "running":
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    said = json.loads(status.read_text())
    assert said["state"] == "stopped"
    assert "state saved" in said["reason"]


def test_several_processes_end_with_the_exit_code_of_the_run(tmp_path: Path) -> None:
    bad = gankit("train", *SMALL, "--gpus", 2, "--init-from", "nowhere", "--out", "run", cwd=tmp_path)
    assert bad.returncode in (2, 4)  # 4: the other process noticed first that it was alone
    assert "nowhere: No such file or directory" in bad.stderr
    assert "Traceback" not in bad.stderr
    process = start([python(), str(GANKIT), "train", "--gpus", "2", *LONG], tmp_path)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert "state saved" in said
    assert "Traceback" not in said
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "stopped"


OTHER_COMMAND = """
import os, sys
from gankit.cli import main

if os.environ["RANK"] == "1":
    sys.argv += sys.argv.pop().split("+")
else:
    sys.argv.pop()
main()
"""


@pytest.mark.parametrize(
    ("in_the_second", "said"),
    [
        ("--data+b.npz", "differ in the fingerprint of the data: "),
        ("--d-lr+1e-2", "differ in d_lr: 0.001 in the first one, 0.01 in process 1"),
    ],
)
def test_processes_with_other_data_or_settings_are_refused_before_the_first_step(
    in_the_second: str, said: str, tmp_path: Path
) -> None:
    for name, shift in (("a.npz", 0), ("b.npz", 1)):
        np.savez(tmp_path / name, images=np.random.RandomState(0).rand(64, 2).astype(np.float32) + shift)
    small = ["train", "--variant", "gan", "--data", "a.npz", "--device", "cpu", "--batch", "16", "--steps", "2"]
    result = torchrun(OTHER_COMMAND, tmp_path, *small, "--out", "run", in_the_second)
    assert result.returncode != 0
    assert said in result.stderr
    assert not (tmp_path / "run").exists()
