"""Two launchers of torchrun on one machine, as if they were two machines."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from support import unlaunched

SMALL = ["--variant", "gan", "--device", "cpu", "--batch", "16"]
LAUNCHER = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--nnodes",
    "2",
    "--nproc-per-node",
    "1",
    "--rdzv-id",
    "test",
]


def test_two_launchers_as_of_two_machines_play_one_run(tmp_path: Path) -> None:
    """Each has its own copy of the data, under another name."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{probe.getsockname()[1]}"]
    started = []
    for copy in ("a.npz", "b.npz"):
        np.savez(tmp_path / copy, images=np.random.RandomState(0).rand(64, 2).astype(np.float32))
        command = [*LAUNCHER, *endpoint, "-m", "gankit", "train", *SMALL, "--steps", "3", "--out", "run"]
        started.append(
            subprocess.Popen(
                [*command, "--data", copy], cwd=tmp_path, env=unlaunched(), stdout=subprocess.PIPE, text=True
            )
        )
    said = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert sorted(text.count("checkpoint") for text in said) == [0, 1]  # one process of both machines speaks
    assert json.loads((tmp_path / "run" / "status.json").read_text())["images_seen"] == 48
