"""gankit on a GPU, in one command: is it right there, does it hold, how fast is it, how good after a minute?

    python benchmarks/gpu.py [--out runs/gpu] [--minutes 20] [--parts check,speed,…] [--again] [--cifar PATH]

It needs a checkout, PyTorch 2.8 or newer with CUDA and gankit's dependencies; gankit need not be installed. Each part
runs in a process of its own for a bounded time, so that one that crashes or hangs costs no other. What a part finds is
kept line by line; the same command goes on with the parts that have not ended (`--again` begins anew), until the
minutes are used up. OUT/gpu.md and OUT/gpu.json hold every figure with its range, and end with what failed; the exit
code is 1 if something did.

Without CUDA the same code runs in miniature on the CPU: it proves that the command works, and measures nothing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from on_gpu.record import Record

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NEEDS = ("torch", "numpy", "PIL", "typer", "rich", "pluggy", "safetensors", "torchmetrics", "pydantic")

# Part -> (its heading, seconds on a GPU). The order is that of the record: first whether it is right, then how fast.
PARTS = {
    "check": ("`plugin check` of variants and extensions", 150),
    "arithmetic": ("Losses and gradients against float64", 60),
    "fp16": ("Many steps in fp16", 240),
    "waiting": ("No step waits for the device", 70),
    "resume": ("Exact resume", 120),
    "memory": ("Out of memory", 30),
    "graphs": ("CUDA graphs", 100),
    "double_backward": ("Fast double backward", 40),
    "data": ("Data that do not fit", 60),
    "kill": ("kill -9", 60),
    "processes": ("Two processes", 40),
    "speed": ("Speed against plain and tuned loops", 180),
    "recipes": ("Published configurations", 90),
    "quality": ("Pictures after a minute", 400),
}


def main(words: list[str] | None = None) -> int:
    """All parts that have not ended; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--minutes", type=float, default=20.0, help="no part begins after this")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--again", action="store_true", help="also the parts that have ended")
    parser.add_argument("--cifar", default=None, metavar="PATH", help="CIFAR-10, as gankit's --data takes it")
    parser.add_argument("--one", default=None, help=argparse.SUPPRESS)  # the part that this process plays
    parser.add_argument("--seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    parts = arguments.parts.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    _require()
    arguments.out = arguments.out.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    _make_importable(arguments.out)
    if arguments.one:
        for part in arguments.one.split(","):
            _play(part, arguments.out, arguments.seconds, arguments.cifar)
        return 0
    return _all(parts, arguments)


def _require() -> None:
    """Say in a line what is not installed."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}; pip install them, or put their wheels on PYTHONPATH")


def _make_importable(out: Path) -> None:
    """Let this process and its children import the checkout, and find the plugins that its pyproject.toml declares."""
    own = [str(HERE), str(ROOT), str(ROOT / "plugins"), str(out / "metadata")]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = next(
        line.split('"')[1]
        for line in (ROOT / "gankit/__init__.py").read_text().splitlines()
        if "__version__ = " in line
    )
    try:
        importlib.metadata.distribution("gankit")
    except importlib.metadata.PackageNotFoundError:
        info = out / "metadata" / f"gankit-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: gankit\nVersion: {version}\n")
        groups = {"console_scripts": declared["scripts"], **declared["entry-points"]}
        lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in groups.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
    sys.path[:0] = [path for path in own if path not in sys.path]
    os.environ["PYTHONPATH"] = os.pathsep.join([*own, *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS is not deterministic


def _all(parts: list[str], arguments: argparse.Namespace) -> int:
    """Each part in a process of its own; in miniature all in one, which spares the imports."""
    import torch
    from on_gpu.record import Record

    record = Record(arguments.out)
    began = time.monotonic()
    last = began + 60 * arguments.minutes
    due = [part for part in parts if arguments.again or not record.ended(part)]
    for part in due:
        record.begin(part)
    for group in [[part] for part in due] if torch.cuda.is_available() else [due] * bool(due):
        left = last - time.monotonic()
        if left < 10:
            print(f"the time is used up before '{group[0]}'; the same command goes on", flush=True)
            break
        print(f"{time.monotonic() - began:5.0f} s  {', '.join(PARTS[part][0] for part in group)}", flush=True)
        _in_a_process(group, arguments, record, min(left, sum(PARTS[part][1] for part in group)))
    page, failures = record.write(_facts(arguments), {part: PARTS[part][0] for part in parts})
    print(f"\n{page.read_text()}\nwritten: {page} and {page.with_suffix('.json')}")
    return 1 if failures else 0


def _in_a_process(parts: list[str], arguments: argparse.Namespace, record: Record, seconds: float) -> None:
    """Play some parts, and say of what has not come to its own end how it ended."""
    command = [sys.executable, str(HERE / "gpu.py"), "--one", ",".join(parts), "--out", str(arguments.out)]
    command += ["--seconds", str(seconds), *(["--cifar", arguments.cifar] if arguments.cifar else [])]
    log = arguments.out / "parts" / f"{parts[0]}.log"
    before = time.monotonic()
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(timeout=seconds)
            said = (log.read_text().strip().splitlines() or [""])[-1]
            how, error = "broken", f"exit code {code}: {said[:200]}; see {log.name}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            how, error = "cut off", ""
    for part in parts:
        if not record.ended(part):
            record.end(part, how, time.monotonic() - before, error)


def _play(part: str, out: Path, seconds: float, cifar: str | None) -> None:
    """One part, in this process; an exception is kept, and shown in the log."""
    import torch
    from on_gpu import correctness, exactness, limits, quality, rates
    from on_gpu.record import Figure, Record
    from on_gpu.scale import Scale, why

    players: dict[str, Callable[[Scale], Iterator[Figure]]] = {
        "check": correctness.check, "arithmetic": correctness.arithmetic, "fp16": correctness.fp16,
        "waiting": correctness.waiting, "resume": exactness.resume, "memory": limits.memory,
        "graphs": exactness.graphs, "double_backward": exactness.double_backward, "data": limits.data,
        "kill": exactness.kill, "processes": limits.processes, "speed": rates.speed, "recipes": rates.recipes,
        "quality": quality.quality,
    }  # fmt: skip
    cuda = torch.cuda.is_available()
    folder = out / "work" / part
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scale = Scale(torch.device("cuda" if cuda else "cpu"), cuda, folder, time.monotonic() + seconds, cifar)
    record, before = Record(out), time.monotonic()
    how, error = "done", ""
    try:
        for figure in players[part](scale):
            record.add(part, figure)
    except Exception as exception:
        traceback.print_exc()
        how, error = "broken", why(exception)
    record.end(part, how, time.monotonic() - before, error)
    shutil.rmtree(folder, ignore_errors=True)


def _facts(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the record was measured on, and how."""
    import torch

    cuda = torch.cuda.is_available()
    shown = shutil.which("nvidia-smi") and subprocess.run(
        ["nvidia-smi", "--query-gpu=name,driver_version,power.limit,memory.total", "--format=csv,noheader"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "device": torch.cuda.get_device_name()
        if cuda
        else f"Miniature on a CPU ({platform.machine()}): nothing measured",
        "nvidia-smi": shown or "not there",
        "CUDA, cuDNN": f"{torch.version.cuda}, {torch.backends.cudnn.version()}",
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "CPUs": os.cpu_count(),
        "gankit": importlib.metadata.version("gankit"),
        "commit": commit.stdout.strip() or "no git",
        "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": shlex.join(["python", "benchmarks/gpu.py", *(["--cifar", "PATH"] if arguments.cifar else [])]),
    }


if __name__ == "__main__":
    sys.exit(main())
