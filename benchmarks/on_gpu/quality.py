"""How good the pictures are after a minute."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from on_gpu.exactness import start
from on_gpu.record import Figure
from on_gpu.scale import Scale


def quality(scale: Scale) -> Iterator[Figure]:
    """`digits` and `hands` for a minute each, then R3GAN on CIFAR-10 for what is left of the time."""
    minute = scale.of(["--time", "60s"], ["--images", "640"])
    for name in scale.of(["digits", "hands"], ["digits"]):
        yield from _scored(scale, name, ["--data", name, *minute], ["--features", "classifier"])
    if scale.cifar is None:
        yield Figure("r3gan-cifar10-mini", "not tried", note="--cifar PATH names the data")
        return
    left = max(20, int(scale.left) - scale.of(60, 0))
    budget = scale.of(["--time", f"{left}s"], ["--images", "64", "--batch", "16", "-s", "width=16"])
    words = ["--recipe", "r3gan-cifar10-mini", "--data", scale.cifar, *budget]
    yield from _scored(scale, "r3gan-cifar10-mini", words, ["--features", "lite0"])


def _scored(scale: Scale, name: str, settings: list[str], features: list[str]) -> Iterator[Figure]:
    """A run by the command line and its FID."""
    out = scale.folder / name
    device = ["--device", str(scale.device)]
    run = start(["train", *settings, *device, "-o", str(out)], stderr=subprocess.PIPE)
    _, said = run.communicate()
    if run.returncode:
        yield Figure(name, f"exit code {run.returncode}", target="a run", ok=False, note=_last(said))
        return
    status = json.loads((out / "status.json").read_text())
    n = str(scale.of(10_000, 64))
    score = start(
        ["eval", str(out), "-n", n, *features, *device, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    found, said = score.communicate()
    if score.returncode:
        yield Figure(name, f"exit code {score.returncode}", target="a score", ok=False, note=_last(said))
        return
    fid = json.loads(found)["scores"]["fid"]
    images, seconds = int(status["images_seen"]), float(status["train_s"])
    note = f"{images:,} images in {seconds:.0f} s; floor {fid.get('floor')}; grids in {Path(name) / 'samples'}"
    yield Figure(f"{name}, FID ({features[1]})", float(fid["value"]), note=note)


def _last(said: str) -> str:
    return (said.strip().splitlines() or [""])[-1][:200]
