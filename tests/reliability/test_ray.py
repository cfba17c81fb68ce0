"""Studies on a real Ray cluster of two nodes on this machine, where Ray is installed: kills, and a node without the plugin."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import GANKIT, TINY_VARIANT, gankit, install

from gankit.study import journal

pytest.importorskip("ray")
RAY = Path(sys.executable).with_name("ray")
GRID = "--variant gan,lsgan --images 16000 --seeds 2 --data ring8 --batch 64 --z-dim 2 --precision fp32 --device cpu -n 200"
VARIABLES = {
    "OMP_NUM_THREADS": "1",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "a-token-of-these-tests-0123456789",
    "RAY_worker_niceness": "0",
}


@dataclass(frozen=True)
class Cluster:
    address: str
    nodes: list[subprocess.Popen[bytes]]


def node(folder: str, *words: str) -> subprocess.Popen[bytes]:
    """A node with one CPU; it ends with its process."""
    words = (*words, "--num-cpus", "1", "--num-gpus", "0", "--object-store-memory", "80000000")
    command = [str(RAY), "start", *words, "--temp-dir", folder, "--disable-usage-stats", "--block"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env={**os.environ, **VARIABLES}, **quiet)  # type: ignore[call-overload,no-any-return]


def descendants(pid: int) -> list[int]:
    """The process and all that it started."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def kill_node(process: subprocess.Popen[bytes]) -> None:
    for pid in descendants(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 240
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def living_nodes(address: str) -> int:
    count = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level=40); print(sum(n['Alive'] for n in ray.nodes()))"
    done = subprocess.run([sys.executable, "-c", count, address], env={**os.environ, **VARIABLES}, capture_output=True)
    return int(done.stdout.split()[-1]) if done.returncode == 0 else 0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = tempfile.mkdtemp(prefix="ray-")  # names of sockets must be short
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    head = ("--head", "--node-ip-address", "127.0.0.1", "--port", address.split(":")[1], "--include-dashboard", "false")
    nodes = [node(folder, *head)]
    try:
        wait_for(lambda: answers(address))
        nodes.append(node(folder, "--address", address, "--node-ip-address", "127.0.0.2"))
        wait_for(lambda: living_nodes(address) == 2)
        yield Cluster(address, nodes)
    finally:
        for process in reversed(nodes):
            kill_node(process)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_cluster_without_the_plugin_is_refused_before_the_first_trial(cluster: Cluster, tmp_path: Path) -> None:
    (site := tmp_path / "site").mkdir()
    install(site, "tiny-dist", TINY_VARIANT, variants=("tiny",))
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = f"study run --variant tiny --data ring8 --images 640 --device cpu -n 200 --ray {cluster.address} -o x"
    done = gankit(*words.split(), cwd=tmp_path, PYTHONPATH=path, **VARIABLES)
    assert done.returncode == 2, done.stderr
    assert re.search(r"error: node [0-9.]+: unknown variant 'tiny'", done.stderr), done.stderr
    assert not (tmp_path / "x").exists()


def test_nothing_is_lost_when_heads_and_a_node_die(cluster: Cluster, tmp_path: Path) -> None:
    assert gankit("study", "run", *GRID.split(), "-o", "whole", cwd=tmp_path).returncode == 0
    folder = tmp_path / "killed"

    def head() -> subprocess.Popen[bytes]:
        words = ["study", "run", *GRID.split(), "--ray", cluster.address, "-o", "killed"]
        return subprocess.Popen([str(GANKIT), *words], cwd=tmp_path, env={**os.environ, **VARIABLES})

    def records(event: str) -> list[dict[str, Any]]:
        return [record for record in journal.read(folder / "journal.jsonl") if record["event"] == event]

    def training(attempts: int) -> bool:
        """Whether so many attempts were started in all, and the last two train."""
        started = records("started") if folder.exists() else []
        states = [folder / "trials" / record["id"] / "status.json" for record in started[-2:]]
        return len(started) >= attempts and all(
            state.exists() and state.stat().st_mtime > record["time"]
            for state, record in zip(states, started[-2:], strict=True)
        )

    # A signal stops the tasks at a checkpoint.
    first = head()
    wait_for(lambda: training(2))
    first.send_signal(signal.SIGTERM)
    assert first.wait(120) == 143
    assert not records("lost")

    # The head is killed, and its tasks with it.
    second = head()
    wait_for(lambda: training(4))
    second.kill()
    second.wait()

    # A node dies: what it trained goes on elsewhere.
    third = head()
    wait_for(lambda: training(6))
    kill_node(cluster.nodes[1])
    assert third.wait(240) == 0
    assert len(records("lost")) >= 1

    def scores(name: str) -> dict[str, float]:
        return {r.trial.id: r.scores["fid"] for r in journal.results(tmp_path / name / "journal.jsonl")}

    assert scores("killed") == scores("whole")
    assert set(Counter(record["id"] for record in records("finished")).values()) == {1}
